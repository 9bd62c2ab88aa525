//! The same load on two groups at once: one that scales and rolls by Kubernetes' defaults, one by the operator's.

use anyhow::Result;
use serde_json::{Value, json};

use super::broker::Subscription;
use super::groups;
use super::outcome::{self, Load};
use super::report::Story;
use super::settings::Settings;
use super::teller::Teller;
use kcg_demo::terminal::Expect;

/// The two groups, in the order of the report's columns.
const GROUPS: [(&str, &str); 2] =
    [("kubernetes-defaults", "Kubernetes' defaults"), ("operator-defaults", "The operator's defaults")];
const PARTITIONS: u32 = 6;

/// Who consumes what.
pub fn subscriptions() -> Vec<Subscription> {
    GROUPS.map(|(group, _)| Subscription { group: group.into(), topics: vec![topic_of(group)] }).into()
}

fn topic_of(group: &str) -> String {
    format!("orders-{group}")
}

/// spec.scaling of a group, with windows of a tenth where the story is short.
fn scaling(group: &str, settings: &Settings) -> Value {
    let mut scaling = if group == GROUPS[0].0 {
        kubernetes_own()
    } else if settings.realistic {
        return json!({});
    } else {
        json!({"behavior": operators_own()})
    };
    if !settings.realistic {
        shorten(&mut scaling);
    }
    scaling
}

/// What a HorizontalPodAutoscaler without a behavior does, and a Deployment without a strategy.
fn kubernetes_own() -> Value {
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
    })
}

/// What the operator gives a group that names no behavior; a test holds it against the operator's own.
fn operators_own() -> Value {
    json!({
        "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
            {"type": "Pods", "value": 10_000, "periodSeconds": 15},
        ]},
        "scaleDown": {"stabilizationWindowSeconds": 300, "selectPolicy": "Max", "policies": [
            {"type": "Percent", "value": 50, "periodSeconds": 300},
        ]},
    })
}

/// Every time in it becomes a tenth, but none that is not 0 becomes 0.
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

/// The whole comparison: what each of the two left.
pub async fn tell(teller: &mut Teller) -> Result<[Story; 2]> {
    create(teller).await?;
    let at = load(teller).await?;
    roll(teller).await?;
    rest(teller).await?;
    let [first, second] = GROUPS.map(|(group, title)| story_of(teller, at, group, title));
    Ok([first?, second?])
}

/// What one consumer may be behind.
fn limit(teller: &Teller) -> u64 {
    teller.settings.limit() / 2
}

async fn create(teller: &mut Teller) -> Result<()> {
    teller.chapter("Two groups alike, but for how they scale and roll")?;
    let mut objects = Vec::new();
    for (group, title) in GROUPS {
        let scaling = scaling(group, &teller.settings);
        teller.say(&format!("{title}: spec.scaling of group {group} is {scaling}"))?;
        objects.push(groups::topic(&topic_of(group), PARTITIONS));
        objects.push(groups::group(group, &[topic_of(group)], limit(teller), &scaling, &teller.settings));
    }
    teller.stage.plane.apply_yaml(&groups::manifest(&objects)).await?;
    teller
        .all(&[
            "kubectl wait kcg --all --for=condition=Ready --timeout=120s",
            "kubectl wait kcg --all --for=condition=MetricsAvailable --timeout=180s",
        ])
        .await
}

async fn load(teller: &mut Teller) -> Result<f64> {
    let (records, patience) = (teller.settings.records_by_topic(), teller.settings.patience());
    teller.chapter(&format!("{records} records and the end marker for each, at once"))?;
    let at = teller.mark("load");
    let producers = GROUPS.map(|(group, _)| {
        groups::producer(&format!("producer-{group}"), &[topic_of(group)], records, "uniform")
    });
    teller.stage.plane.apply_yaml(&groups::manifest(&producers)).await?;
    let all = u64::from(PARTITIONS);
    teller.until("a consumer for each partition", patience, |now| now.most_ready() >= all).await?;
    teller.run("kubectl get kcg", Expect::Success).await?;
    Ok(at)
}

async fn roll(teller: &mut Teller) -> Result<()> {
    let (records, patience) = (teller.settings.records_by_topic(), teller.settings.patience());
    teller.chapter("Both are rolled in the middle of it")?;
    teller
        .until("a quarter of the records to be processed", patience, |now| now.processed >= records / 4)
        .await?;
    for (group, _) in GROUPS {
        teller.must_be_behind(group)?;
    }
    teller.mark("rolling update");
    for (group, _) in GROUPS {
        let patch =
            r#"[{"op":"add","path":"/spec/consumerSpec/env/-","value":{"name":"RELEASE","value":"2"}}]"#;
        teller
            .run(&format!("kubectl patch kcg {group} --type=json --patch='{patch}'"), Expect::Success)
            .await?;
    }
    teller
        .until("every record to be processed and committed", patience, |now| now.is_drained(records + 1))
        .await?;
    for (group, _) in GROUPS {
        let rolled = format!("kubectl rollout status deployment/{group} --timeout=300s");
        teller.run(&rolled, Expect::Success).await?;
    }
    Ok(())
}

async fn rest(teller: &mut Teller) -> Result<()> {
    teller.chapter("Nothing is left to do: both shrink to one")?;
    let patience = teller.settings.patience();
    teller.until("one consumer each", patience, |now| now.ready() == 1 && now.wanted() == 1).await
}

fn story_of(teller: &mut Teller, at: f64, group: &str, title: &str) -> Result<Story> {
    let sent = [(topic_of(group), outcome::values(teller.settings.records_by_topic()).collect())].into();
    let limit = limit(teller);
    outcome::assemble(
        teller,
        title,
        &[Load { group: group.into(), at, sent, limit, topic_to_ceiling_ms: None }],
    )
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
        Settings { which: super::super::Which::Comparison, records: 1000, realistic }
    }

    #[test]
    fn the_operators_behavior_is_what_the_operator_gives_a_group_that_names_none() -> Result<()> {
        let settings = settings(true);
        let group = groups::group("a", &["b".into()], 10, &scaling(GROUPS[1].0, &settings), &settings);
        let written = parse_group(group).group;
        let valid =
            ValidGroup::read(&written, &TopicGrants::Own).map_err(|why| anyhow::anyhow!("{why:?}"))?;
        let ceiling = ceiling::resolve(&valid, &[].into(), None);
        let autoscaler =
            desired_one(ChildKind::HorizontalPodAutoscaler, &valid, &ceiling).context("always there")?;
        assert_eq!(autoscaler.object["spec"]["behavior"], operators_own());
        Ok(())
    }

    #[test]
    fn short_windows_are_a_tenth_and_none_vanishes() {
        let down =
            |group: &str, realistic| scaling(group, &settings(realistic))["behavior"]["scaleDown"].clone();
        assert_eq!(down(GROUPS[0].0, true)["policies"][0]["periodSeconds"], 15);
        assert_eq!(down(GROUPS[0].0, false)["policies"][0]["periodSeconds"], 1);
        assert_eq!(down(GROUPS[1].0, false)["stabilizationWindowSeconds"], 30);
        assert_eq!(
            down(GROUPS[1].0, false)["policies"][0],
            json!({"type": "Percent", "value": 50, "periodSeconds": 30})
        );
    }
}
