//! The CustomResourceDefinition: the types' own schema, and beside it what types cannot say: bounds,
//! grammars and rules across fields. Floor 0. `deploy/crd` is this, rendered.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::group::KconsumerGroup;
use crate::names::{self, Grammar};
use crate::rules::consumer::{GROUP_ID_LENGTH, MAX_ENV, MAX_ENV_FROM, MAX_TOPICS, PULL_POLICIES};
use crate::rules::messages;
use crate::rules::metrics::{
    MAX_PERIOD, MAX_WINDOW, OWN_ALERT_LABELS, OWN_LABELS, POLICY_TYPES, SELECT_POLICIES, STRATEGIES,
};

/// What stands before the version in the schema's description. By it a cluster's CRD is told from the binary's:
/// everybody may read a schema that is served, the CRD itself only who has a right for the whole cluster.
const SCHEMA_OF: &str = "Schema of kconsumer-group-operator ";

/// This version, which the CRD and the binary carry alike.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A cluster's CRD beside the binary's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionSkew {
    /// Of one version.
    None,
    /// The CRD is of this older version.
    Older(String),
    /// The CRD is of this newer version.
    Newer(String),
    /// The CRD does not say of which version it is.
    Unknown,
}

impl VersionSkew {
    /// Read from the description of the schema that a cluster serves.
    pub fn from_description(description: &str) -> Self {
        let Some((_, rest)) = description.split_once(SCHEMA_OF) else { return Self::Unknown };
        let said = rest.trim_end().trim_end_matches('.');
        match (numbers(said), numbers(VERSION)) {
            (Some(cluster), Some(own)) if cluster < own => Self::Older(said.to_owned()),
            (Some(cluster), Some(own)) if cluster > own => Self::Newer(said.to_owned()),
            (Some(_), Some(_)) => Self::None,
            _ => Self::Unknown,
        }
    }

    /// As a metric has it: -1, 0 or 1; a CRD that does not say is an older one's.
    pub const fn sign(&self) -> i64 {
        match self {
            Self::None => 0,
            Self::Older(_) | Self::Unknown => -1,
            Self::Newer(_) => 1,
        }
    }
}

fn numbers(version: &str) -> Option<Vec<u64>> {
    version.split('.').map(|number| number.parse().ok()).collect()
}

/// The CRD as it is installed.
pub fn crd() -> CustomResourceDefinition {
    let derived = serde_json::to_value(KconsumerGroup::crd()).unwrap_or_default();
    // Both directions are between JSON and the very types that it came from.
    serde_json::from_value(constrained(derived)).unwrap_or_else(|_| KconsumerGroup::crd())
}

fn constrained(mut crd: Value) -> Value {
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let about = schema["description"].as_str().unwrap_or_default();
    schema["description"] = json!(format!("{about} {SCHEMA_OF}{VERSION}.").trim_start());
    foreign_types_stay_small(schema);
    for (path, constraint) in constraints() {
        lay_over(at(schema, &path), constraint);
    }
    for (path, required) in [("spec", "consumerSpec"), ("spec.consumerSpec", "image")] {
        let object = at(schema, path);
        object["required"] = json!([required]);
        remove(&mut object["properties"][required], "default");
    }
    crd
}

/// The schema of the field at `path`; `[]` is a list's item, `{}` a map's value, the empty path the root.
fn at<'a>(schema: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').filter(|part| !part.is_empty()).fold(schema, |schema, part| match part {
        "[]" => &mut schema["items"],
        "{}" => &mut schema["additionalProperties"],
        name => &mut schema["properties"][name],
    })
}

fn lay_over(schema: &mut Value, constraint: Value) {
    if let (Value::Object(schema), Value::Object(constraint)) = (schema, constraint) {
        schema.extend(constraint);
    }
}

fn remove(schema: &mut Value, key: &str) {
    if let Some(schema) = schema.as_object_mut() {
        schema.remove(key);
    }
}

