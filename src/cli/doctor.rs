//! `doctor`: checks an installation.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use kcg_api::names;
use kcg_runtime::client::{ClientConfig, RequestMetrics};
use serde_json::json;

use super::args::{self, DefaultsArg};
use super::{CliError, terminal};
use crate::doctor::{Check, CheckState, analyze, collect, reach};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Path of the kubeconfig [default: KUBECONFIG or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Namespace in which the operator is installed
    #[arg(long, short, default_value = names::NAMESPACE, value_name = "NAMESPACE")]
    namespace: String,
    /// File of defaults to check before it is applied, and to compare with the one in force
    #[arg(long, value_parser = args::defaults_file, value_name = "FILE")]
    defaults: Option<DefaultsArg>,
    /// Output format
    #[arg(long, short, value_enum, default_value_t = ReportFormat::Table, value_name = "FORMAT")]
    output: ReportFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ReportFormat {
    /// One line for each check, followed by its cure
    Table,
    /// One object with the fields healthy and checks
    Json,
}

/// Exit code 0 if the installation is healthy, 1 if a check failed or could not be made.
pub(super) fn run(args: &DoctorArgs) -> Result<ExitCode, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::temporary(format_args!("start the async runtime: {error}")))?;
    let checks = runtime.block_on(checks(args))?;
    let healthy = checks.iter().all(Check::is_healthy);
    terminal::print(&match args.output {
        ReportFormat::Table => table(&checks),
        ReportFormat::Json => format!("{:#}\n", json!({"healthy": healthy, "checks": checks})),
    })?;
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn checks(args: &DoctorArgs) -> Result<Vec<Check>, CliError> {
    let agent = concat!("kconsumer-group-operator-doctor/", env!("CARGO_PKG_VERSION"));
    let client =
        ClientConfig::new(args.kubeconfig.as_deref(), agent).client(&RequestMetrics::default()).await?;
    // If the API server does not respond, report it once instead of once for each check.
    reach(&client).await.map_err(CliError::temporary)?;
    let findings = collect(&client, &args.namespace).await;
    let file = args.defaults.as_ref().map(|file| file.hash.clone());
    Ok(analyze(&findings.with_defaults_file(file)))
}

fn table(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.check.len()).max().unwrap_or_default();
    let mut text = String::new();
    for check in checks {
        let state = match check.state {
            CheckState::Ok => "ok",
            CheckState::Note => "note",
            CheckState::Wrong => "WRONG",
            CheckState::Unknown => "?",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{state:<7}{:<width$}  {}", check.check, check.found);
        if !check.cure.is_empty() {
            let _ = writeln!(text, "{:<7}{:<width$}  -> {}", "", "", check.cure);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cure_is_printed_below_its_check() {
        let check = |name: &str, state, cure: &str| Check {
            check: name.into(),
            state,
            found: "found".into(),
            cure: cure.into(),
        };
        let text =
            table(&[check("CRD", CheckState::Ok, ""), check("certificate", CheckState::Wrong, "renew it")]);
        assert_eq!(
            text,
            "ok     CRD          found\nWRONG  certificate  found\n                    -> renew it\n"
        );
    }
}
