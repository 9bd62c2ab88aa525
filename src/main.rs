//! The binary: flags in, exit code out.

use std::process::ExitCode;

use kconsumer_group_operator::cli::Cli;

fn main() -> ExitCode {
    Cli::from_args_and_env().run().unwrap_or_else(|error| {
        error.print();
        error.exit_code()
    })
}
