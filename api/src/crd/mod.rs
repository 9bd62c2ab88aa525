//! The CustomResourceDefinition: the schema derived from the types, plus what types cannot express:
//! bounds, grammars and rules across fields. `deploy/crd` is this CRD as YAML.

mod bounds;
mod cross_field;
mod endpoint;
mod enum_fields;
mod version_skew;

pub use version_skew::{VERSION, VersionSkew};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::alerts::AlertName;
use cross_field::{alerts_rule, lag_rule, min_within_max_rule, name_rule, topic_rule};

use crate::consumer_group::GROUP_ID_LENGTH;
use crate::group::KconsumerGroup;
use crate::messages;
use crate::names::{self, Grammar};
use crate::rules::consumer::{MAX_ENV, MAX_ENV_FROM, MAX_TOPICS, PULL_POLICIES};
use crate::rules::metric_specs::{METRICS, SOURCES, TARGETS};
use crate::rules::metrics::{
    ANNOTATION_LENGTH, MAX_PERIOD, MAX_READY_SECONDS, MAX_WINDOW, OWN_ALERT_LABELS, OWN_ANNOTATIONS,
    OWN_LABELS, POLICY_TYPES, SELECT_POLICIES, STRATEGIES,
};
use crate::spec_bounds::{MAX_ITEMS, MAX_LABELS};

/// The longest message of a Condition in Kubernetes.
const MAX_STATUS_MESSAGE: usize = 32768;

/// The CRD as it is installed.
pub fn crd() -> CustomResourceDefinition {
    let derived = serde_json::to_value(KconsumerGroup::crd()).expect("invariant: a CRD serialises");
    serde_json::from_value(constrained(derived)).expect("invariant: the constrained CRD is a CRD")
}

fn constrained(mut crd: Value) -> Value {
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let description = schema["description"].as_str().expect("invariant: the type has a doc comment");
    schema["description"] = json!(format!("{description} {}", version_skew::version_sentence()).trim_start());
    shrink_kubernetes_types(schema);
    endpoint::shrink(schema);
    join_lines(schema);
    for (path, constraint) in constraints() {
        merge(at(schema, &path), constraint);
    }
    bounds::fill_in(at(schema, "spec"), "spec");
    for (path, required) in [("spec", "consumerSpec"), ("spec.consumerSpec", "image")] {
        let object = at(schema, path);
        object["required"] = json!([required]);
        remove(at(object, required), "default");
    }
    crd
}

/// The schema of the field at `path`: `[]` is a list's item, `{}` a map's value, and the empty path
/// is the root.
///
/// # Panics
///
/// Panics if the schema has no such field.
fn at<'a>(schema: &'a mut Value, path: &str) -> &'a mut Value {
    let child = |schema: &'a mut Value, part| match part {
        "[]" => schema.get_mut("items"),
        "{}" => schema.get_mut("additionalProperties"),
        name => schema.get_mut("properties")?.get_mut(name),
    };
    path.split('.')
        .filter(|part| !part.is_empty())
        .try_fold(schema, child)
        .unwrap_or_else(|| panic!("invariant: the path {path} exists in the schema"))
}

fn merge(schema: &mut Value, constraint: Value) {
    let (Value::Object(schema), Value::Object(constraint)) = (schema, constraint) else {
        panic!("invariant: a schema and its constraint are objects");
    };
    schema.extend(constraint);
}

fn remove(schema: &mut Value, key: &str) {
    schema.as_object_mut().and_then(|schema| schema.remove(key)).expect("invariant: the schema has the key");
}

/// The constraints that types cannot express, by field. The API server ratchets them: an update may
/// keep an unchanged value that violates one.
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
        ("spec.consumerSpec.imagePullSecrets", json!({"maxItems": MAX_ITEMS})),
        (
            "spec.consumerSpec.podTemplate",
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        ),
        ("spec.metrics", json!({"x-kubernetes-validations": [lag_rule()]})),
        ("spec.metrics.port", json!({"minimum": 1, "maximum": 65535})),
        ("spec.metrics.path", grammar(&names::HTTP_PATH, messages::PATH)),
        ("spec.metrics.interval", grammar(&names::DURATION, messages::DURATION)),
        ("spec.metrics.sampleLimit", json!({"minimum": 0})),
        ("spec.metrics.labelLimit", json!({"minimum": 0})),
        ("spec.metrics.bodySizeLimit", grammar(&names::BODY_SIZE, messages::BODY_SIZE)),
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
        (
            "spec.alerts.rules",
            json!({"maxProperties": AlertName::ALL.len(), "x-kubernetes-validations": [alerts_rule()]}),
        ),
        ("spec.alerts.rules.{}.severity", printed(names::PRINTED.length)),
        ("spec.alerts.rules.{}.for", grammar(&names::DURATION, messages::DURATION)),
        ("spec.alerts.rules.{}.threshold", json!({"minimum": 0})),
        ("spec.scaling.strategy.type", json!({"enum": STRATEGIES})),
        ("spec.inheritedMetadata.labels", object_labels()),
        ("spec.inheritedMetadata.labels.{}", label_value()),
        ("spec.inheritedMetadata.annotations", annotations()),
        ("spec.inheritedMetadata.annotations.{}", json!({"maxLength": ANNOTATION_LENGTH})),
        ("spec.consumerSpec.readiness", grammar(&names::READINESS, messages::READINESS)),
        ("spec.scaling.minReadySeconds", json!({"minimum": 0, "maximum": MAX_READY_SECONDS})),
        // Far above the operator's own bound: an older version must be able to write its status.
        ("status.message", json!({"maxLength": MAX_STATUS_MESSAGE})),
        ("status.conditions.[].message", json!({"maxLength": MAX_STATUS_MESSAGE})),
        // kstatus, by which Flux and others decide health, takes a group without conditions for
        // current unless its observed generation is another one.
        ("status", json!({"default": {"observedGeneration": -1}})),
        (
            "status.conditions",
            json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
        ),
    ];
    let constraints = constraints.into_iter().map(|(path, constraint)| (path.to_owned(), constraint));
    let constraints = constraints.chain(scaling_rules()).chain(metric_rules());
    constraints.chain(enum_fields::descriptions()).chain(endpoint::constraints())
}

