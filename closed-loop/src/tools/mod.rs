//! The tools that a control plane does not need: Kafka, Prometheus, prometheus-operator and the
//! metrics adapter. `kcg_devcluster::tools` finds or builds them. Their pins are in
//! closed-loop/tools, or in devcluster if it uses the same module. The example consumers in Java
//! are built in the same way.

pub mod consumers;
pub(crate) mod java;
mod maven;

use std::path::PathBuf;

use kcg_devcluster::tools::catalog::{PROMETHEUS, PROMETHEUS_OPERATOR_CRDS, Tool};
use kcg_devcluster::tools::{Progress, Tools};

use crate::Result;
use consumers::JavaConsumer;

/// prometheus-operator's CRDs of PodMonitor, which the operator's own metrics need, and of Probe,
/// without which prometheus-operator fails after ten minutes.
pub(crate) const FURTHER_MONITORING_CRDS: &str = "further-monitoring-crds.yaml";

/// prometheus-operator's program and further CRDs. Every control plane has the other CRDs.
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

/// Our stand-in for prometheus-adapter. Its program is the main.go next to the pins.
static METRICS_ADAPTER: Tool = Tool {
    name: "metrics-adapter",
    pins: concat!(env!("CARGO_MANIFEST_DIR"), "/tools/metrics-adapter"),
    module: "sigs.k8s.io/custom-metrics-apiserver",
    programs: &[("metrics-adapter", "kconsumer-group-operator/closed-loop/tools/metrics-adapter")],
    ..Tool::EMPTY
};

/// Prometheus, prometheus-operator and the metrics adapter, built at first use.
pub(crate) async fn monitoring(progress: Progress<'_>) -> Result<Tools> {
    Tools::of([&PROMETHEUS, &PROMETHEUS_OPERATOR, &METRICS_ADAPTER], progress).await
}

/// Kafka's jar, in a folder with its dependencies, fetched from Maven Central at first use.
pub(crate) async fn kafka_jar(progress: Progress<'_>) -> Result<PathBuf> {
    maven::kafka_jar(progress).await
}

/// Fetches and builds everything that the closed loop with these consumers needs. Call it before entering the pod
/// network, which has no way out.
pub async fn ensure(consumers: &[JavaConsumer], progress: Progress<'_>) -> Result<()> {
    // A missing Java is reported before anything is built for minutes.
    java::find()?;
    kafka_jar(progress).await?;
    for consumer in consumers {
        consumer.built(progress).await?;
    }
    Tools::ensure(progress).await?;
    monitoring(progress).await.map(drop)
}
