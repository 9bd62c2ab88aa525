//! The rules for spec.scaling.metrics, compared with the API server that would refuse the
//! HorizontalPodAutoscaler later: the same fields, in the same words.

use std::sync::Arc;

use anyhow::Result;
use kcg_api::valid::{TopicGrants, parse_group};
use kcg_api::{GroupDefaults, ValidGroup};
use kcg_core::children::ChildKind;
use kcg_core::{ceiling, children};
use kcg_tests::objects::group;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![what_the_api_server_refuses_in_a_metric_is_refused_in_its_words];

/// A mistake in each field that the webhook checks and the API server, too.
fn mistaken_metrics() -> Value {
    let value = json!({"type": "Value", "value": "1"});
    let both = json!({"type": "Value", "value": "1", "averageValue": "1"});
    let object = json!({"kind": "", "name": "..", "apiVersion": "a/b/c"});
    json!([
        {"type": ""},
        {"type": "Gauge"},
        {"type": "Pods"},
        {"type": "Pods", "pods": {"metric": {"name": "a/b%"}, "target": {"type": "Value", "value": "0"}},
            "resource": {"name": "", "target": value}},
        {"type": "Resource", "pods": {"metric": {"name": ""}, "target": {"type": "AverageValue", "averageValue": "-1"}}},
        {"type": "Resource", "resource": {"name": "", "target": {"type": "Percent", "averageUtilization": 0, "averageValue": "1"}}},
        {"type": "Object", "object": {"describedObject": object, "metric": {"name": "."}, "target": {"type": "Value"}}},
        {"type": "External", "external": {"metric": {"name": "q"}, "target": both}},
        {"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": ""}}},
        {"type": "ContainerResource", "containerResource": {"name": "gpus", "container": "A", "target": {"type": "Value"}}},
        {"type": "ContainerResource", "containerResource": {"name": "", "container": "", "target": value}},
    ])
}

/// The HorizontalPodAutoscaler that the controller would write for a group that was already stored.
fn autoscaler(spec: &Value) -> Result<Value> {
    let parsed = parse_group(group("kconsumer", spec));
    let valid = ValidGroup::read_stored(&parsed.group, &TopicGrants::Own, &GroupDefaults::default())
        .map_err(|broken| anyhow::anyhow!("{broken:?}"))?;
    let ceiling = ceiling::resolve(&valid, &[].into(), None);
    let desired = children::desired_one(ChildKind::HorizontalPodAutoscaler, &valid, &ceiling);
    let mut object = desired.ok_or_else(|| anyhow::anyhow!("no HorizontalPodAutoscaler"))?.object;
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| !matches!(field.as_str(), "ownerReferences" | "namespace"));
    }
    Ok(object)
}

/// The errors of metrics in what kubectl prints, with the paths of the group. In the autoscaler the
/// lag stands before them.
fn field_errors(stderr: &str) -> Vec<String> {
    let errors = stderr.lines().filter_map(|line| Some(line.split_once("spec.")?.1));
    let metric = |error: &str| {
        if let Some(error) = error.strip_prefix("scaling.metrics[") {
            return Some(format!("metrics[{error}"));
        }
        let (index, rest) = error.strip_prefix("metrics[")?.split_once(']')?;
        Some(format!("metrics[{}]{rest}", index.parse::<usize>().ok()? - 1))
    };
    errors.filter_map(metric).collect()
}

async fn what_the_api_server_refuses_in_a_metric_is_refused_in_its_words(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("metric-words").await?;
    let dry = async |object: &Value| {
        ns.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &object.to_string()).await
    };
    let spec = json!({"scaling": {"metrics": mistaken_metrics()}});
    let ours = field_errors(&dry(&group("kconsumer", &spec)).await?.stderr);
    let theirs = field_errors(&dry(&autoscaler(&spec)?).await?.stderr);
    assert!(ours.len() > 25, "{ours:#?}\n{theirs:#?}");
    // That no container has this name is ours to say.
    let missing: Vec<&String> =
        ours.iter().filter(|error| !error.contains("Not found") && !theirs.contains(error)).collect();
    assert!(missing.is_empty(), "only the webhook says {missing:#?}\nthe API server says {theirs:#?}");
    let unsaid: Vec<&String> = theirs.iter().filter(|error| !ours.contains(error)).collect();
    assert!(unsaid.is_empty(), "only the API server says {unsaid:#?}");
    ns.close().await
}