/// What types cannot say, field by field. Unchanged values that break one of these are let be on update:
/// the API server ratchets them by itself.
fn constraints() -> impl Iterator<Item = (String, Value)> {
    let positive = || json!({"minimum": 1});
    let object_labels = || labels(&names::LABEL_KEY, messages::LABEL_KEY, &OWN_LABELS);
    let constraints = [
        ("", json!({"x-kubernetes-validations": [name_rule()]})),
        ("spec", json!({"x-kubernetes-validations": [min_within_max_rule()]})),
        ("spec.minReplicas", positive()),
        ("spec.maxReplicas", positive()),
        ("spec.averageRecordsLagLimit", positive()),
        ("spec.consumerSpec", json!({"x-kubernetes-validations": [topic_rule()]})),
        (
            "spec.consumerSpec.image",
            json!({"minLength": 1, "maxLength": names::IMAGE.length, "x-kubernetes-validations": [grammar_rule(&names::IMAGE, messages::IMAGE)]}),
        ),
        ("spec.consumerSpec.containerName", grammar(&names::DNS_LABEL, messages::DNS_LABEL)),
        ("spec.consumerSpec.topic", grammar(&names::SUBDOMAIN, messages::TOPIC)),
        ("spec.consumerSpec.topics", json!({"maxItems": MAX_TOPICS, "x-kubernetes-list-type": "set"})),
        ("spec.consumerSpec.topics.[]", grammar(&names::SUBDOMAIN, messages::TOPIC)),
        ("spec.consumerSpec.topicNamespace", grammar(&names::DNS_LABEL, messages::DNS_LABEL)),
        ("spec.consumerSpec.groupId", printed(GROUP_ID_LENGTH)),
        ("spec.consumerSpec.bootstrapServers", printed(names::PRINTED.length)),
        ("spec.consumerSpec.partitionsPerConsumer", positive()),
        (
            "spec.consumerSpec.env",
            json!({"maxItems": MAX_ENV, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
        ),
        ("spec.consumerSpec.env.[].name", grammar(&names::ENV_NAME, messages::ENV_NAME)),
        ("spec.consumerSpec.envFrom", json!({"maxItems": MAX_ENV_FROM})),
        ("spec.consumerSpec.imagePullPolicy", json!({"enum": PULL_POLICIES})),
        ("spec.consumerSpec.imagePullSecrets", json!({"maxItems": 100})),
        (
            "spec.consumerSpec.podTemplate",
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        ),
        ("spec.metrics.port", json!({"minimum": 1, "maximum": 65535})),
        ("spec.metrics.path", grammar(&names::HTTP_PATH, messages::PATH)),
        ("spec.metrics.interval", grammar(&names::DURATION, messages::DURATION)),
        ("spec.metrics.lagMetric", grammar(&names::METRIC_NAME, messages::METRIC)),
        ("spec.metrics.labels", object_labels()),
        ("spec.metrics.labels.{}", label_value()),
        ("spec.alerts.for", grammar(&names::DURATION, messages::DURATION)),
        ("spec.alerts.severity", printed(names::PRINTED.length)),
        (
            "spec.alerts.labels",
            labels(&names::PROMETHEUS_LABEL, messages::PROMETHEUS_LABEL, &OWN_ALERT_LABELS),
        ),
        ("spec.alerts.ruleLabels", object_labels()),
        ("spec.alerts.ruleLabels.{}", label_value()),
        ("spec.scaling.strategy.type", json!({"enum": STRATEGIES})),
        (
            "status.conditions",
            json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
        ),
    ];
    constraints.into_iter().map(|(path, constraint)| (path.to_owned(), constraint)).chain(scaling_rules())
}

/// What autoscaling/v2 holds a behavior to, upwards and downwards alike.
fn scaling_rules() -> impl Iterator<Item = (String, Value)> {
    let rules = [
        ("stabilizationWindowSeconds", json!({"minimum": 0, "maximum": MAX_WINDOW})),
        ("selectPolicy", json!({"enum": SELECT_POLICIES})),
        ("policies", json!({"minItems": 1})),
        ("policies.[].type", json!({"enum": POLICY_TYPES})),
        ("policies.[].value", json!({"minimum": 1})),
        ("policies.[].periodSeconds", json!({"minimum": 1, "maximum": MAX_PERIOD})),
    ];
    ["scaleUp", "scaleDown"].into_iter().flat_map(move |direction| {
        let path = move |field: &str| format!("spec.scaling.behavior.{direction}.{field}");
        rules.clone().map(|(field, rule)| (path(field), rule))
    })
}

/// A map's keys have no schema of their own: only a rule over all of them reaches them.
fn labels(keys: &Grammar, sentence: &str, own: &[&str]) -> Value {
    json!({
        "maxProperties": 32,
        "x-kubernetes-validations": [
            {"rule": format!("self.all(key, key.matches(r\"{}\"))", keys.pattern), "message": sentence},
            {"rule": format!("self.all(key, !(key in {own:?}))"), "message": messages::OWN_LABEL},
        ],
    })
}

fn label_value() -> Value {
    grammar(&names::LABEL_VALUE, messages::LABEL_VALUE)
}

fn grammar(grammar: &Grammar, sentence: &str) -> Value {
    json!({"maxLength": grammar.length, "x-kubernetes-validations": [grammar_rule(grammar, sentence)]})
}

fn grammar_rule(grammar: &Grammar, sentence: &str) -> Value {
    json!({"rule": format!("self.matches(r\"{}\")", grammar.pattern), "message": sentence})
}

fn printed(length: usize) -> Value {
    let sentence = messages::fill(messages::PRINTED, length);
    json!({"maxLength": length, "x-kubernetes-validations": [grammar_rule(&names::PRINTED, &sentence)]})
}

/// A name cannot change, so only a new group is held to it.
fn name_rule() -> Value {
    json!({
        "rule": format!(
            "oldSelf.hasValue() || (self.metadata.name.size() <= {} && self.metadata.name.matches(r\"{}\"))",
            names::SERVICE_NAME.length, names::SERVICE_NAME.pattern
        ),
        "optionalOldSelf": true,
        "message": format!("metadata.name {}", messages::NAME),
    })
}

/// The webhook's ratchet, in CEL: an excess that has not grown is let be.
fn min_within_max_rule() -> Value {
    let (before, after) = messages::MIN_WITHIN_MAX.split_once("{}").unwrap_or((messages::MIN_WITHIN_MAX, ""));
    json!({
        "rule": "!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas || oldSelf.optMap(old, has(old.maxReplicas) && old.minReplicas > old.maxReplicas && self.minReplicas - self.maxReplicas <= old.minReplicas - old.maxReplicas).orValue(false)",
        "optionalOldSelf": true,
        "fieldPath": ".minReplicas",
        "message": messages::fill(messages::MIN_WITHIN_MAX, "lower"),
        "messageExpression": format!("'{before}%d{after}'.format([self.maxReplicas])"),
    })
}

fn topic_rule() -> Value {
    json!({
        "rule": "has(self.topic) || (has(self.topics) && self.topics.size() > 0) || oldSelf.optMap(old, !has(old.topic) && (!has(old.topics) || old.topics.size() == 0)).orValue(false)",
        "optionalOldSelf": true,
        "fieldPath": ".topic",
        "reason": "FieldValueRequired",
        "message": messages::NO_TOPIC,
    })
}

/// The fields whose types are Kubernetes' own: their schema without its prose, since `kubectl explain pod`
/// tells it, and with quantities that may be numbers.
fn foreign_types_stay_small(schema: &mut Value) {
    let consumer =
        ["env", "envFrom", "resources", "imagePullSecrets"].map(|name| format!("spec.consumerSpec.{name}"));
    let scaling = ["behavior", "strategy"].map(|name| format!("spec.scaling.{name}"));
    for path in consumer.iter().chain(&scaling) {
        let field = at(schema, path);
        let description = field["description"].clone();
        without_prose(field);
        field["description"] = description;
    }
    let number_or_text =
        json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]});
    for path in ["spec.consumerSpec.resources.limits.{}", "spec.consumerSpec.resources.requests.{}"] {
        *at(schema, path) = number_or_text.clone();
    }
}

