//! `demo`: the operator's story on this computer.

mod kafka;
mod simulated;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(
    name = "demo",
    about = "The operator's whole story on a real control plane, in about half a minute"
)]
struct Cli {
    /// Leave the cluster up at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match simulated::demonstrate(Cli::parse().keep).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
