//! The same load on two groups: one scales and rolls with Kubernetes' defaults, the other with the
//! operator's.

use anyhow::Result;
use kcg_demo::terminal::Expect;
use serde_json::{Value, json};

use super::objects;
use crate::consumer::Consumer;
use crate::observe::broker::Subscription;
use crate::results::Results;
use crate::runner::{Load, Runner, sent_values};
use crate::settings::Settings;

/// The two groups, in the order of the report's columns.
const GROUPS: [(&str, &str); 2] =
    [("kubernetes-defaults", "Kubernetes' defaults"), ("operator-defaults", "The operator's defaults")];
const PARTITIONS: u32 = 6;
/// The operator's default of spec.scaling.minReadySeconds. A test compares it with the operator's code.
const OPERATOR_MIN_READY_SECONDS: i32 = 15;

/// Who consumes what.
pub(super) fn subscriptions() -> Vec<Subscription> {
    GROUPS.map(|(group, _)| Subscription { group: group.into(), topics: vec![topic_of(group)] }).into()
}

fn topic_of(group: &str) -> String {
    format!("orders-{group}")
}

/// spec.scaling of a group. The windows are a tenth unless the run is realistic.
fn scaling(group: &str, settings: &Settings) -> Value {
    let mut scaling = if group == GROUPS[0].0 {
        kubernetes_defaults()
    } else if settings.realistic {
        return json!({});
    } else {
        json!({"behavior": operator_behavior(), "minReadySeconds": OPERATOR_MIN_READY_SECONDS})
    };
    if !settings.realistic {
        shorten(&mut scaling);
    }
    scaling
}

/// What Kubernetes does for a HorizontalPodAutoscaler without a behavior and a Deployment without a
/// strategy.
fn kubernetes_defaults() -> Value {
    json!({
        "behavior": {
            "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": 15},
                {"type": "Pods", "value": 4, "periodSeconds": 15},
            ]},
            "scaleDown": {"stabilizationWindowSeconds": 300, "selectPolicy": "Max", "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ]},
        },
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "minReadySeconds": 0,
    })
}

/// What the operator sets for a group without a behavior. A test compares it with the operator's
/// code.
fn operator_behavior() -> Value {
    json!({
        "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
            {"type": "Pods", "value": 10_000, "periodSeconds": 15},
        ]},
        "scaleDown": {"stabilizationWindowSeconds": 300, "selectPolicy": "Max", "policies": [
            {"type": "Percent", "value": 50, "periodSeconds": 300},
        ]},
    })
}

