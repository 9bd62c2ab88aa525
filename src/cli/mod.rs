//! The command line: the flags of each subcommand, its output and its errors.

mod args;
mod controller;
mod doctor;
mod manifests;
mod partitions;
mod render;
mod server;
mod telemetry;
mod terminal;
mod unknown_fields;
mod validate;
mod webhook;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use terminal::CliError;

/// Runs Kafka consumer groups on Kubernetes: one resource in, a Deployment that scales by lag and
/// never beyond its partitions out.
#[derive(Debug, Parser)]
#[command(name = "kconsumer-group-operator", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller, which creates and repairs the owned resources of every KconsumerGroup
    /// and reports its status
    Controller(controller::ControllerArgs),
    /// Run the admission webhook, which defaults and validates KconsumerGroups
    Webhook(webhook::WebhookArgs),
    /// Validate KconsumerGroups in manifests without a cluster
    Validate(validate::ValidateArgs),
    /// Print the owned resources of the KconsumerGroups in a manifest, as YAML
    Render(render::RenderArgs),
    /// Print the CustomResourceDefinition, as YAML
    Crd,
    /// Check an installation and print what is wrong and how to fix it
    Doctor(doctor::DoctorArgs),
}

impl Cli {
    /// Runs the subcommand until it ends.
    pub fn run(self) -> Result<ExitCode, CliError> {
        match self.command {
            Command::Controller(args) => controller::run(&args),
            Command::Webhook(args) => webhook::run(&args),
            Command::Validate(args) => validate::run(&args),
            Command::Render(args) => render::run(&args),
            Command::Crd => print_crd(),
            Command::Doctor(args) => doctor::run(&args),
        }
    }
}

fn print_crd() -> Result<ExitCode, CliError> {
    terminal::print(&manifests::yaml(&[kcg_api::crd::crd()])?)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_renamed_flag_is_an_error_that_names_the_new_flag() {
        for (subcommand, old, new) in [
            ("controller", "--certificates=self-managed", "--certificate-mode"),
            ("controller", "--certificate-life=90d", "--certificate-duration"),
            ("controller", "--authority-life=1825d", "--ca-duration"),
            ("controller", "--authority-overlap=5m", "--ca-overlap"),
            ("controller", "--lease-namespace=a", "--leader-elect-resource-namespace"),
            ("controller", "--lease-name=a", "--leader-elect-resource-name"),
            ("controller", "--lease-name", "--leader-elect-resource-name"),
            ("webhook", "--listen=0.0.0.0:8443", "--webhook-bind-address"),
            ("controller", "--status-addr=:8080", "--metrics-bind-address and --health-probe-bind-address"),
            ("webhook", "--status-addr=:8080", "--metrics-bind-address and --health-probe-bind-address"),
        ] {
            let error = Cli::try_parse_from(["kconsumer-group-operator", subcommand, old]).unwrap_err();
            let flag = old.split('=').next().unwrap();
            let message = format!("error: {flag} was renamed: use {new}\n");
            assert!(error.to_string().starts_with(&message), "{error}");
            assert_eq!(error.exit_code(), 2);
        }
    }
}
