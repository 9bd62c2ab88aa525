//! The binary: flags in, exit code out.

use std::process::ExitCode;

use clap::Parser as _;
use kconsumer_group_operator::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run().unwrap_or_else(|error| {
        eprintln!("kconsumer-group-operator: {error}");
        error.exit_code()
    })
}
