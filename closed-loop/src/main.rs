//! `closed-loop`: the operator in a closed loop on this computer.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use kcg_closed_loop::{Consumer, Scenario, Settings};

fn records(text: &str) -> Result<u64, String> {
    let records = text.parse().ok().filter(|records| (2000..=1_000_000).contains(records));
    records.ok_or_else(|| {
        "write a number from 2000 to 1000000: fewer are processed before a consumer can be killed".to_owned()
    })
}

#[derive(Parser)]
#[command(
    name = "closed-loop",
    about = "The operator in a closed loop on this computer: real Kafka, real consumers and a real Prometheus"
)]
#[allow(clippy::struct_excessive_bools)] // Each is a flag of its own.
struct Cli {
    /// Leave the cluster running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// How many records to send before the end marker, 2000 to 1000000 (--compare: half of what
    /// each group gets; --scale: half of what all topics get).
    #[arg(long, default_value_t = 10_000, value_parser = records)]
    records: u64,
    /// Use Kubernetes' own periods and the operator's own windows instead of shortened ones. Takes
    /// about ten minutes.
    #[arg(long)]
    realistic: bool,
    /// Put the same load on two groups: one with Kubernetes' defaults for scaling and rolling
    /// updates, one with the operator's.
    #[arg(long)]
    compare: bool,
    /// Run ten groups on twenty topics, with skewed keys.
    #[arg(long, conflicts_with = "compare")]
    scale: bool,
    /// The consumer: rust (librdkafka), spring (Spring Boot with Micrometer) or jmx (plain Java with
    /// the Prometheus JMX exporter).
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["compare", "scale"])]
    client: Consumer,
    /// Afterwards, let a group of each of the other consumers scale from one to two and back, on the
    /// same cluster and the same Kafka.
    #[arg(long, conflicts_with_all = ["compare", "scale"])]
    rounds: bool,
    /// The folder for report.html, its plots and figures.json.
    #[arg(long, value_name = "FOLDER", default_value = "target/demo-report")]
    report: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let scenario = match (cli.compare, cli.scale) {
        (true, _) => Scenario::Comparison,
        (_, true) => Scenario::Scale,
        _ => Scenario::Single,
    };
    let settings = Settings {
        scenario,
        consumer: cli.client,
        rounds: cli.rounds,
        records: cli.records,
        realistic: cli.realistic,
    };
    match Box::pin(kcg_closed_loop::run(settings, &cli.report, cli.keep)).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("closed-loop: {error:#}");
            ExitCode::FAILURE
        }
    }
}
