//! `demo`: the operator's story on this computer.

use std::process::ExitCode;

use clap::Parser;
use kcg_demo::{kafka, simulated};

fn records(text: &str) -> Result<u64, String> {
    let records = text.parse().ok().filter(|records| (2000..=1_000_000).contains(records));
    records.ok_or_else(|| {
        "write a number from 2000 to 1000000: fewer are worked off before anybody can be killed".to_owned()
    })
}

#[derive(Parser)]
#[command(
    name = "demo",
    about = "The operator's story on this computer: on a real control plane, in about half a minute, or with --kafka as a closed loop"
)]
#[allow(clippy::struct_excessive_bools)] // Each is a flag of its own.
struct Cli {
    /// Leave the cluster up at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// The closed loop on real Kafka, real consumers and a real Prometheus.
    #[arg(long)]
    kafka: bool,
    /// How many records are sent before the end marker, 2000 to 1000000 (--compare: half of what each group gets; --scale: half of what all
    /// topics get).
    #[arg(long, default_value_t = 10_000, requires = "kafka", value_parser = records)]
    records: u64,
    /// By Kubernetes' own periods and the operator's own windows instead of shortened ones: about ten minutes.
    #[arg(long, requires = "kafka")]
    realistic: bool,
    /// The same load on two groups: by Kubernetes' defaults for scaling and rolling, and by the operator's.
    #[arg(long, requires = "kafka")]
    compare: bool,
    /// Ten groups on twenty topics, with skewed keys.
    #[arg(long, requires = "kafka", conflicts_with = "compare")]
    scale: bool,
    /// The folder for report.html, its plots and figures.json.
    #[arg(long, requires = "kafka", value_name = "FOLDER", default_value = "target/demo-report")]
    report: std::path::PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match demonstrate(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn demonstrate(cli: Cli) -> anyhow::Result<ExitCode> {
    if cli.kafka {
        let which = match (cli.compare, cli.scale) {
            (true, _) => kafka::Which::Comparison,
            (_, true) => kafka::Which::Scale,
            _ => kafka::Which::One,
        };
        let settings = kafka::Settings { which, records: cli.records, realistic: cli.realistic };
        return Box::pin(kafka::demonstrate(settings, &cli.report, cli.keep)).await;
    }
    simulated::demonstrate(cli.keep).await
}
