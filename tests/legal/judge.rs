//! What must hold of a group at rest. The facts are the API server's; the expected values are computed
//! here, from what docs/resource.md promises.

use std::collections::{BTreeMap, BTreeSet};

use kcg_tests::objects::{
    AUTOSCALER, CHILDREN, DEPLOYMENT, GROUP, Kind, RULE, SERVICE, condition, is_observed,
};
use serde_json::{Value, json};

use crate::known::TOPICS;
use crate::observer::Family;

/// The reasons of Ready that tell of a child that the API server or the operator refuses.
const TELLING: [&str; 3] = ["ApplyRefused", "InvalidSpec", "NameConflict"];

/// Whether the operator is done with the group's spec, or why not.
pub fn settled(family: &Family) -> Result<(), String> {
    let Some(group) = family.of(GROUP) else { return Err("there is no group".into()) };
    if !is_observed(group) {
        let (seen, wanted) = (&group["status"]["observedGeneration"], &group["metadata"]["generation"]);
        return Err(format!("observedGeneration is {seen} instead of {wanted}"));
    }
    let [status, reason, message] = condition(group, "Ready");
    // It is tried again.
    if status.is_empty() || reason == "ApplyFailed" {
        return Err(format!("Ready is {status} for {reason}: {message}"));
    }
    if told(family).is_some() || group["spec"]["paused"] == true {
        return Ok(());
    }
    let has_alerts = group["spec"]["alerts"]["enabled"] != false;
    for kind in CHILDREN {
        let wanted = kind != RULE || has_alerts;
        if family.of(kind).is_some() != wanted {
            return Err(format!("{} is there: {}; Ready: {reason}: {message}", kind.name, !wanted));
        }
    }
    Ok(())
}

/// Why a child is refused, by the group's condition.
pub fn told(family: &Family) -> Option<String> {
    let [_, reason, message] = condition(family.of(GROUP)?, "Ready");
    TELLING.contains(&reason).then(|| format!("{reason}: {message}"))
}

/// What is wrong with a group at rest.
pub fn wrong(name: &str, family: &Family) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some(group) = family.of(GROUP) else { return vec!["there is no group".into()] };
    conditions(group, &mut wrong);
    if told(family).is_some() {
        return wrong;
    }
    for (kind, child) in CHILDREN.iter().filter_map(|kind| Some((kind, family.of(*kind)?))) {
        owned(name, group, *kind, child, &mut wrong);
    }
    if group["spec"]["paused"] != true {
        replicas(family, group, &mut wrong);
        pods(name, family, group, &mut wrong);
    }
    wrong
}

/// Each condition is of this generation and says something; no pod runs, so the group is not ready.
fn conditions(group: &Value, wrong: &mut Vec<String>) {
    for one in group["status"]["conditions"].as_array().into_iter().flatten() {
        let is_whole = one["observedGeneration"] == group["metadata"]["generation"]
            && matches!(one["status"].as_str(), Some("True" | "False" | "Unknown"))
            && ["reason", "message"]
                .iter()
                .all(|field| one[field].as_str().is_some_and(|text| !text.is_empty()));
        if !is_whole {
            wrong.push(format!("the condition {one}"));
        }
    }
    let ready = condition(group, "Ready");
    if ready[0] == "True" {
        wrong.push("Ready is True without a pod".into());
    }
    let is_paused = group["spec"]["paused"] == true;
    // A paused group without children waits for the person who has paused it.
    let needs_a_person = ready[0] == "False" && !(is_paused && ready[1] == "PodsNotReady");
    if (condition(group, "Stalled")[0] == "True") != needs_a_person {
        wrong.push(format!("Stalled is {:?} and Ready {ready:?}", condition(group, "Stalled")));
    }
    let paused = if is_paused { "True" } else { "False" };
    if condition(group, "Paused")[0] != paused {
        wrong.push(format!("Paused is not {paused}"));
    }
}

fn owned(name: &str, group: &Value, kind: Kind, child: &Value, wrong: &mut Vec<String>) {
    let owner = &child["metadata"]["ownerReferences"][0];
    if owner["uid"] != group["metadata"]["uid"] || owner["controller"] != true {
        wrong.push(format!("the owner of the {} is {owner}", kind.name));
    }
    let labels = &child["metadata"]["labels"];
    if labels["thenextapps.com/kconsumergroup"] != name {
        wrong.push(format!("the labels of the {} are {labels}", kind.name));
    }
}

/// Partitions, ceiling and bounds, in the status and in the autoscaler.
fn replicas(family: &Family, group: &Value, wrong: &mut Vec<String>) {
    let (spec, status) = (&group["spec"], &group["status"]);
    let (partitions, ceiling) = ceiling(spec);
    if status["partitions"] != partitions || status["maxReplicas"] != ceiling {
        wrong.push(format!(
            "partitions {} and maxReplicas {} instead of {partitions} and {ceiling}",
            status["partitions"], status["maxReplicas"]
        ));
    }
    let bounds = family.of(AUTOSCALER).map(|autoscaler| &autoscaler["spec"]);
    let least = spec["minReplicas"].as_i64().unwrap_or(1).min(ceiling);
    if let Some(bounds) =
        bounds.filter(|bounds| bounds["minReplicas"] != least || bounds["maxReplicas"] != ceiling)
    {
        wrong.push(format!(
            "the autoscaler goes from {} to {} instead of {least} to {ceiling}",
            bounds["minReplicas"], bounds["maxReplicas"]
        ));
    }
    let pods = family
        .of(DEPLOYMENT)
        .map_or(json!(0), |deployment| deployment["status"].get("replicas").cloned().unwrap_or(json!(0)));
    if status.get("replicas").cloned().unwrap_or(json!(0)) != pods {
        wrong.push(format!("replicas {} instead of {pods}", status["replicas"]));
    }
}

