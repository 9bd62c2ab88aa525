//! deploy/samples: valid samples pass every rule; those named `bad-` break the rules that they
//! name.

use std::path::{Path, PathBuf};

use kcg_api::crd;
use kcg_api::rules::live;
use kcg_api::topic::{self, TopicFacts, TopicLookup, TopicLookups};
use kcg_api::valid::{self, TopicGrants, ValidGroup};
use serde_json::Value;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const NAMESPACE: &str = "default";

/// The folder of the samples.
fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/samples")
}

fn sample(name: &str) -> Outcome<Value> {
    Ok(serde_saphyr::from_str(&std::fs::read_to_string(samples().join(name))?)?)
}

/// Every violation that the webhook reports for a sample if the sample topic is the only topic.
fn violations(name: &str) -> Outcome<Vec<String>> {
    let written = valid::parse_group(sample(name)?);
    let topic = TopicFacts::decode(&sample("kafkatopic.yaml")?);
    let spec = &written.group.spec;
    let lookups: TopicLookups = topic::named_by(spec, NAMESPACE)
        .into_iter()
        .filter(|reference| Some(reference.name.as_str()) == topic.topic_name.valid())
        .map(|reference| (reference, TopicLookup::Found(topic.clone())))
        .collect();
    let broken = ValidGroup::read(&written.group, &TopicGrants::Own, &kcg_api::GroupDefaults::default())
        .err()
        .unwrap_or_default();
    let live = live::check(spec, NAMESPACE, &lookups).violation;
    Ok(written
        .violations
        .into_iter()
        .chain(broken)
        .chain(live)
        .map(|violation| violation.to_string())
        .collect())
}

fn names() -> Outcome<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(samples())? {
        names.push(entry?.file_name().into_string().map_err(|_| "a name that is no text")?);
    }
    names.sort();
    Ok(names)
}

#[test]
fn samples_are_valid_unless_they_are_named_bad() -> Outcome {
    for name in names()?.iter().filter(|name| *name != "kafkatopic.yaml") {
        let violations = violations(name)?;
        assert_eq!(name.starts_with("bad-"), !violations.is_empty(), "{name}: {violations:?}");
    }
    Ok(())
}

#[test]
fn bad_samples_break_the_rules_that_they_name() -> Outcome {
    assert_eq!(
        violations("bad-min-above-partitions.yaml")?,
        [
            "spec.minReplicas: Invalid value: 4: must not be more than 3: topic fast-data-topic has 3 partitions, so a \
          fourth consumer would be idle"
        ]
    );
    assert_eq!(violations("bad-no-image.yaml")?, ["spec.consumerSpec.image: Required value"]);
    let many = violations("bad-many.yaml")?;
    for field in [
        "spec.minReplicas",
        "spec.averageRecordsLagLimit",
        "spec.consumerSpec.image",
        "spec.consumerSpec.podTemplate.spec.hostNetwork",
        "spec.consumerSpec.podTemplate.spec.containers[0].securityContext.privileged",
        "spec.alerts.for",
    ] {
        assert!(many.iter().any(|violation| violation.starts_with(field)), "{field} in {many:#?}");
    }
    Ok(())
}

/// Fields of the original that have a default here are left out.
#[test]
fn the_kconsumer_sample_is_the_original_s() -> Outcome {
    let original = serde_json::json!({
        "apiVersion": "thenextapps.com/v1alpha1",
        "kind": "KconsumerGroup",
        "metadata": {"name": "kconsumer"},
        "spec": {
            "minReplicas": 1,
            "averageRecordsLagLimit": 1000,
            "consumerSpec": {
                "containerName": "kconsumer",
                "image": "thenextapps/kconsumer:latest",
                "topic": "fast-data-topic",
            },
        },
    });
    assert_eq!(sample("kconsumer.yaml")?, original);
    Ok(())
}

/// Left out of the full sample, which gives the reason: one needs the installer's grant, the other
/// excludes lagStatistic.
const LEFT_OUT: [&str; 2] = ["topicNamespace", "lagMetric"];

#[test]
fn the_full_sample_uses_every_field() -> Outcome {
    let crd = serde_json::to_value(crd::crd())?;
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").ok_or("no schema")?;
    let spec = sample("full.yaml")?["spec"].take();
    let fields = |schema: &Value| -> Vec<String> {
        schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys().cloned()).collect()
    };
    for field in fields(schema) {
        assert!(spec.get(&field).is_some(), "spec.{field}");
        // Only these have fields of ours; the others are types of Kubernetes.
        if ["consumerSpec", "metrics", "alerts", "scaling"].contains(&field.as_str()) {
            for inner in fields(&schema["properties"][&field]) {
                assert!(
                    spec[&field].get(&inner).is_some() || LEFT_OUT.contains(&inner.as_str()),
                    "spec.{field}.{inner}"
                );
            }
        }
    }
    Ok(())
}