/// The validation of autoscaling/v2 for metrics, as far as a schema can express it.
fn metric_rules() -> impl Iterator<Item = (String, Value)> {
    let list = [
        (METRICS.to_owned(), json!({"maxItems": MAX_ITEMS})),
        (format!("{METRICS}.[].type"), json!({"enum": SOURCES.map(|(kind, _)| kind)})),
    ];
    let target = |(_, source)| {
        let path = move |field: &str| format!("{METRICS}.[].{source}.target.{field}");
        [(path("type"), json!({"enum": TARGETS})), (path("averageUtilization"), json!({"minimum": 1}))]
    };
    list.into_iter().chain(SOURCES.into_iter().flat_map(target))
}

/// The validation of autoscaling/v2 for a behavior, for scaling up and down.
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
fn labels(keys: &Grammar, message: &str, own: &[&str]) -> Value {
    json!({
        "maxProperties": MAX_LABELS,
        "x-kubernetes-validations": [
            {"rule": format!("self.all(key, key.matches(r\"{}\"))", keys.pattern), "message": message},
            {"rule": format!("self.all(key, !(key in {own:?}))"), "message": messages::OWN_LABEL},
        ],
    })
}

fn annotations() -> Value {
    json!({
        "maxProperties": MAX_LABELS,
        "x-kubernetes-validations": [
            {"rule": format!("self.all(key, key.matches(r\"{}\"))", names::LABEL_KEY.pattern), "message": messages::LABEL_KEY},
            {"rule": format!("self.all(key, !{OWN_ANNOTATIONS:?}.exists(own, key.startsWith(own)))"), "message": messages::OWN_ANNOTATION},
        ],
    })
}

fn label_value() -> Value {
    grammar(&names::LABEL_VALUE, messages::LABEL_VALUE)
}

fn grammar(grammar: &Grammar, message: &str) -> Value {
    json!({"maxLength": grammar.length, "x-kubernetes-validations": [grammar_rule(grammar, message)]})
}

fn grammar_rule(grammar: &Grammar, message: &str) -> Value {
    json!({"rule": format!("self.matches(r\"{}\")", grammar.pattern), "message": message})
}

fn printed(length: usize) -> Value {
    let message = messages::fill(messages::PRINTED, length);
    json!({"maxLength": length, "x-kubernetes-validations": [grammar_rule(&names::PRINTED, &message)]})
}

/// Removes the descriptions below fields with a type of Kubernetes, which `kubectl explain pod`
/// shows as well, and allows quantities that are written as numbers.
fn shrink_kubernetes_types(schema: &mut Value) {
    let consumer =
        ["env", "envFrom", "resources", "imagePullSecrets"].map(|name| format!("spec.consumerSpec.{name}"));
    let scaling = ["behavior", "metrics", "strategy"].map(|name| format!("spec.scaling.{name}"));
    for path in consumer.iter().chain(&scaling) {
        keep_own_description(at(schema, path));
    }
    let number_or_text =
        json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]});
    let resources = ["limits", "requests"].map(|list| format!("spec.consumerSpec.resources.{list}.{{}}"));
    let targets = SOURCES.iter().flat_map(|(_, source)| {
        ["value", "averageValue"].map(|field| format!("spec.scaling.metrics.[].{source}.target.{field}"))
    });
    for path in resources.into_iter().chain(targets) {
        *at(schema, &path) = number_or_text.clone();
    }
}

/// Removes the descriptions below a field.
fn keep_own_description(field: &mut Value) {
    let description = field["description"].clone();
    remove_descriptions(field);
    field["description"] = description;
}

