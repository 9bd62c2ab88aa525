//! Logs with fields, as text or JSON, on standard error.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use super::CliError;

#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// Format of the logs
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Which logs to write: a level, or directives of the crate tracing
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "LEVEL")]
    log_level: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl LogArgs {
    /// Starts logging. Call it once in a process.
    pub(super) fn init(&self) -> Result<(), CliError> {
        let filter = EnvFilter::try_new(&self.log_level).map_err(|error| {
            CliError::permanent(format_args!(
                "--log-level {}: {error}; use a level such as info",
                self.log_level
            ))
        })?;
        let events = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        let started = match self.log_format {
            LogFormat::Text => events.with_ansi(false).try_init(),
            LogFormat::Json => events.json().flatten_event(true).with_current_span(false).try_init(),
        };
        started.map_err(CliError::permanent)
    }
}