/// The partitions that count and the ceiling, as docs/resource.md defines them.
fn ceiling(spec: &Value) -> (i64, i64) {
    let consumer = &spec["consumerSpec"];
    let further = consumer["topics"].as_array().into_iter().flatten();
    let mut topics: Vec<&Value> = further.chain([&consumer["topic"]]).collect();
    topics.sort_by_key(|topic| topic.as_str());
    topics.dedup();
    let counts = topics.iter().filter_map(|topic| TOPICS.iter().find(|(name, _)| *topic == name));
    let counts = counts.map(|(_, count)| *count);
    let partitions =
        if spec["scaling"]["partitions"] == "Sum" { counts.sum() } else { counts.max().unwrap_or_default() };
    let each = consumer["partitionsPerConsumer"].as_i64().unwrap_or(1);
    let busy = partitions / each + i64::from(partitions % each > 0);
    (partitions, busy.min(spec["maxReplicas"].as_i64().unwrap_or(i64::MAX)))
}

/// The Service finds the pods, and the consumer's container is among them.
fn pods(name: &str, family: &Family, group: &Value, wrong: &mut Vec<String>) {
    let (Some(service), Some(deployment)) = (family.of(SERVICE), family.of(DEPLOYMENT)) else { return };
    let template = &deployment["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    let selected = |selector: &Value| {
        let wanted = selector.as_object().filter(|wanted| !wanted.is_empty());
        wanted.is_some_and(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
    };
    if !selected(&service["spec"]["selector"]) || !selected(&deployment["spec"]["selector"]["matchLabels"]) {
        wrong.push(format!("the Service or the Deployment does not select {labels}"));
    }
    let consumer = group["spec"]["consumerSpec"]["containerName"].as_str().unwrap_or(name);
    let containers = template["spec"]["containers"].as_array().into_iter().flatten();
    if !containers.into_iter().any(|container| container["name"] == consumer) {
        wrong.push(format!("no container is {consumer}"));
    }
}

/// The generation of each child that has one.
pub fn generations(family: &Family) -> BTreeMap<&'static str, i64> {
    let children = CHILDREN.iter().filter_map(|kind| Some((kind.name, family.of(*kind)?)));
    children.filter_map(|(kind, child)| Some((kind, child["metadata"]["generation"].as_i64()?))).collect()
}

/// The children that were written more often than once for one change of the group. The PrometheusRule
/// may be written twice: its alerts go by the tolerance of the autoscaler that is in force, and what else
/// has changed of it does not wait for that.
pub fn rewritten(before: &BTreeMap<&str, i64>, after: &BTreeMap<&'static str, i64>) -> Vec<String> {
    let written = after.iter().map(|(kind, now)| (kind, before.get(kind).copied().unwrap_or(0), *now));
    let often =
        written.filter(|(kind, then, now)| *now > then + 1 + i64::from(**kind == RULE.name && *then > 0));
    often.map(|(kind, then, now)| format!("the generation of the {kind} went from {then} to {now}")).collect()
}

/// What of the children does not depend on when the group was made.
pub fn lasting(family: &Family) -> Value {
    let mut children = json!({});
    for kind in CHILDREN {
        let Some(child) = family.of(kind) else { continue };
        let (metadata, mut spec) = (&child["metadata"], child["spec"].clone());
        let chosen: &[&str] = match kind {
            SERVICE => &["clusterIP", "clusterIPs"],
            // The autoscaler's.
            DEPLOYMENT => &["replicas"],
            _ => &[],
        };
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|field, _| !chosen.contains(&field.as_str()));
        }
        let mut annotations = metadata["annotations"].clone();
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.retain(|name, _| !name.starts_with("thenextapps.com/"));
        }
        children[kind.name] = json!({"labels": metadata["labels"], "annotations": annotations, "spec": spec});
    }
    children
}

/// Where two values differ first.
pub fn difference(one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(fields), Value::Object(others)) => {
            let names: BTreeSet<&String> = fields.keys().chain(others.keys()).collect();
            names.into_iter().find_map(|name| {
                let [one, other] = [fields, others].map(|side| side.get(name).unwrap_or(&Value::Null));
                difference(one, other).map(|rest| format!("/{name}{rest}"))
            })
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            let pairs = items.iter().zip(others).enumerate();
            pairs
                .into_iter()
                .find_map(|(at, (one, other))| difference(one, other).map(|rest| format!("/{at}{rest}")))
        }
        _ => (one != other).then(|| format!(": {one}, and of a new group {other}")),
    }
}
