//! From a live object to the facts that are kept of it.

use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::jiff::Timestamp;
use kcg_api::projection::{Keep, most_values};
use kcg_api::{names, spec_bounds};
use serde::de::DeserializeSeed as _;
use serde_json::{Map, Value, json};

use super::{Acceptance, AutoscalerFacts, Child, DeploymentFacts, Detail, PodsMetric, Progress, Signal};
use crate::ceiling::Held;
use crate::children::{self, ChildKind, TemplateOrigin};
use crate::creation::{self, Creation};
use crate::drift::{self, Drift};
use crate::lag::{self, LagSource, Tolerance};
use crate::quantity;
use crate::refusal::Refusal;

/// The most Pods metrics that are kept of an autoscaler: the lag, and those that a group can have.
const MAX_METRICS: usize = spec_bounds::MAX_ITEMS + 1;

/// The most JSON values of a child that is parsed as a whole. One of ours has a few thousand, and each
/// other manager adds its fields; so many values need at most 70 MB.
const MAX_VALUES: usize = 200_000;

/// What is read of an object that no group controls: it is only in the way.
const HEAD: Keep = Keep::Fields(&[(
    "metadata",
    Keep::Fields(&[
        ("name", Keep::Scalar),
        ("namespace", Keep::Scalar),
        ("uid", Keep::Scalar),
        ("resourceVersion", Keep::Scalar),
        ("deletionTimestamp", Keep::Scalar),
        (
            "ownerReferences",
            Keep::Items(&Keep::Fields(&[
                ("apiVersion", Keep::Scalar),
                ("kind", Keep::Scalar),
                ("name", Keep::Scalar),
                ("uid", Keep::Scalar),
                ("controller", Keep::Scalar),
            ])),
        ),
    ]),
)]);

/// Reads a live object of a child's kind. Of one that no group controls only the head of its metadata
/// is kept: everyone may set the label that the watch selects. The error of one that is too large names
/// the bound.
pub fn read(text: &str) -> Result<Value, String> {
    let head = HEAD.deserialize(&mut serde_json::Deserializer::from_str(text));
    let head = head.map_err(|error| format!("metadata: {error}"))?;
    if !controller(&head).is_some_and(is_group) {
        return Ok(head);
    }
    let values = most_values(text);
    if values > MAX_VALUES {
        return Err(format!("object: has about {values} JSON values, and at most {MAX_VALUES} are read"));
    }
    serde_json::from_str(text).map_err(|error| format!("object: {error}"))
}

fn is_group(owner: &Value) -> bool {
    let group = text(&owner["apiVersion"]).split_once('/').map(|(group, _)| group);
    group == Some(names::GROUP) && owner["kind"] == names::KIND
}

/// The facts of one live object, not yet compared with what it should be.
pub fn child(kind: ChildKind, live: &Value) -> Child {
    let metadata = &live["metadata"];
    Child {
        uid: text(&metadata["uid"]).into(),
        resource_version: version(live),
        controller: controller(live).and_then(|owner| owner["uid"].as_str()).map(Into::into),
        deleting: metadata.get("deletionTimestamp").is_some(),
        drift: Drift::Unknown,
        creation: Creation::of(live),
        detail: match kind {
            ChildKind::Deployment => Detail::Deployment(Box::new(deployment(live))),
            ChildKind::HorizontalPodAutoscaler => Detail::Autoscaler(Box::new(autoscaler(live))),
            ChildKind::ServiceMonitor | ChildKind::PrometheusRule => Detail::Monitor(acceptance(live)),
            ChildKind::Service => Detail::Service { has_cluster_ip: has_cluster_ip(live) },
        },
    }
}

/// metadata.resourceVersion as a number, which orders two versions of one object; 0 if it is not a
/// number.
pub fn version(live: &Value) -> u64 {
    version_of(text(&live["metadata"]["resourceVersion"]))
}

/// A resourceVersion as a number, as [`version`].
pub fn version_of(resource_version: &str) -> u64 {
    resource_version.parse().unwrap_or_default()
}

