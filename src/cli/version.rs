//! `version` and `completion`.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;
use kcg_api::names;
use serde_json::json;

use super::{Cli, CliError, terminal};

#[derive(Debug, Args)]
pub(super) struct VersionArgs {
    /// Output format
    #[arg(long, short, value_enum, default_value_t = VersionFormat::Text, value_name = "FORMAT")]
    output: VersionFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum VersionFormat {
    /// Three lines
    // KCG_OUTPUT sets it for every command.
    #[value(alias = "table")]
    Text,
    /// One object with the fields version, apiVersion and platform
    Json,
}

#[derive(Debug, Args)]
pub(super) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn print_version(args: &VersionArgs) -> Result<ExitCode, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    let api_version = format!("{}/{}", names::GROUP, names::VERSION);
    let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
    terminal::print(&match args.output {
        VersionFormat::Text => {
            format!("{} {version}\napiVersion: {api_version}\nplatform: {platform}\n", names::OPERATOR)
        }
        VersionFormat::Json => {
            format!("{:#}\n", json!({"version": version, "apiVersion": api_version, "platform": platform}))
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn print_completion(args: &CompletionArgs) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), names::OPERATOR, &mut script);
    terminal::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