fn without_prose(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("description").is_some_and(Value::is_string) {
                fields.remove("description");
            }
            fields.values_mut().for_each(without_prose);
        }
        Value::Array(items) => items.iter_mut().for_each(without_prose),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        let crd = serde_json::to_value(crd()).unwrap();
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    }

    #[test]
    fn every_constraint_lands_on_a_field_that_exists() {
        let mut derived = serde_json::to_value(KconsumerGroup::crd()).unwrap();
        let schema = &mut derived["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        for (path, _) in constraints() {
            let field = at(schema, &path);
            assert!(!field.is_null(), "{path}");
        }
    }

    #[test]
    fn the_static_defaults_stand_in_the_schema() {
        let schema = schema();
        let spec = &schema["properties"]["spec"]["properties"];
        assert_eq!(spec["minReplicas"]["default"], 1);
        assert_eq!(spec["averageRecordsLagLimit"]["default"], 1000);
        assert_eq!(spec["metrics"]["properties"]["interval"]["default"], "5s");
        assert_eq!(spec["metrics"]["default"]["preset"], "Spring");
        assert_eq!(spec["alerts"]["properties"]["for"]["default"], "1m");
        assert_eq!(spec["alerts"]["default"]["enabled"], true);
        assert_eq!(spec["consumerSpec"].get("default"), None);
        assert_eq!(schema["properties"]["spec"]["required"], json!(["consumerSpec"]));
    }

    #[test]
    fn a_served_schema_says_whether_it_is_older_or_newer() {
        let schema = schema();
        assert_eq!(VersionSkew::from_description(schema["description"].as_str().unwrap()), VersionSkew::None);
        let of = |version: &str| VersionSkew::from_description(&format!("A group. {SCHEMA_OF}{version}."));
        assert_eq!(of("0.0.9"), VersionSkew::Older("0.0.9".into()));
        assert_eq!(of("0.10.0"), VersionSkew::Newer("0.10.0".into()));
        assert_eq!(
            [of("next"), VersionSkew::from_description("A group.")],
            [VersionSkew::Unknown, VersionSkew::Unknown]
        );
    }

    #[test]
    fn the_crd_stays_small() {
        let size = serde_json::to_string(&crd()).unwrap().len();
        assert!(size < 32 * 1024, "{size} bytes");
    }
}