/// The ownerReference of the controller of an object.
pub fn controller(live: &Value) -> Option<&Value> {
    let owners = live["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)
}

/// A hash of everything that [`drift::drift`] depends on. A change of status, or of an annotation or a
/// label of another manager, does not change it, so an earlier comparison stays valid. An empty text may
/// be equal to a desired one whoever owns it.
pub fn fingerprint(live: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    let parts = live.as_object().into_iter().flatten();
    parts
        .filter(|(name, _)| !matches!(name.as_str(), "status" | "metadata"))
        .for_each(|part| part.hash(&mut hasher));
    let metadata = &live["metadata"];
    for name in ["ownerReferences", "uid", "deletionTimestamp"] {
        metadata[name].hash(&mut hasher);
    }
    let managers = metadata["managedFields"].as_array().into_iter().flatten();
    let is_ours = |entry: &&Value| creation::is_applied(entry) || creation::entry_shape(entry).is_some();
    let entries: Vec<&Value> = managers.filter(is_ours).collect();
    for entry in &entries {
        for name in ["manager", "apiVersion", "fieldsV1"] {
            entry[name].hash(&mut hasher);
        }
    }
    for (name, field) in [("labels", "f:labels"), ("annotations", "f:annotations")] {
        let owned = entries.iter().filter_map(|entry| entry["fieldsV1"]["f:metadata"][field].as_object());
        let owned = owned.flat_map(Map::keys).filter_map(|key| key.strip_prefix("f:"));
        owned.for_each(|key| metadata[name][key].hash(&mut hasher));
        let texts = metadata[name].as_object().into_iter().flatten();
        texts.filter(|(_, text)| *text == "").for_each(|(key, _)| key.hash(&mut hasher));
    }
    hasher.finish()
}

/// A headless Service has `None`, one that was made an ExternalName has nothing.
fn has_cluster_ip(service: &Value) -> bool {
    !matches!(text(&service["spec"]["clusterIP"]), "" | "None")
}

fn deployment(live: &Value) -> DeploymentFacts {
    let status = &live["status"];
    let (progress, refused) = progress(status);
    let observed = status["observedGeneration"].as_i64();
    DeploymentFacts {
        template: TemplateOrigin::of(live),
        is_observed: observed.is_some() && observed >= live["metadata"]["generation"].as_i64(),
        wanted: number(&live["spec"]["replicas"]),
        paused: live["spec"]["paused"] == true,
        replicas: number(&status["replicas"]),
        updated: number(&status["updatedReplicas"]),
        ready: number(&status["readyReplicas"]),
        available: number(&status["availableReplicas"]),
        progress,
        refused,
        progress_deadline: number(&live["spec"]["progressDeadlineSeconds"]),
        applied: applied(live),
        selector_is_ours: live["spec"]["selector"]
            == json!({"matchLabels": children::selector(text(&live["metadata"]["name"]))}),
    }
}

/// How a rollout proceeds, and why the API server refuses pods or, unless that is a verdict on it,
/// the ReplicaSet.
fn progress(status: &Value) -> (Progress, Option<Box<str>>) {
    let pods = condition(status, "ReplicaFailure").filter(|signal| signal.status).map(Signal::words);
    match condition(status, "Progressing") {
        Some(signal) if !signal.status => {
            let may_pass = &*signal.reason == "ReplicaSetCreateError"
                && Refusal::of(&signal.message) != Refusal::Verdict;
            if may_pass {
                (Progress::Other, pods.or_else(|| Some(signal.words())))
            } else {
                (Progress::Stuck(signal.words()), pods)
            }
        }
        Some(signal) if &*signal.reason == "NewReplicaSetAvailable" => (Progress::Completed, pods),
        Some(_) | None => (Progress::Other, pods),
    }
}

/// The time of the operator's last apply that changed something, or of the creation.
fn applied(live: &Value) -> Option<Timestamp> {
    let managers = live["metadata"]["managedFields"].as_array()?;
    let applied = managers.iter().find(|entry| creation::is_applied(entry));
    let own = applied.or_else(|| managers.iter().find(|entry| creation::entry_shape(entry).is_some()));
    own?["time"].as_str()?.parse().ok()
}

fn autoscaler(live: &Value) -> AutoscalerFacts {
    let status = &live["status"];
    let annotation = live["metadata"]["annotations"][names::ANNOTATION_HELD].as_str();
    let held = annotation.and_then(Held::parse);
    let is_ours = held.is_some() && drift::owns_annotation(live, names::ANNOTATION_HELD);
    // A lag metric has no longer name.
    let is_short = |name: &&str| name.len() <= names::METRIC_NAME.length;
    let pods_metrics = LagSource::OURS.names_in(live).take(MAX_METRICS).filter(is_short);
    let pods_metric = |name: &str| PodsMetric {
        name: name.into(),
        average_milli: LagSource::OURS.average_in(status, name).and_then(milli),
    };
    AutoscalerFacts {
        held,
        held_is_foreign: annotation.is_some() && !is_ours,
        current_replicas: number(&status["currentReplicas"]),
        min_replicas: number(&live["spec"]["minReplicas"]),
        max_replicas: number(&live["spec"]["maxReplicas"]),
        tolerance: Tolerance::of_live(live),
        pods_metrics: pods_metrics.map(pods_metric).collect(),
        has_unread_metric: lag::has_unread_metric(status),
        scaling_active: condition(status, "ScalingActive"),
        unable: condition(status, "AbleToScale").filter(|signal| !signal.status).map(Signal::words),
    }
}

/// A Kubernetes quantity in thousandths, rounded down; `None` if it does not parse or is too large.
fn milli(text: &str) -> Option<i64> {
    i64::try_from(quantity::billionths(text)?.div_euclid(1_000_000)).ok()
}

/// What prometheus-operator reports for its Prometheuses, if its feature gate is on.
fn acceptance(live: &Value) -> Acceptance {
    let bindings = live["status"]["bindings"].as_array().into_iter().flatten();
    let accepted: Vec<Signal> = bindings.filter_map(|binding| condition(binding, "Accepted")).collect();
    match accepted.iter().find(|signal| !signal.status) {
        Some(refusal) => Acceptance::Rejected(refusal.clone().words()),
        None if accepted.is_empty() => Acceptance::NotReported,
        None => Acceptance::Accepted,
    }
}

/// One of an object's conditions; `None` if its status is Unknown.
fn condition(holder: &Value, kind: &str) -> Option<Signal> {
    let conditions = holder["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    let status = match text(&found["status"]) {
        "True" => true,
        "False" => false,
        _ => return None,
    };
    Some(Signal { status, reason: text(&found["reason"]).into(), message: text(&found["message"]).into() })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> i32 {
    value.as_i64().and_then(|number| i32::try_from(number).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_thousandths() {
        for (quantity, want) in [
            ("0", Some(0)),
            ("1500", Some(1_500_000)),
            ("1500m", Some(1500)),
            ("1.5k", Some(1_500_000)),
            ("2M", Some(2_000_000_000)),
            ("0.5", Some(500)),
            ("-1", Some(-1000)),
            ("-0.5", Some(-500)),
            ("2500u", Some(2)),
            ("9000E", None),
            ("many", None),
            ("", None),
        ] {
            assert_eq!(milli(quantity), want, "{quantity}");
        }
    }

    fn deployment_of(owner: &Value, variables: usize) -> Value {
        let env: Vec<Value> =
            (0..variables).map(|index| json!({"name": format!("V{index}"), "value": "x"})).collect();
        json!({
            "metadata": {"name": "a", "uid": "d", "resourceVersion": "5", "ownerReferences": [owner]},
            "spec": {"template": {"spec": {"containers": [{"name": "a", "env": env}]}}},
        })
    }

    #[test]
    fn only_the_head_is_read_of_an_object_that_no_group_controls() {
        let api_version = format!("{}/{}", names::GROUP, names::VERSION);
        let owner = |kind: &str, controller: bool| json!({"apiVersion": api_version, "kind": kind, "uid": "u", "controller": controller});
        let own = deployment_of(&owner(names::KIND, true), 3);
        assert_eq!(read(&own.to_string()), Ok(own));
        for foreign in [owner(names::KIND, false), owner("Other", true), json!({}), json!(7)] {
            let live = deployment_of(&foreign, 15_000);
            let head = read(&live.to_string()).unwrap();
            assert_eq!((&head["metadata"]["uid"], head.get("spec")), (&json!("d"), None), "{foreign}");
            let facts = child(ChildKind::Deployment, &head);
            assert_eq!((&*facts.uid, facts.resource_version), ("d", 5));
        }
    }

    #[test]
    fn a_child_of_too_many_values_is_refused_with_the_bound() {
        let api_version = format!("{}/{}", names::GROUP, names::VERSION);
        let owner = json!({"apiVersion": api_version, "kind": names::KIND, "uid": "u", "controller": true});
        assert!(read(&deployment_of(&owner, 15_000).to_string()).is_ok());
        let error = read(&deployment_of(&owner, 100_000).to_string()).unwrap_err();
        assert!(error.starts_with("object: has about 3000"), "{error}");
        assert!(error.ends_with("at most 200000 are read"), "{error}");
    }

    #[test]
    fn a_fingerprint_changes_with_what_a_comparison_depends_on_alone() {
        let live = json!({
            "metadata": {
                "name": "a", "resourceVersion": "5", "generation": 1, "labels": {"a": "b", "c": "d"},
                "annotations": {"ours": "b", "theirs": "d", "empty": ""},
                "managedFields": [
                    {"manager": names::OPERATOR, "operation": "Apply", "time": "1",
                        "fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}, "f:annotations": {"f:ours": {}}}}},
                    {"manager": "kube-controller-manager", "operation": "Update", "time": "1", "fieldsV1": {}},
                ],
            },
            "spec": {"minReplicas": 1},
            "status": {"currentReplicas": 1},
        });
        let after = |pointer: &str, value: Value| {
            let mut changed = live.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            fingerprint(&changed)
        };
        for ignored in [
            "/status/currentReplicas",
            "/metadata/labels/c",
            "/metadata/annotations/theirs",
            "/metadata/resourceVersion",
            "/metadata/managedFields/0/time",
            "/metadata/managedFields/1/fieldsV1",
        ] {
            assert_eq!(after(ignored, json!("other")), fingerprint(&live), "{ignored}");
        }
        for compared in [
            "/spec/minReplicas",
            "/metadata/labels/a",
            "/metadata/annotations/ours",
            "/metadata/annotations/empty",
            "/metadata/managedFields/0/fieldsV1",
            "/metadata/managedFields/0/operation",
        ] {
            assert_ne!(after(compared, json!("other")), fingerprint(&live), "{compared}");
        }
    }

    #[test]
    fn only_an_address_is_kept_of_a_service() {
        for (spec, want) in [
            (json!({"clusterIP": "10.0.0.1"}), true),
            (json!({"clusterIP": "None"}), false),
            (json!({"type": "ExternalName"}), false),
        ] {
            let seen = child(ChildKind::Service, &json!({"spec": spec})).detail;
            assert_eq!(seen, Detail::Service { has_cluster_ip: want }, "{spec}");
        }
    }

    #[test]
    fn a_deployment_is_reduced_to_its_counts_conditions_and_selector() {
        let mut live = json!({
            "metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "generation": 2, "ownerReferences": [
                {"uid": "other"}, {"uid": "g", "controller": true},
            ], "managedFields": [
                {"manager": "kubectl", "operation": "Apply", "time": "2026-01-01T00:00:00Z"},
                {"manager": "kconsumer-group-operator", "operation": "Apply", "time": "2026-01-02T00:00:00Z"},
            ]},
            "spec": {"replicas": 5, "progressDeadlineSeconds": 600, "selector": {"matchLabels": {"app": "a", "thenextapps.com/kconsumergroup": "a"}}},
            "status": {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 1, "readyReplicas": 2,
                "availableReplicas": 1, "conditions": [
                {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "it has timed out"},
                {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "no quota"},
            ]},
        });
        let seen = child(ChildKind::Deployment, &live);
        assert_eq!((&*seen.uid, seen.resource_version, seen.controller.as_deref()), ("u", 7, Some("g")));
        let wanted = DeploymentFacts {
            template: TemplateOrigin::of(&json!({})),
            is_observed: false,
            wanted: 5,
            paused: false,
            replicas: 3,
            updated: 1,
            ready: 2,
            available: 1,
            progress: Progress::Stuck("it has timed out".into()),
            refused: Some("no quota".into()),
            progress_deadline: 600,
            applied: "2026-01-02T00:00:00Z".parse().ok(),
            selector_is_ours: true,
        };
        assert_eq!(seen.detail, Detail::Deployment(Box::new(wanted)));
        live["spec"]["selector"]["matchLabels"] = json!({"app": "a"});
        assert!(!deployment(&live).selector_is_ours);
    }

    #[test]
    fn a_deployment_s_condition_progressing_is_read_in_all_three_states() {
        let stuck = || Progress::Stuck("it is forbidden: why".into());
        for (status, reason, want) in [
            ("True", "NewReplicaSetCreated", Progress::Other),
            ("True", "ReplicaSetUpdated", Progress::Other),
            ("True", "NewReplicaSetAvailable", Progress::Completed),
            ("False", "ProgressDeadlineExceeded", stuck()),
            ("False", "ReplicaSetCreateError", stuck()),
            ("Unknown", "DeploymentPaused", Progress::Other),
        ] {
            let facts = deployment(&json!({"status": {"conditions": [
                {"type": "Progressing", "status": status, "reason": reason, "message": "it is forbidden: why"},
                {"type": "ReplicaFailure", "status": "False", "message": "gone"},
            ]}}));
            assert_eq!(facts.progress, want, "{status} {reason}");
            assert_eq!(facts.refused, None);
        }
    }

    #[test]
    fn a_replicaset_that_may_be_created_later_is_refused_and_not_stuck() {
        for words in ["exceeded quota: q", "etcdserver: request timed out"] {
            let facts = deployment(&json!({"status": {"conditions": [
                {"type": "Progressing", "status": "False", "reason": "ReplicaSetCreateError", "message": words},
            ]}}));
            assert_eq!((facts.progress, facts.refused.as_deref()), (Progress::Other, Some(words)));
        }
    }

    #[test]
    fn a_status_without_an_observed_generation_or_of_an_older_one_is_not_of_this_spec() {
        for (observed, generation, want) in
            [(json!(null), 1, false), (json!(1), 2, false), (json!(2), 2, true), (json!(3), 2, true)]
        {
            let live =
                json!({"metadata": {"generation": generation}, "status": {"observedGeneration": observed}});
            assert_eq!(deployment(&live).is_observed, want, "{live}");
        }
    }

    #[test]
    fn an_autoscaler_is_reduced_to_lag_conditions_and_held_partitions() {
        let live = json!({
            "metadata": {"annotations": {names::ANNOTATION_HELD: r#"{"ns/t":{"partitions":3,"topicName":"t"}}"#}},
            "spec": {"minReplicas": 2, "maxReplicas": 3, "behavior": {"scaleUp": {"tolerance": "50m"}}, "metrics": [
                {"type": "Pods", "pods": {"metric": {"name": "rate"}}},
                {"type": "Resource", "resource": {"name": "cpu"}},
                {"type": "Pods", "pods": {"metric": {"name": "lag"}}},
            ]},
            "status": {
                "currentReplicas": 2,
                "currentMetrics": [
                    {"type": ""},
                    {"type": "Pods", "pods": {"metric": {"name": "lag"}, "current": {"averageValue": "1200"}}},
                ],
                "conditions": [
                    {"type": "ScalingActive", "status": "False", "reason": "FailedGetPodsMetric", "message": "none"},
                    {"type": "AbleToScale", "status": "False", "reason": "FailedUpdateScale", "message": "no quota"},
                ],
            },
        });
        let seen = autoscaler(&live);
        let metrics: Vec<(&str, Option<i64>)> =
            seen.pods_metrics.iter().map(|metric| (&*metric.name, metric.average_milli)).collect();
        assert_eq!((seen.current_replicas, seen.max_replicas, seen.has_unread_metric), (2, 3, true));
        assert_eq!(metrics, [("rate", None), ("lag", Some(1_200_000))]);
        assert_eq!((seen.min_replicas, seen.unable.as_deref()), (2, Some("no quota")));
        assert_eq!(seen.tolerance.percent(), "5");
        assert_eq!(seen.held.unwrap().0["ns/t"].partitions, Some(3));
        assert!(
            seen.scaling_active
                .is_some_and(|signal| !signal.status && &*signal.reason == "FailedGetPodsMetric")
        );
    }

    #[test]
    fn one_prometheus_that_rejects_outweighs_those_that_accept() {
        let binding = |status: &str| json!({"conditions": [{"type": "Accepted", "status": status, "reason": "R", "message": "m"}]});
        for (bindings, want) in [
            (json!([]), Acceptance::NotReported),
            (json!([{"conditions": []}]), Acceptance::NotReported),
            (json!([binding("True")]), Acceptance::Accepted),
            (json!([binding("True"), binding("False")]), Acceptance::Rejected("m".into())),
        ] {
            assert_eq!(acceptance(&json!({"status": {"bindings": bindings}})), want);
        }
    }
}
