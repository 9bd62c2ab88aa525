//! The alerts on the recorded series of real clients, each from the only pod of a group.

use anyhow::{Context, Result};
use kcg_api::alerts::AlertName;
use kcg_api::preset::Preset;
use kcg_tests::promtool;
use serde_json::{Value, json};

use crate::recorded::{presets, series};
use crate::rules;

const POD: &str = "kconsumer-7d4b9c-aaaaa";

/// A recorded scrape that stays as it is for four minutes, and the alerts that fire then.
const SCENES: [(&str, &[AlertName]); 24] = [
    ("spring4-hung-150s", &[AlertName::ConsumersHung, AlertName::LagHigh]),
    ("spring3-hung-150s", &[AlertName::ConsumersHung, AlertName::LagHigh]),
    ("jmx-hung-150s", &[AlertName::ConsumersHung]),
    ("rust-hung-150s", &[AlertName::ConsumersHung, AlertName::LagHigh]),
    ("spring4-rebalance-before", &[AlertName::LagHigh]),
    ("spring3-rebalance-before", &[AlertName::LagHigh]),
    ("jmx-rebalance-before", &[]),
    ("rust-rebalance-before", &[]),
    // It would show its lag after a minute; a consumer that does not for longer has an alert.
    ("spring4-backlog", &[AlertName::LagMissing]),
    ("spring3-backlog", &[AlertName::LagMissing]),
    ("spring4-drained-120s", &[]),
    ("spring3-drained-120s", &[]),
    ("jmx-drained-120s", &[]),
    ("rust-drained-120s", &[]),
    // A client that waits for records has no lag, even if it shows none.
    ("jmx-given-back-30s", &[]),
    ("spring4-given-back-15s", &[]),
    ("spring4-no-partitions-75s", &[]),
    ("spring3-no-partitions-75s", &[]),
    ("jmx-no-partitions-75s", &[]),
    ("rust-no-partitions-75s", &[]),
    ("spring4-before-first-poll", &[]),
    ("jmx-before-first-poll", &[]),
    // -1 is not a time without a poll.
    ("jmx-never-polled", &[]),
    ("rust-never-polled", &[]),
];

fn scene(recording: &str, fires: &[AlertName]) -> Result<Value> {
    let mut series = series(recording, POD, "x20")?;
    series.push(json!({
        "series": format!(r#"up{{namespace="default",service="kconsumer",pod="{POD}"}}"#), "values": "1x20",
    }));
    let mut fires: Vec<&str> = fires.iter().map(|name| name.as_str()).collect();
    fires.sort_unstable();
    let samples: Vec<Value> = fires
        .iter()
        .map(|name| json!({"labels": format!(r#"{{alertname="{name}"}}"#), "value": 1}))
        .collect();
    Ok(json!({
        "name": recording, "interval": "15s", "input_series": series,
        "promql_expr_test": [{
            "expr": r#"count by (alertname) (ALERTS{alertstate="firing"})"#, "eval_time": "4m",
            "exp_samples": samples,
        }],
    }))
}

/// Tests the alerts of a group with this preset. A consumer hangs after two minutes without a poll.
async fn check(preset: Preset, tests: &[Value]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let hung = json!({AlertName::ConsumersHung.as_str(): {"threshold": 120}});
    let spec = json!({"metrics": {"preset": preset}, "alerts": {"rules": hung}});
    rules::write(&folder.path().join("group.yaml"), "kconsumer", &spec.to_string())?;
    let file = json!({"rule_files": ["group.yaml"], "evaluation_interval": "15s", "tests": tests});
    std::fs::write(folder.path().join("scenes.yaml"), file.to_string())?;
    promtool(folder.path(), &["test", "rules", "scenes.yaml"]).await
}

#[tokio::test]
async fn a_real_client_that_hangs_or_lags_raises_its_alert_and_an_idle_one_none() -> Result<()> {
    for preset in Preset::ALL {
        let scenes = SCENES.iter().filter(|(recording, _)| presets(recording).contains(&preset));
        let tests = scenes.map(|(recording, fires)| scene(recording, fires)).collect::<Result<Vec<_>>>()?;
        assert!(!tests.is_empty(), "{preset:?} has no recording");
        check(preset, &tests).await?;
    }
    Ok(())
}

/// librdkafka's own statistics have no time of the last poll.
#[tokio::test]
async fn a_hung_client_with_librdkafkas_own_figures_alone_raises_its_alert() -> Result<()> {
    let mut hung = scene("rust-hung-150s", &[AlertName::ConsumersHung, AlertName::LagHigh])?;
    let series = hung["input_series"].as_array_mut().context("series")?;
    series.retain(|one| one["series"].as_str().is_some_and(|name| !name.starts_with("kafka_")));
    check(Preset::Librdkafka, &[hung]).await
}
