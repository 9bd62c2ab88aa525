//! The command line: the flags of each subcommand, its output and its errors.

mod args;
mod check;
mod cluster_args;
mod controller;
mod doctor;
mod documents;
mod files;
mod manifests;
mod metadata;
mod partitions;
mod render;
mod server;
mod telemetry;
mod terminal;
mod unknown_fields;
mod validate;
mod version;
mod webhook;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use serde::Serialize;

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
    /// Print the owned resources of KconsumerGroups, as YAML
    Render(render::RenderArgs),
    /// Print the CustomResourceDefinition, as YAML
    Crd,
    /// Print the rules that prometheus-adapter needs, as values of its Helm chart
    AdapterValues,
    /// Check an installation and print what is wrong and how to fix it
    Doctor(doctor::DoctorArgs),
    /// Print the version
    Version(version::VersionArgs),
    /// Print a script that completes commands and flags in a shell
    Completion(version::CompletionArgs),
}

/// The prefix of the environment variables that set flags.
const ENV_PREFIX: &str = "KCG_";

impl Cli {
    /// Parses the arguments of the process and the environment variables that set flags. Prints help
    /// or an error and exits if there is nothing to run.
    pub fn from_args_and_env() -> Self {
        let matches = with_environment(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// The flags of a subcommand, each with the environment variable that sets it, sorted. Those that
    /// only name their successors are left out.
    pub fn flags(subcommand: &str) -> BTreeMap<String, String> {
        let command = with_environment(Self::command());
        let args = command.find_subcommand(subcommand).into_iter().flat_map(clap::Command::get_arguments);
        let flags = args.filter(|arg| !arg.is_hide_set()).filter_map(|arg| {
            let variable = arg.get_env()?.to_str()?;
            Some((format!("--{}", arg.get_long()?), variable.to_owned()))
        });
        flags.collect()
    }

    /// The renamed flags of a subcommand, each with its new name, sorted.
    pub fn renamed_flags(subcommand: &str) -> BTreeMap<String, String> {
        let command = Self::command();
        let args = command.find_subcommand(subcommand).into_iter().flat_map(clap::Command::get_arguments);
        let renamed = args
            .filter(|arg| arg.is_hide_set())
            .filter_map(|arg| Some((format!("--{}", arg.get_long()?), format!("--{}", arg.get_help()?))));
        renamed.collect()
    }

    /// What `validate --output json` prints for this text on standard input; `None` for another
    /// subcommand.
    pub fn validate_text(&self, text: &str) -> Option<Result<String, CliError>> {
        match &self.command {
            Command::Validate(args) => Some(validate::json_of(args, text)),
            _ => None,
        }
    }

    /// Runs the subcommand until it ends.
    pub fn run(self) -> Result<ExitCode, CliError> {
        match self.command {
            Command::Controller(args) => controller::run(&args),
            Command::Webhook(args) => webhook::run(&args),
            Command::Validate(args) => validate::run(&args),
            Command::Render(args) => render::run(&args),
            Command::Crd => print_object(&kcg_api::crd::crd()),
            Command::AdapterValues => print_object(&kcg_core::lag::adapter_values()),
            Command::Doctor(args) => doctor::run(&args),
            Command::Version(args) => version::print_version(&args),
            Command::Completion(args) => version::print_completion(&args),
        }
    }
}

/// Every flag of a subcommand can be set by an environment variable: `--metrics-bind-address` by
/// `KCG_METRICS_BIND_ADDRESS`. A few flags have a variable of their own instead.
fn with_environment(command: clap::Command) -> clap::Command {
    command.mut_subcommands(|subcommand| {
        subcommand.mut_args(|arg| match arg.get_long() {
            Some(long) if arg.get_env().is_none() && !arg.is_hide_set() => {
                let variable = format!("{ENV_PREFIX}{}", long.to_uppercase().replace('-', "_"));
                arg.env(variable)
            }
            _ => arg,
        })
    })
}

/// Runs a command that makes requests, on one thread.
fn block_on<T>(command: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::temporary(format_args!("start the async runtime: {error}")))?;
    runtime.block_on(command)
}

fn print_object(object: &impl Serialize) -> Result<ExitCode, CliError> {
    terminal::print(&manifests::yaml(&[object])?)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn the_flags_are_consistent() {
        with_environment(Cli::command()).debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
        let own = ["POD_NAME", "POD_NAMESPACE", "RUST_LOG", "WEBHOOK_CONFIGURATION_NAME"];
        let mut command = with_environment(Cli::command());
        command.build();
        for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            for flag in subcommand.get_arguments().filter(|arg| !arg.is_hide_set()) {
                let Some(long) = flag.get_long().filter(|long| *long != "help") else { continue };
                let variable = flag.get_env().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
                let expected = format!("KCG_{}", long.to_uppercase().replace('-', "_"));
                assert!(variable == expected || own.contains(&variable), "--{long}: {variable:?}");
            }
        }
    }

    /// An empty value comes from a variable of a manifest that has none.
    #[test]
    fn an_empty_value_is_refused_with_the_name_of_its_flag() {
        let lists = ["namespaces", "topic-namespaces"];
        let mut command = with_environment(Cli::command());
        command.build();
        for process in ["controller", "webhook", "doctor"] {
            let flags = command.find_subcommand(process).unwrap().get_arguments();
            let named = flags.filter(|flag| !flag.is_hide_set()).filter_map(|flag| flag.get_long());
            for long in named.filter(|long| !lists.contains(long) && *long != "help") {
                let arguments = ["kconsumer-group-operator", process, &format!("--{long}=")];
                let error = with_environment(Cli::command()).try_get_matches_from(arguments);
                let error = error.expect_err(long).to_string();
                assert!(error.contains(&format!("--{long}")), "{error}");
            }
        }
    }

    #[test]
    fn names_that_would_change_a_request_are_refused_with_the_name_of_their_flag() {
        for (process, flag) in [
            ("controller", "--pod-namespace"),
            ("controller", "--leader-elect-resource-namespace"),
            ("controller", "--leader-elect-resource-name"),
            ("controller", "--webhook-configuration-name"),
            ("webhook", "--server-name"),
            ("doctor", "--namespace"),
        ] {
            let arguments = ["kconsumer-group-operator", process, &format!("{flag}=a/../b")];
            let error = Cli::try_parse_from(arguments).expect_err(flag).to_string();
            assert!(error.contains(flag) && error.contains("lowercase"), "{error}");
        }
        let long = format!("--identity={}", "a".repeat(129));
        let error = Cli::try_parse_from(["kconsumer-group-operator", "controller", &long]).unwrap_err();
        assert!(error.to_string().contains("use at most 128 bytes"), "{error}");
    }

    #[test]
    fn doctor_reads_flags_and_variables_that_the_controller_has() {
        let command = with_environment(Cli::command());
        let controller = command.find_subcommand("controller").unwrap();
        for read in crate::doctor::flags::READ {
            let flag = controller.get_arguments().find(|arg| arg.get_long() == Some(read.name)).unwrap();
            assert_eq!(flag.get_env().and_then(std::ffi::OsStr::to_str), Some(read.variable), "{read:?}");
        }
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
