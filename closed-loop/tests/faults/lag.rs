//! The lag's way to the autoscaler, broken in each place: the consumer, its port, the scrape, the adapter.

use anyhow::{Context, Result, ensure};
use kcg_devcluster::deploy_folder;
use serde_json::json;

use crate::group::Group;
use crate::world::{SOON, TOLD, World};

const READ: [&str; 2] = ["True", "MetricsRead"];
const MISSING: [&str; 2] = ["False", "MetricsMissing"];

pub async fn a_wrong_port_is_named_with_its_cure(world: &World) -> Result<()> {
    let group = Group::idle("port");
    world.create(&group, &[("port", json!(9999))]).await?;
    world.ready(group.name, 1).await?;
    let told = world.told(group.name, "MetricsAvailable", MISSING, TOLD).await?;
    ensure!(told.message.contains("on port 9999 at /actuator/prometheus"), "{told:?}");
    world.fires(group.name, "NoConsumers").await?;
    let cure = r#"{"spec":{"metrics":{"port":8085}}}"#;
    world.kubectl(&["patch", "kcg", group.name, "--type=merge", "-p", cure]).await?;
    world.told(group.name, "MetricsAvailable", READ, SOON).await?;
    world.resolves(group.name, "NoConsumers").await
}

pub async fn a_consumer_without_metrics_is_told_apart_from_one_that_is_well(world: &World) -> Result<()> {
    let group = Group { env: &[("KCONSUMER_METRICS", "off")], ..Group::idle("mute") };
    world.create(&group, &[]).await?;
    world.ready(group.name, 1).await?;
    let told = world.told(group.name, "MetricsAvailable", MISSING, TOLD).await?;
    ensure!(told.message.contains("check that the consumers export"), "{told:?}");
    // It serves no page of metrics at all, so nobody can scrape it.
    world.fires(group.name, "NoConsumers").await.map(drop)
}

pub async fn consumers_that_show_another_metric_fire_an_alert(world: &World) -> Result<()> {
    let group = Group::idle("misnamed");
    world.create(&group, &[("lagMetric", json!("records_lag_of_nobody"))]).await?;
    world.ready(group.name, 1).await?;
    let told = world.told(group.name, "MetricsAvailable", MISSING, TOLD).await?;
    ensure!(told.message.contains("export records_lag_of_nobody on port 8085"), "{told:?}");
    let alerts = world.fires(group.name, "RecordsLagAbsent").await?;
    ensure!(!alerts.contains(&"NoConsumers".to_owned()), "they are scraped: {alerts:?}");
    let cure = r#"{"spec":{"metrics":{"lagMetric":null}}}"#;
    world.kubectl(&["patch", "kcg", group.name, "--type=merge", "-p", cure]).await?;
    world.told(group.name, "MetricsAvailable", READ, SOON).await?;
    world.resolves(group.name, "RecordsLagAbsent").await
}

pub async fn a_refused_monitor_is_told_until_it_is_accepted_again(world: &World) -> Result<()> {
    let group = Group::idle("refused");
    let accepted = ["True", "Accepted"];
    world.create(&group, &[]).await?;
    world.told(group.name, "MonitoringAccepted", accepted, SOON).await?;
    // A field that the operator does not own, so it stays; no Prometheus has such a class.
    let patch = async |class: &str| {
        let patch = format!(r#"{{"spec":{{"scrapeClass":{class}}}}}"#);
        world.kubectl(&["patch", "servicemonitor", group.name, "--type=merge", "-p", &patch]).await
    };
    patch(r#""mesh""#).await?;
    let told = world.told(group.name, "MonitoringAccepted", ["False", "Rejected"], TOLD).await?;
    ensure!(told.message.contains("ServiceMonitor") && told.message.contains("mesh"), "{told:?}");
    patch("null").await?;
    world.told(group.name, "MonitoringAccepted", accepted, TOLD).await.map(drop)
}

pub async fn an_adapter_without_the_rule_is_named_with_its_cure(world: &World) -> Result<()> {
    let group = Group::idle("ruleless");
    world.create(&group, &[]).await?;
    world.told(group.name, "MetricsAvailable", READ, SOON).await?;
    let shipped = deploy_folder()?.join("prometheus-adapter/rules.yaml");
    let shipped = std::fs::read_to_string(&shipped).with_context(|| format!("read {}", shipped.display()))?;
    world.stage.adapter.set_rules(&world.stage.plane, "rules: []").await?;
    let told = world.told(group.name, "MetricsAvailable", MISSING, TOLD).await;
    // Whatever came of it: the other tests need them.
    world.stage.adapter.set_rules(&world.stage.plane, &shipped).await?;
    let told = told?;
    ensure!(told.message.contains("a rule for it as in deploy/prometheus-adapter/rules.yaml"), "{told:?}");
    world.told(group.name, "MetricsAvailable", READ, SOON).await.map(drop)
}
