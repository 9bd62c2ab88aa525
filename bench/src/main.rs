//! `bench-cluster`: what the operator costs on a real API server, next to floors in the same run.
//!
//! A floor is a program that does the same work and decides nothing: the requests that the operator
//! was seen to send, a bare list, a server with a constant answer. docs/performance.md describes the
//! method.
#![allow(clippy::cast_precision_loss, reason = "counts and sizes are far below 2^52")]

mod cases;
mod cluster;
mod constant_server;
mod contestant;
mod floor;
mod kinds;
mod machine;
mod observe;
mod options;
mod plot;
mod recording;
mod report;
mod reviews;
mod statistics;
mod workload;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match constant_server::Arguments::from_environment() {
        Some(arguments) => constant_server::run(arguments).await,
        None => Box::pin(cases::run(&options::Options::parse())).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}
