//! Children are created by POST, so an object that another client creates at the same moment is never
//! written. What is left of a creation in managedFields keeps no field alive.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::join_all;
use kcg_api::topic::{TopicFacts, TopicLookup};
use kcg_api::valid::{TopicGrants, parse_group};
use kcg_api::{GroupDefaults, ValidGroup, names};
use kcg_core::{ceiling, children};
use kcg_tests::Outcome;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{AUTOSCALER, CHILDREN, DEPLOYMENT, GROUP, Kind, RULE, SERVICE, TOPIC, condition};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::env::{ControllerEnv, SOON};

const ROUNDS: usize = 40;

/// An object that an apply without force would merge into: it conflicts in no field.
fn foreign(kind: Kind, name: &str, is_labelled: bool) -> Value {
    let spec = match kind {
        SERVICE => json!({"ports": [{"name": "web", "port": 80}]}),
        RULE => json!({"groups": []}),
        AUTOSCALER => {
            json!({"maxReplicas": 2, "scaleTargetRef": {"apiVersion": "v1", "kind": "K", "name": "nothing"}})
        }
        DEPLOYMENT => json!({"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "web", "image": "example.com/web:1"}]},
        }}),
        _ => json!({"selector": {}, "endpoints": []}),
    };
    let labels = if is_labelled { json!({names::LABEL_MANAGED_BY: names::OPERATOR}) } else { json!({}) };
    json!({"apiVersion": kind.api_version(), "kind": kind.name, "metadata": {"name": name, "labels": labels}, "spec": spec})
}

/// When another one creates its object, so that about half of them are first.
struct Timing {
    delay: Duration,
    seed: u64,
}

impl Timing {
    /// Within a factor of two around the delay.
    fn next(&mut self) -> Duration {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.delay
            .mul_f64(0.5 + f64::from(u32::try_from(self.seed >> 33).unwrap_or_default()) / 2f64.powi(31))
    }

    fn learn(&mut self, was_first: bool) {
        self.delay = self.delay.mul_f64(if was_first { 1.2 } else { 0.8 }).max(Duration::from_micros(100));
    }
}

