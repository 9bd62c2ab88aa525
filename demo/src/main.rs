//! `demo`: shows the operator at work on this computer.

mod closed_loop;

use std::process::ExitCode;

use clap::Parser;
use kcg_demo::simulated;

#[derive(Parser)]
#[command(
    name = "demo",
    about = "Show the operator at work on a real Kubernetes control plane on this computer, in about half a minute"
)]
struct Cli {
    /// Leave the cluster running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Run the closed loop instead, with a real Kafka broker, real consumers and a real Prometheus.
    /// `--kafka --help` lists its flags.
    #[arg(long)]
    kafka: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = std::env::args_os().skip(1).collect::<Vec<_>>();
    let result = if args.iter().any(|arg| arg == closed_loop::FLAG) {
        closed_loop::run(args)
    } else {
        simulated::run(Cli::parse().keep).await
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
