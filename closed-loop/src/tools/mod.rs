//! The programs of the closed loop that a control plane does not need: Kafka, Prometheus, prometheus-operator and the
//! metrics adapter. They are found or built as `kcg_devcluster::tools` does it; their pins are in closed-loop/tools, and
//! those that devcluster has pinned are taken from there.

pub(crate) mod java;
mod maven;

use std::path::PathBuf;

use kcg_devcluster::tools::catalog::{PROMETHEUS, PROMETHEUS_OPERATOR_CRDS, Tool};
use kcg_devcluster::tools::{Progress, Tools};

use crate::Result;

/// prometheus-operator's CRDs of PodMonitor, by which the operator itself is scraped, and of Probe, without which
/// prometheus-operator waits for ten minutes and gives up.
pub(crate) const FURTHER_MONITORING_CRDS: &str = "further-monitoring-crds.yaml";

/// prometheus-operator's program; its other CRDs are those of every control plane.
static PROMETHEUS_OPERATOR: Tool = Tool {
    programs: &[("prometheus-operator", "github.com/prometheus-operator/prometheus-operator/cmd/operator")],
    data: &[(
        FURTHER_MONITORING_CRDS,
        &[
            "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_probes.yaml",
        ],
    )],
    ..PROMETHEUS_OPERATOR_CRDS
};

/// The custom metrics API on prometheus-adapter's own library, with prometheus-adapter's rules. Its program is the main.go
/// next to the pins.
static METRICS_ADAPTER: Tool = Tool {
    name: "metrics-adapter",
    pins: concat!(env!("CARGO_MANIFEST_DIR"), "/tools/metrics-adapter"),
    module: "sigs.k8s.io/custom-metrics-apiserver",
    programs: &[("metrics-adapter", "kconsumer-group-operator/closed-loop/tools/metrics-adapter")],
    ..Tool::EMPTY
};

/// Prometheus, prometheus-operator and the metrics adapter; built when they are first asked for.
pub(crate) async fn monitoring(progress: Progress<'_>) -> Result<Tools> {
    Tools::of([&PROMETHEUS, &PROMETHEUS_OPERATOR, &METRICS_ADAPTER], progress).await
}

/// Kafka's jar, in a folder with all that it depends on; taken from Maven Central when it is first asked for.
pub(crate) async fn kafka_jar(progress: Progress<'_>) -> Result<PathBuf> {
    maven::kafka_jar(progress).await
}

/// Builds everything that the closed loop runs on, for those who go into a network without any way out.
pub async fn ensure(progress: Progress<'_>) -> Result<()> {
    // What is missing on this computer is reported before anything is built for minutes.
    java::find()?;
    kafka_jar(progress).await?;
    Tools::ensure(progress).await?;
    monitoring(progress).await.map(drop)
}