fn remove_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("description").is_some_and(Value::is_string) {
                fields.remove("description");
            }
            fields.values_mut().for_each(remove_descriptions);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_descriptions),
        _ => {}
    }
}

/// A doc comment's line breaks would break the text in mid-sentence in `kubectl explain`. Keeps the
/// breaks between paragraphs.
fn join_lines(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(description)) = fields.get_mut("description") {
                let paragraphs: Vec<String> =
                    description.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
                *description = paragraphs.join("\n\n");
            }
            fields.values_mut().for_each(join_lines);
        }
        Value::Array(items) => items.iter_mut().for_each(join_lines),
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
    fn every_constraint_applies_to_an_existing_field() {
        let mut derived = serde_json::to_value(KconsumerGroup::crd()).unwrap();
        let schema = &mut derived["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        for (path, _) in constraints() {
            let field = at(schema, &path);
            assert!(!field.is_null(), "{path}");
        }
    }

    #[test]
    fn the_schema_has_the_static_defaults() {
        let schema = schema();
        let spec = &schema["properties"]["spec"]["properties"];
        assert_eq!(spec["minReplicas"]["default"], 1);
        assert_eq!(spec["averageRecordsLagLimit"]["default"], 1000);
        // It must stay visible whether a group sets what an installation can set.
        for (part, field) in [("metrics", "preset"), ("metrics", "interval"), ("alerts", "severity")] {
            assert_eq!(spec[part]["default"].get(field), None);
            assert_eq!(spec[part]["properties"][field].get("default"), None);
        }
        assert_eq!(spec["alerts"]["properties"]["for"]["default"], "1m");
        assert_eq!(spec["alerts"]["default"]["enabled"], true);
        assert_eq!(spec["consumerSpec"].get("default"), None);
        assert_eq!(schema["properties"]["spec"]["required"], json!(["consumerSpec"]));
    }

    #[test]
    fn kubectl_explain_shows_the_values_and_the_default_of_an_enum() {
        let schema = schema();
        let spec = &schema["properties"]["spec"]["properties"];
        for (field, values) in [
            (&spec["metrics"]["properties"]["preset"], &["Spring", "JmxExporter", "Librdkafka"][..]),
            (&spec["metrics"]["properties"]["lagStatistic"], &["Sum", "Max"]),
            (&spec["scaling"]["properties"]["partitions"], &["Max", "Sum"]),
        ] {
            let description = field["description"].as_str().unwrap();
            for value in field["enum"].as_array().unwrap() {
                assert!(value.is_null() || values.contains(&value.as_str().unwrap()), "{value}");
            }
            assert!(values.iter().all(|value| description.contains(value)), "{description}");
            assert!(description.contains(&format!("Defaults to {}", values[0])), "{description}");
        }
    }

    #[test]
    fn the_schema_states_the_version() {
        let schema = schema();
        let description = schema["description"].as_str().unwrap();
        assert_eq!(VersionSkew::from_description(description), VersionSkew::None);
    }

    #[test]
    fn each_list_map_and_text_of_a_spec_has_a_bound() {
        fn unbounded(schema: &Value, path: &str, found: &mut Vec<String>) {
            let is_map = schema["additionalProperties"].is_object();
            let keyword = match schema["type"].as_str() {
                Some("array") => "maxItems",
                Some("object") if is_map => "maxProperties",
                Some("string") | None if schema["enum"].is_null() => "maxLength",
                _ => "type",
            };
            // Only the whole spec bounds what is in a template.
            if schema.get(keyword).is_none() && path != ".consumerSpec.podTemplate" {
                found.push(path.to_owned());
            }
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                unbounded(property, &format!("{path}.{name}"), found);
            }
            for inner in ["items", "additionalProperties"].map(|inner| &schema[inner]) {
                if inner.is_object() {
                    unbounded(inner, &format!("{path}.[]"), found);
                }
            }
        }
        let mut found = Vec::new();
        unbounded(&schema()["properties"]["spec"], "", &mut found);
        assert_eq!(found, [""; 0]);
        let spec = &schema()["properties"]["spec"]["properties"];
        let bound = |path: &str| spec.pointer(path).cloned().unwrap_or_default();
        for (path, most) in [
            ("/metrics/properties/labels/maxProperties", 32),
            ("/consumerSpec/properties/env/items/properties/value/maxLength", 128 << 10),
            ("/consumerSpec/properties/resources/properties/limits/maxProperties", 100),
            ("/alerts/properties/labels/additionalProperties/maxLength", 1024),
            ("/scaling/properties/strategy/properties/rollingUpdate/properties/maxSurge/maxLength", 64),
            ("/consumerSpec/properties/image/maxLength", 1024),
        ] {
            assert_eq!(bound(path), json!(most), "{path}");
        }
    }

    #[test]
    fn the_crd_stays_small() {
        let size = serde_json::to_string(&crd()).unwrap().len();
        // Of 256 KiB that `kubectl apply` can store in its annotation.
        assert!(size < 64 * 1024, "{size} bytes");
    }
}
