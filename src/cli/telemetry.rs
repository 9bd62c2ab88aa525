//! Logs: events with fields, as text or JSON, on standard error.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use super::Failure;

// Flattened beside others of that name: clap would take them for one group.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Flags {
    /// How logs are written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    log_format: Format,
    /// Which logs are written: a level, or tracing's directives
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "LEVEL")]
    log_level: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Flags {
    /// From here on events are written. Once a process.
    pub fn begin(&self) -> Result<(), Failure> {
        let filter = EnvFilter::try_new(&self.log_level).map_err(|error| {
            Failure::lasting(format_args!(
                "--log-level {}: {error}; name a level such as info",
                self.log_level
            ))
        })?;
        let events = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        let begun = match self.log_format {
            Format::Text => events.with_ansi(false).try_init(),
            Format::Json => events.json().flatten_event(true).with_current_span(false).try_init(),
        };
        begun.map_err(Failure::lasting)
    }
}
