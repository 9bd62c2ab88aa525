//! `doctor`: checks an installation.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kcg_api::names;
use kcg_runtime::client::RequestMetrics;
use kube::Client;
use serde_json::json;
use tokio::time::Instant;

use super::args::{self, DefaultsArg};
use super::cluster_args::ClusterArgs;
use super::{CliError, terminal};
use crate::doctor::{Check, CheckState, analyze, collect, reach};

/// The time between two attempts of `--wait`.
const RETRY_PERIOD: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Namespace in which the operator is installed. The groups of all namespaces that it watches are
    /// checked
    #[arg(long, short, default_value = names::NAMESPACE, value_parser = args::namespace, value_name = "NAMESPACE")]
    namespace: String,
    /// File of defaults to check before it is applied, and to compare with the one in force
    #[arg(long, value_parser = args::defaults_file, value_name = "FILE")]
    defaults: Option<DefaultsArg>,
    /// Check again until the installation is healthy, for at most this time
    #[arg(long, value_parser = args::duration, value_name = "DURATION")]
    wait: Option<Duration>,
    /// Output format
    #[arg(long, short, value_enum, default_value_t = ReportFormat::Table, value_name = "FORMAT")]
    output: ReportFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ReportFormat {
    /// One line for each check, followed by its cure
    // KCG_OUTPUT sets it for every command.
    #[value(alias = "text")]
    Table,
    /// One object with the fields healthy and checks
    Json,
}

/// Exit code 0 if the installation is healthy, 1 if a check failed or could not be made.
pub(super) fn run(args: &DoctorArgs) -> Result<ExitCode, CliError> {
    let checks = super::block_on(checks(args))?;
    let healthy = checks.iter().all(Check::is_healthy);
    match args.output {
        ReportFormat::Table => terminal::print_text(&table(&checks)),
        ReportFormat::Json => {
            terminal::print_json(&format!("{:#}\n", json!({"healthy": healthy, "checks": checks})))
        }
    }?;
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn checks(args: &DoctorArgs) -> Result<Vec<Check>, CliError> {
    let client = args.cluster.client_config("-doctor").client(&RequestMetrics::default()).await?;
    until_healthy(args.wait.unwrap_or_default(), || check_once(&client, args)).await
}

/// Checks once, and again until the installation is healthy or the time is over. The last result
/// counts.
async fn until_healthy<F>(wait: Duration, check: impl Fn() -> F) -> Result<Vec<Check>, CliError>
where
    F: Future<Output = Result<Vec<Check>, CliError>>,
{
    let deadline = Instant::now() + wait;
    loop {
        let checks = check().await;
        let is_healthy = checks.as_ref().is_ok_and(|checks| checks.iter().all(Check::is_healthy));
        if is_healthy || Instant::now() + RETRY_PERIOD > deadline {
            return checks;
        }
        tokio::time::sleep(RETRY_PERIOD).await;
    }
}

async fn check_once(client: &Client, args: &DoctorArgs) -> Result<Vec<Check>, CliError> {
    // If the API server does not respond, report it once instead of once for each check.
    reach(client).await.map_err(CliError::temporary)?;
    let findings = collect(client, &args.namespace).await;
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
    use std::cell::Cell;

    use super::*;

    /// How often was checked, after how many seconds, and whether the last result is healthy, if the
    /// third check is the first that is healthy.
    async fn waited(wait: u64) -> (u32, u64, bool) {
        let (start, count) = (Instant::now(), Cell::new(0));
        let check = || {
            count.set(count.get() + 1);
            let state = if count.get() < 3 { CheckState::Wrong } else { CheckState::Ok };
            let check = Check { check: "a".into(), state, found: String::new(), cure: String::new() };
            // An API server that does not respond yet is waited for, too.
            let result =
                if count.get() == 1 { Err(CliError::temporary("no answer")) } else { Ok(vec![check]) };
            std::future::ready(result)
        };
        let last = until_healthy(Duration::from_secs(wait), check).await;
        let is_healthy = last.is_ok_and(|checks| checks[0].is_healthy());
        (count.get(), start.elapsed().as_secs(), is_healthy)
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_when_the_installation_is_healthy_or_the_time_is_over() {
        assert_eq!(waited(0).await, (1, 0, false));
        assert_eq!(waited(3).await, (2, 2, false));
        assert_eq!(waited(300).await, (3, 4, true));
    }

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
