//! The one binary: flags in, exit code out. Floor 4.

use clap::Parser as _;
use kconsumer_group_operator::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    Cli::parse().run().unwrap_or_else(|failure| {
        eprintln!("kconsumer-group-operator: {failure}");
        failure.code()
    })
}
