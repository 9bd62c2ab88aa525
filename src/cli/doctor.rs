//! `doctor`: what is right with an installation and what is not.

use clap::{Args, ValueEnum};
use kcg_api::names;
use kcg_runtime::client::{ClientConfig, RequestMetrics};
use serde_json::json;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Failure, output};
use crate::doctor::{Check, State, examine, look};

#[derive(Debug, Args)]
pub struct Flags {
    /// The cluster's kubeconfig; left out: KUBECONFIG, ~/.kube/config
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The namespace that the operator is installed in
    #[arg(long, short, default_value = names::NAMESPACE, value_name = "NAMESPACE")]
    namespace: String,
    /// How the checks are printed
    #[arg(long, short, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A line for each check, and its cure below
    Table,
    /// One object: healthy, and the checks
    Json,
}

/// Exit code 0 where all is well, 1 where a check is wrong or could not be made.
pub fn run(flags: &Flags) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::passing(format_args!("start the runtime: {error}")))?;
    let checks = runtime.block_on(checks(flags))?;
    let healthy = checks.iter().all(Check::is_well);
    output::print(&match flags.output {
        Format::Table => table(&checks),
        Format::Json => format!("{:#}\n", json!({"healthy": healthy, "checks": checks})),
    })?;
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn checks(flags: &Flags) -> Result<Vec<Check>, Failure> {
    let agent = concat!("kconsumer-group-operator-doctor/", env!("CARGO_PKG_VERSION"));
    let client =
        ClientConfig::new(flags.kubeconfig.as_deref(), agent).client(&RequestMetrics::default()).await?;
    // One sentence where nobody answers, instead of one for each check.
    let version = kcg_runtime::client::with_deadline("reach the cluster", client.apiserver_version()).await;
    version.map_err(Failure::passing)?;
    Ok(examine(&look::look(&client, &flags.namespace).await))
}

fn table(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.check.len()).max().unwrap_or_default();
    let mut text = String::new();
    for check in checks {
        let state = match check.state {
            State::Ok => "ok",
            State::Note => "note",
            State::Wrong => "WRONG",
            State::Unknown => "?",
        };
        // To a String: it cannot fail.
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
    fn a_cure_stands_below_what_it_cures() {
        let check = |name: &str, state, cure: &str| Check {
            check: name.into(),
            state,
            found: "found".into(),
            cure: cure.into(),
        };
        let text = table(&[check("CRD", State::Ok, ""), check("certificate", State::Wrong, "renew it")]);
        assert_eq!(
            text,
            "ok     CRD          found\nWRONG  certificate  found\n                    -> renew it\n"
        );
    }
}
