//! The command line: what each subcommand takes, and how its failures are told. Floor 4.

mod controller;
mod crd;
mod doctor;
mod duration;
mod failure;
mod manifests;
mod namespaces;
mod output;
mod partitions;
mod render;
mod server;
mod telemetry;
mod unknown;
mod validate;
mod webhook;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

pub use failure::Failure;

/// Runs Kafka consumer groups on Kubernetes: one resource in, a Deployment that scales by lag and never beyond
/// its partitions out.
#[derive(Debug, Parser)]
#[command(name = "kconsumer-group-operator", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller: creates, repairs and reports on the children of every KconsumerGroup
    Controller(controller::Flags),
    /// Run the admission webhook: defaults and validates KconsumerGroups
    Webhook(webhook::Flags),
    /// Check KconsumerGroups in manifests without a cluster
    Validate(validate::Flags),
    /// Print the objects that the controller would write for the KconsumerGroups in manifests, as YAML
    Render(render::Flags),
    /// Print the CustomResourceDefinition, as YAML
    Crd,
    /// Look at an installation and say what is right and what is not, with the cure
    Doctor(doctor::Flags),
}

impl Cli {
    /// Runs the subcommand to its end.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Controller(flags) => controller::run(&flags),
            Command::Webhook(flags) => webhook::run(&flags),
            Command::Validate(flags) => validate::run(&flags),
            Command::Render(flags) => render::run(&flags),
            Command::Crd => crd::run(),
            Command::Doctor(flags) => doctor::run(&flags),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }
}
