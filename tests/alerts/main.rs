//! The groups' alerts in promtool: every rule loads, and each alert fires when it should.

mod recorded;
mod recorded_alerts;
mod rules;

use anyhow::{Context, Result};
use kcg_tests::{deploy, promtool};
use serde_json::{Value, json};

#[tokio::test]
async fn rules_of_every_kind_of_group_load_into_prometheus() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (number, spec) in rules::GROUPS.iter().enumerate() {
        let file = format!("{number}.yaml");
        rules::write(&folder.path().join(&file), "kconsumer", spec)?;
        promtool(folder.path(), &["check", "rules", "--lint-fatal", &file])
            .await
            .with_context(|| format!("a group with spec {spec}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn alerts_fire_when_they_should_and_only_then() -> Result<()> {
    let folder = tempfile::tempdir()?;
    rules::write(&folder.path().join("kconsumer.yaml"), "kconsumer", "{}")?;
    rules::write(&folder.path().join("odd.yaml"), "odd", rules::ODD)?;
    rules::write(&folder.path().join("own.yaml"), "own", rules::OWN)?;
    rules::write(&folder.path().join("capped.yaml"), "capped", rules::CAPPED)?;
    std::fs::write(folder.path().join("scenes.yaml"), include_str!("scenes.yaml"))?;
    promtool(folder.path(), &["test", "rules", "scenes.yaml"]).await
}

#[tokio::test]
async fn the_operator_reports_groups_that_do_not_scale_but_not_those_whose_pods_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let shipped = std::fs::read_to_string(deploy("components/monitoring/alerts.yaml"))?;
    let rule: Value = serde_saphyr::from_str(&shipped)?;
    std::fs::write(folder.path().join("operator.yaml"), rule["spec"].to_string())?;
    let groups = |status: &str, reason: &str, pod: &str| {
        let labels = format!(
            r#"namespace="kcg",pod="{pod}",type="MetricsAvailable",status="{status}",reason="{reason}""#
        );
        json!({"series": format!("kconsumer_group_operator_groups{{{labels}}}"), "values": "3x80"})
    };
    let alert = |at: &str, expected: Value| json!({"eval_time": at, "alertname": "KconsumerGroupOperatorGroupsDoNotScale", "exp_alerts": expected});
    let rules = rule["spec"]["groups"][0]["rules"].as_array().context("rules")?;
    let shipped = rules.iter().find(|rule| rule["alert"] == "KconsumerGroupOperatorGroupsDoNotScale");
    let mut annotations = shipped.context("the alert is shipped")?["annotations"].clone();
    annotations["summary"] =
        json!("3 groups cannot scale because their autoscalers do not read the lag (MetricsApiUnavailable)");
    let fires = json!([{
        "exp_labels": {"severity": "warning", "namespace": "kcg", "reason": "MetricsApiUnavailable"},
        "exp_annotations": annotations,
    }]);
    let scenes = json!({
        "rule_files": ["operator.yaml"], "evaluation_interval": "15s",
        "tests": [
            {"interval": "15s", "input_series": [
                // Both controllers export the same.
                groups("False", "MetricsApiUnavailable", "a"), groups("False", "MetricsApiUnavailable", "b"),
                groups("True", "RuleMissing", "a"),
            ], "alert_rule_test": [alert("9m", json!([])), alert("12m", fires)]},
            {"interval": "15s", "input_series": [groups("False", "PodsNotReady", "a")],
             "alert_rule_test": [alert("15m", json!([]))]},
            // A person has scaled them to 0.
            {"interval": "15s", "input_series": [groups("Unknown", "ScaledToZero", "a")],
             "alert_rule_test": [alert("15m", json!([]))]},
        ],
    });
    std::fs::write(folder.path().join("scenes.yaml"), scenes.to_string())?;
    promtool(folder.path(), &["test", "rules", "scenes.yaml"]).await
}
