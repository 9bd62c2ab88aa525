//! Faults on the lag's path to the autoscaler: the consumer, its port, the scrape, the adapter.

use anyhow::{Context, Result, ensure};
use kcg_api::alerts::AlertName;
use kcg_devcluster::deploy_folder;
use serde_json::json;

use crate::group::Group;
use crate::harness::{Harness, REPORT_LIMIT, SHORT_LIMIT};

const READ: [&str; 2] = ["True", "MetricsRead"];
const MISSING: [&str; 2] = ["False", "MetricsMissing"];

pub async fn a_wrong_port_is_reported_with_its_cure(harness: &Harness) -> Result<()> {
    let group = Group::idle("port");
    harness.create(&group, &[("port", json!(9999))]).await?;
    harness.ready(group.name, 1).await?;
    let condition = harness.condition(group.name, "MetricsAvailable", MISSING, REPORT_LIMIT).await?;
    ensure!(condition.message.contains("on port 9999 at /actuator/prometheus"), "{condition:?}");
    harness.fires(group.name, AlertName::NoConsumers).await?;
    let cure = r#"{"spec":{"metrics":{"port":8085}}}"#;
    harness.kubectl(&["patch", "kcg", group.name, "--type=merge", "-p", cure]).await?;
    harness.condition(group.name, "MetricsAvailable", READ, SHORT_LIMIT).await?;
    harness.resolves(group.name, AlertName::NoConsumers).await
}

pub async fn a_consumer_without_metrics_is_reported_as_missing_metrics(harness: &Harness) -> Result<()> {
    let group = Group { env: &[("KCONSUMER_METRICS", "off")], ..Group::idle("mute") };
    harness.create(&group, &[]).await?;
    harness.ready(group.name, 1).await?;
    let condition = harness.condition(group.name, "MetricsAvailable", MISSING, REPORT_LIMIT).await?;
    ensure!(condition.message.contains("check that the consumers export"), "{condition:?}");
    // It serves no metrics, so Prometheus cannot scrape it.
    harness.fires(group.name, AlertName::NoConsumers).await.map(drop)
}

pub async fn consumers_that_show_another_metric_fire_an_alert(harness: &Harness) -> Result<()> {
    let group = Group::idle("misnamed");
    harness.create(&group, &[("lagMetric", json!("records_lag_missing"))]).await?;
    harness.ready(group.name, 1).await?;
    let condition = harness.condition(group.name, "MetricsAvailable", MISSING, REPORT_LIMIT).await?;
    ensure!(condition.message.contains("export records_lag_missing on port 8085"), "{condition:?}");
    let alerts = harness.fires(group.name, AlertName::LagMissing).await?;
    ensure!(!alerts.contains(&AlertName::NoConsumers.as_str().to_owned()), "they are scraped: {alerts:?}");
    let cure = r#"{"spec":{"metrics":{"lagMetric":null}}}"#;
    harness.kubectl(&["patch", "kcg", group.name, "--type=merge", "-p", cure]).await?;
    harness.condition(group.name, "MetricsAvailable", READ, SHORT_LIMIT).await?;
    harness.resolves(group.name, AlertName::LagMissing).await
}

pub async fn a_rejected_monitor_is_reported_until_it_is_accepted_again(harness: &Harness) -> Result<()> {
    let group = Group::idle("refused");
    let accepted = ["True", "Accepted"];
    harness.create(&group, &[]).await?;
    harness.condition(group.name, "MonitoringAccepted", accepted, SHORT_LIMIT).await?;
    // The operator does not own this field, so the value stays. No Prometheus has such a class.
    let patch = async |class: &str| {
        let patch = format!(r#"{{"spec":{{"scrapeClass":{class}}}}}"#);
        harness.kubectl(&["patch", "servicemonitor", group.name, "--type=merge", "-p", &patch]).await
    };
    patch(r#""mesh""#).await?;
    let condition =
        harness.condition(group.name, "MonitoringAccepted", ["False", "Rejected"], REPORT_LIMIT).await?;
    ensure!(
        condition.message.contains("ServiceMonitor") && condition.message.contains("mesh"),
        "{condition:?}"
    );
    patch("null").await?;
    harness.condition(group.name, "MonitoringAccepted", accepted, REPORT_LIMIT).await.map(drop)
}

pub async fn an_adapter_without_the_rule_is_reported_with_its_cure(harness: &Harness) -> Result<()> {
    let group = Group::idle("ruleless");
    harness.create(&group, &[]).await?;
    harness.condition(group.name, "MetricsAvailable", READ, SHORT_LIMIT).await?;
    let shipped = deploy_folder()?.join("prometheus-adapter/rules.yaml");
    let shipped = std::fs::read_to_string(&shipped).with_context(|| format!("read {}", shipped.display()))?;
    harness.environment.adapter.set_rules(&harness.environment.plane, "rules: []").await?;
    let condition = harness.condition(group.name, "MetricsAvailable", MISSING, REPORT_LIMIT).await;
    // Restored before the result is checked, since the other tests need the rules.
    harness.environment.adapter.set_rules(&harness.environment.plane, &shipped).await?;
    let condition = condition?;
    ensure!(
        condition.message.contains("a rule for it as in deploy/prometheus-adapter/rules.yaml"),
        "{condition:?}"
    );
    harness.condition(group.name, "MetricsAvailable", READ, SHORT_LIMIT).await.map(drop)
}