/// Divides every time by ten, but keeps at least one second.
fn shorten(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_u64() {
                    Some(seconds) if name.ends_with("Seconds") && seconds > 0 => {
                        *field = json!((seconds / 10).max(1));
                    }
                    _ => shorten(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        _ => {}
    }
}

/// All steps in order; returns the results of each group.
pub(crate) async fn run(runner: &mut Runner) -> Result<[Results; 2]> {
    create(runner).await?;
    let at = load(runner).await?;
    roll(runner).await?;
    scale_in(runner).await?;
    let [first, second] = GROUPS.map(|(group, title)| collect(runner, at, group, title));
    Ok([first?, second?])
}

/// The averageRecordsLagLimit of each group.
fn lag_limit(runner: &Runner) -> u64 {
    runner.settings.limit() / 2
}

async fn create(runner: &mut Runner) -> Result<()> {
    runner.step("Two groups that differ only in how they scale and roll")?;
    let mut objects = Vec::new();
    for (group, title) in GROUPS {
        let scaling = scaling(group, &runner.settings);
        let text = serde_saphyr::to_string(&scaling)?;
        let text = text.trim_end().replace('\n', "\n  ");
        runner.print(&format!("{title}: spec.scaling of group {group} is\n  {text}"))?;
        objects.push(objects::topic(&topic_of(group), PARTITIONS));
        objects.push(objects::group(
            Consumer::Rust,
            group,
            &[topic_of(group)],
            lag_limit(runner),
            &scaling,
            &runner.settings,
        ));
    }
    runner.environment.plane.apply_yaml(&objects::manifest(&objects)).await?;
    runner
        .run_all(&[
            "kubectl wait kcg --all --for=condition=Ready --timeout=120s",
            "kubectl wait kcg --all --for=condition=MetricsAvailable --timeout=180s",
        ])
        .await
}

async fn load(runner: &mut Runner) -> Result<f64> {
    let (records, limit) = (runner.settings.records_by_topic(), runner.settings.load_limit());
    runner.step(&format!("{records} records and the end marker for each group, at the same time"))?;
    let at = runner.mark("load");
    let producers = GROUPS.map(|(group, _)| {
        objects::producer(&format!("producer-{group}"), &[topic_of(group)], records, "uniform")
    });
    runner.environment.plane.apply_yaml(&objects::manifest(&producers)).await?;
    let all = u64::from(PARTITIONS);
    runner.wait_until("a consumer for each partition", limit, |now| now.most_ready() >= all).await?;
    runner.run("kubectl get kcg", Expect::Success).await?;
    Ok(at)
}

async fn roll(runner: &mut Runner) -> Result<()> {
    let (records, limit) = (runner.settings.records_by_topic(), runner.settings.load_limit());
    runner.step("A rolling update of both groups under load")?;
    runner
        .wait_until("a quarter of the records to be processed", limit, |now| now.processed >= records / 4)
        .await?;
    for (group, _) in GROUPS {
        runner.require_lag(group)?;
    }
    runner.mark("rolling update");
    for (group, _) in GROUPS {
        let patch =
            r#"[{"op":"add","path":"/spec/consumerSpec/env/-","value":{"name":"RELEASE","value":"2"}}]"#;
        runner
            .run(&format!("kubectl patch kcg {group} --type=json --patch='{patch}'"), Expect::Success)
            .await?;
    }
    runner
        .wait_until("every record to be processed and committed", limit, |now| now.is_drained(records + 1))
        .await?;
    for (group, _) in GROUPS {
        let rolled = format!("kubectl rollout status deployment/{group} --timeout=300s");
        runner.run(&rolled, Expect::Success).await?;
    }
    Ok(())
}

async fn scale_in(runner: &mut Runner) -> Result<()> {
    runner.step("No lag is left: both groups scale in to one consumer")?;
    let limit = runner.settings.load_limit();
    runner.wait_until("one consumer each", limit, |now| now.ready() == 1 && now.wanted() == 1).await
}

fn collect(runner: &mut Runner, at: f64, group: &str, title: &str) -> Result<Results> {
    let sent = [(topic_of(group), sent_values(runner.settings.records_by_topic()).collect())].into();
    let limit = lag_limit(runner);
    runner.collect(title, &[Load { group: group.into(), at, sent, limit, topic_to_ceiling_ms: None }])
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use kcg_api::ValidGroup;
    use kcg_api::valid::{TopicGrants, parse_group};
    use kcg_core::ceiling;
    use kcg_core::children::{ChildKind, desired_one};

    use super::*;

    fn settings(realistic: bool) -> Settings {
        Settings {
            scenario: crate::Scenario::Comparison,
            consumer: crate::Consumer::Rust,
            rounds: false,
            records: 1000,
            realistic,
        }
    }

    #[test]
    fn what_the_operator_s_group_has_equals_the_defaults_of_the_operator() -> Result<()> {
        let settings = settings(true);
        let group = objects::group(
            Consumer::Rust,
            "a",
            &["b".into()],
            10,
            &scaling(GROUPS[1].0, &settings),
            &settings,
        );
        let written = parse_group(group).group;
        let valid = ValidGroup::read(&written, &TopicGrants::Own, &kcg_api::GroupDefaults::default())
            .map_err(|why| anyhow::anyhow!("{why:?}"))?;
        let ceiling = ceiling::resolve(&valid, &[].into(), None);
        let autoscaler =
            desired_one(ChildKind::HorizontalPodAutoscaler, &valid, &ceiling).context("always there")?;
        assert_eq!(autoscaler.object["spec"]["behavior"], operator_behavior());
        assert_eq!(valid.scaling.min_ready_seconds, OPERATOR_MIN_READY_SECONDS);
        Ok(())
    }

    #[test]
    fn short_windows_are_a_tenth_and_never_zero() {
        let down =
            |group: &str, realistic| scaling(group, &settings(realistic))["behavior"]["scaleDown"].clone();
        assert_eq!(down(GROUPS[0].0, true)["policies"][0]["periodSeconds"], 15);
        assert_eq!(down(GROUPS[0].0, false)["policies"][0]["periodSeconds"], 1);
        assert_eq!(down(GROUPS[1].0, false)["stabilizationWindowSeconds"], 30);
        let ready = GROUPS.map(|(group, _)| scaling(group, &settings(false))["minReadySeconds"].clone());
        assert_eq!(ready, [0, 1]);
        assert_eq!(
            down(GROUPS[1].0, false)["policies"][0],
            json!({"type": "Percent", "value": 50, "periodSeconds": 30})
        );
    }
}