/// Creates a group, and objects of its children's names at some moment after that. Returns those
/// that were created before the child.
async fn race(ns: &Namespace, name: &str, round: usize, delays: &[Duration]) -> Outcome<Vec<Option<Value>>> {
    ns.create_group(name, &json!({})).await?;
    let creations = CHILDREN.into_iter().zip(delays).map(async |(kind, delay)| {
        tokio::time::sleep(*delay).await;
        ns.create_object(kind, &foreign(kind, name, round.is_multiple_of(2))).await.ok()
    });
    Ok(join_all(creations).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_another_one_creates_at_the_same_moment_is_never_written() -> Outcome {
    let env = ControllerEnv::start("race").await?;
    let mut timings: Vec<Timing> =
        (0..5).map(|seed| Timing { delay: Duration::from_millis(10), seed }).collect();
    let mut first = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("g{round}");
        let delays: Vec<Duration> = timings.iter_mut().map(Timing::next).collect();
        let created = race(&env, &name, round, &delays).await?;
        timings.iter_mut().zip(&created).for_each(|(timing, object)| timing.learn(object.is_some()));
        first.extend(
            CHILDREN
                .into_iter()
                .zip(created)
                .filter_map(|(kind, object)| Some((kind, name.clone(), object?))),
        );
    }
    let conflicts = first.len();
    assert!((20..ROUNDS * 5 - 20).contains(&conflicts), "no race: {conflicts} of {}", ROUNDS * 5);
    for (kind, name, before) in &first {
        let report = format!("{} {name} has no controller and is not modified", kind.name);
        env.eventually(GROUP, name, "the conflict is reported", |group| {
            let [_, reason, message] = condition(group, "Ready");
            reason == "NameConflict" && message.contains(&report)
        })
        .await?;
        assert_eq!(env.get(*kind, name).await?, *before, "not even its resourceVersion has changed");
    }
    env.stop().await
}

/// The entries of the operator in managedFields: operation and manager.
fn entries(object: &Value) -> Vec<(&str, &str)> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries
        .filter_map(|entry| Some((entry["operation"].as_str()?, entry["manager"].as_str()?)))
        .filter(|(_, manager)| manager.starts_with(names::OPERATOR))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_change_of_each_kind_costs_one_write_unless_it_leaves_out_a_field() -> Outcome {
    let env = ControllerEnv::start("first-change").await?;
    let pod = json!({"podTemplate": {"spec": {"nodeSelector": {"a": "b", "c": "d"}}}});
    env.create_group("g", &json!({"consumerSpec": pod, "scaling": {"minReadySeconds": 1}})).await?;
    env.children_exist("g").await?;
    let created = env.get(DEPLOYMENT, "g").await?;
    let creator = entries(&created);
    assert!(creator.len() == 1 && creator[0].0 == "Update", "{creator:?}");

    env.faults.log.clear();
    env.patch(GROUP, "g", &json!({"spec": {"scaling": {"minReadySeconds": 2}}})).await?;
    let ready_seconds = |seconds: i64| move |seen: &Value| seen["spec"]["minReadySeconds"] == seconds;
    let applied = env.eventually(DEPLOYMENT, "g", "the seconds", ready_seconds(2)).await?;
    assert_eq!(entries(&applied), [("Apply", names::OPERATOR), creator[0]]);
    env.patch(GROUP, "g", &json!({"spec": {"scaling": {"minReadySeconds": 3}}})).await?;
    env.eventually(DEPLOYMENT, "g", "the seconds", ready_seconds(3)).await?;
    assert_eq!(env.faults.log.count("PATCH", "/deployments/g?"), 2);

    let removal = json!([{"op": "remove", "path": "/spec/consumerSpec/podTemplate/spec/nodeSelector/c"}]);
    env.json_patch(GROUP, "g", &removal).await?;
    let changed = env
        .eventually(DEPLOYMENT, "g", "no c", |seen| {
            seen["spec"]["template"]["spec"]["nodeSelector"] == json!({"a": "b"})
        })
        .await?;
    assert_eq!(entries(&changed), [("Apply", names::OPERATOR)]);
    assert_eq!(env.faults.log.count("PATCH", "/deployments/g?"), 4);
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_the_first_apply_leaves_out_is_gone_also_after_a_restart() -> Outcome {
    let env = ControllerEnv::start("left-out").await?;
    let labels = json!({"inheritedMetadata": {"labels": {"team": "x"}, "annotations": {"a": "b"}}});
    env.create_group("g", &labels).await?;
    env.create_group(
        "h",
        &json!({"consumerSpec": {"groupId": "h"}, "inheritedMetadata": labels["inheritedMetadata"]}),
    )
    .await?;
    for name in ["g", "h"] {
        env.children_exist(name).await?;
    }
    let removal = json!([{"op": "remove", "path": "/spec/inheritedMetadata"}]);
    let is_left_out = |seen: &Value| {
        seen["metadata"]["labels"]["team"].is_null() && seen["metadata"]["annotations"]["a"].is_null()
    };
    env.json_patch(GROUP, "g", &removal).await?;
    for kind in CHILDREN {
        let child = env.eventually(kind, "g", "no label of the team", is_left_out).await?;
        assert_eq!(entries(&child), [("Apply", names::OPERATOR)], "{}", kind.name);
    }
    let restarted = env
        .restart(async |ns: &Namespace| {
            ns.json_patch(GROUP, "h", &removal).await?;
            Ok(())
        })
        .await?;
    for kind in CHILDREN {
        restarted.eventually(kind, "h", "no label of the team", is_left_out).await?;
    }
    restarted.stop().await
}

/// Creates the children of a group as an earlier version of the operator did: by server-side apply.
async fn apply_children(ns: &Namespace, name: &str) -> Outcome {
    let stored = parse_group(ns.get(GROUP, name).await?).group;
    let group = ValidGroup::read(&stored, &TopicGrants::Own, &GroupDefaults::default())
        .map_err(|broken| anyhow::anyhow!("{broken:?}"))?;
    let topic = group.consumer.topics.first().context("a topic")?.clone();
    let facts = TopicFacts::decode(&ns.get(TOPIC, &topic.name).await?);
    let lookups = BTreeMap::from([(topic, TopicLookup::Found(facts))]);
    for child in children::desired(&group, &ceiling::resolve(&group, &lookups, None)) {
        let kind = CHILDREN.into_iter().find(|kind| kind.name == child.kind.kind()).context("a kind")?;
        let params = PatchParams::apply(names::OPERATOR);
        ns.api(kind).patch(name, &params, &Patch::Apply(&child.object)).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn children_of_an_earlier_version_are_not_written_until_they_change() -> Outcome {
    let env = ControllerEnv::start("applied").await?;
    let env = env
        .restart(async |ns: &Namespace| {
            ns.create_group("g", &json!({"inheritedMetadata": {"labels": {"team": "x"}}})).await?;
            apply_children(ns, "g").await
        })
        .await?;
    env.condition_is("g", "Ready", "RollingOut").await?;
    env.drift_is_repaired("g").await?;
    let writes = env.faults.log.writes();
    let children: Vec<&String> =
        writes.iter().filter(|write| write.contains("/g?") && !write.contains("/status")).collect();
    assert!(children.len() == 1 && children[0].contains("/services/g?"), "only the repair: {children:?}");
    env.json_patch(GROUP, "g", &json!([{"op": "remove", "path": "/spec/inheritedMetadata"}])).await?;
    for kind in CHILDREN {
        let is_left_out = |seen: &Value| seen["metadata"]["labels"]["team"].is_null();
        let child = env.eventually(kind, "g", "no label of the team", is_left_out).await?;
        assert_eq!(entries(&child), [("Apply", names::OPERATOR)], "{}", kind.name);
    }
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_pods_survives_the_first_apply() -> Outcome {
    let env = ControllerEnv::start("pods").await?;
    env.create_group("g", &json!({"minReplicas": 3})).await?;
    env.children_exist("g").await?;
    let replicas = |seen: &Value| seen["spec"]["replicas"].as_i64();
    assert_eq!(replicas(&env.get(DEPLOYMENT, "g").await?), Some(3));
    for (tag, scaled) in [(1, None), (2, Some(5)), (3, Some(0))] {
        let image = format!("example.com/consumer:{tag}");
        if let Some(scaled) = scaled {
            env.kubectl(&["scale", "deployment/g", &format!("--replicas={scaled}")]).await?.ok()?;
        }
        env.patch(GROUP, "g", &json!({"spec": {"consumerSpec": {"image": image}}})).await?;
        let has_image =
            |seen: &Value| seen.pointer("/spec/template/spec/containers/0/image") == Some(&json!(image));
        let changed = env.within(SOON).eventually(DEPLOYMENT, "g", "the image", has_image).await?;
        assert_eq!(replicas(&changed), Some(scaled.unwrap_or(3)), "{tag}");
    }
    env.stop().await
}
