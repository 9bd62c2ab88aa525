//! What is searched: the readers of what others wrote.

use std::time::Duration;

use clap::Parser as _;
use kcg_api::topic::{TopicFacts, TopicLookup};
use kcg_api::valid::{TopicGrants, parse_group};
use kcg_api::{GroupDefaults, Violation, spec_bounds};
use kcg_core::ceiling::Held;
use kcg_core::children::ChildKind;
use kcg_core::desired::{DesiredState, desired_state};
use kcg_core::facts::Observed;
use kcg_webhook::admit::{Admission, AdmissionPolicy, AdmissionRequest, Stage, Verdict, admit, is_quick};
use kcg_webhook::review::respond;
use kconsumer_group_operator::cli::Cli;
use serde_json::{Value, json};

use crate::measure::Said;
use crate::mutate::Format;
use crate::search::{Bound, Target, said, search};
use crate::seeds;

#[derive(Debug)]
pub struct Rules;

impl Admission for Rules {
    fn admit(&self, request: &AdmissionRequest<'_>) -> Verdict {
        admit(request, &AdmissionPolicy::default(), &GroupDefaults::default(), |_| TopicLookup::NotFound)
    }
}

/// What the webhook says, as far as it does not repeat the input.
pub fn review(input: &[u8]) -> Said {
    let answers = [Stage::Mutate, Stage::Validate].map(|stage| match respond(stage, input, &Rules) {
        Ok(response) => {
            let faults = response.denial.map(|denial| without_digits(&denial.faults));
            said(&(response.outcome.reason, faults))
        }
        Err(error) => said(&without_digits(&error.to_string())),
    });
    said(&answers)
}

/// The first words of a message: other numbers are no other message.
fn without_digits(message: &str) -> String {
    message.chars().filter(|character| !character.is_ascii_digit()).take(60).collect()
}

fn broken(violations: &[Violation]) -> Said {
    let rule =
        |violation: &Violation| (violation.rule, violation.error_type, without_digits(&violation.field));
    said(&violations.iter().take(4).map(rule).collect::<Vec<_>>())
}

/// The input as JSON. Both processes refuse a spec of more bytes before they parse it.
fn parse_small(input: &[u8]) -> Option<Value> {
    (input.len() <= spec_bounds::MAX_BYTES + 1024).then(|| serde_json::from_slice(input).ok())?
}

/// The state of a stored group, if the product types its spec: both processes count its values first.
pub fn state(group: Value) -> Result<DesiredState, Vec<Violation>> {
    let counted = spec_bounds::check_value(&group["spec"], spec_bounds::MAX_BYTES);
    if spec_bounds::forbid_typing(&counted) {
        return Err(counted);
    }
    let stored = parse_group(group);
    desired_state(&stored, &Observed::default(), &TopicGrants::Own, &GroupDefaults::default())
}

/// Renders the owned resources of a stored group, and compares them with live ones.
pub fn children(group: Value) -> Said {
    match state(group) {
        Ok(state) => {
            for kind in ChildKind::ALL {
                if let Some(child) = state.child(kind) {
                    let _ = (child.digest(), state.drift(kind, &child.object));
                }
            }
            0
        }
        Err(violations) => broken(&violations),
    }
}

const fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number)
}

const fn microseconds(number: u64) -> Duration {
    Duration::from_micros(number)
}

#[test]
fn a_review_costs_in_proportion_to_its_bytes() {
    let bound =
        Bound { bytes_per_byte: 64, bytes: 20 << 20, cpu_per_byte: microseconds(5), cpu: milliseconds(3000) };
    let target = Target { name: "review", format: Format::Json, largest: 3 << 20, bound };
    let seeds: Vec<Value> = seeds::groups().iter().map(seeds::review).collect();
    search(&target, &seeds::json(&seeds), review);
}

/// Those that the webhook decides on the thread of their connection.
#[test]
fn a_quick_review_takes_little_time_whatever_is_in_it() {
    let bound =
        Bound { bytes_per_byte: 256, bytes: 1 << 20, cpu_per_byte: microseconds(0), cpu: milliseconds(120) };
    let target = Target { name: "quick", format: Format::Json, largest: 16 << 10, bound };
    let seeds: Vec<Value> = seeds::groups().iter().map(seeds::review).collect();
    search(&target, &seeds::json(&seeds), |input| if is_quick(input) { review(input) } else { 0 });
}

#[test]
fn a_stored_group_costs_in_proportion_to_its_bytes() {
    let bound = Bound {
        bytes_per_byte: 128,
        bytes: 20 << 20,
        cpu_per_byte: microseconds(20),
        cpu: milliseconds(3000),
    };
    let target =
        Target { name: "children", format: Format::Json, largest: spec_bounds::MAX_BYTES + 1024, bound };
    search(&target, &seeds::json(&seeds::groups()), |input| parse_small(input).map_or(0, children));
}

#[test]
fn a_pod_template_costs_in_proportion_to_its_bytes() {
    let bound = Bound {
        bytes_per_byte: 128,
        bytes: 20 << 20,
        cpu_per_byte: microseconds(20),
        cpu: milliseconds(1000),
    };
    let target = Target { name: "overlay", format: Format::Json, largest: spec_bounds::MAX_BYTES, bound };
    let templates: Vec<Value> =
        seeds::groups().iter().map(|group| group["spec"]["consumerSpec"]["podTemplate"].clone()).collect();
    search(&target, &seeds::json(&templates), |input| {
        let Some(template) = parse_small(input) else { return 0 };
        let group = json!({"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup",
            "metadata": {"name": "a", "namespace": "b", "uid": "c"},
            "spec": {"consumerSpec": {"image": "i", "topic": "t", "podTemplate": template}}});
        match state(group) {
            Ok(state) => said(&state.child(ChildKind::Deployment).is_some()),
            Err(violations) => broken(&violations),
        }
    });
}

#[test]
fn a_kafka_topic_costs_in_proportion_to_its_bytes() {
    let bound =
        Bound { bytes_per_byte: 64, bytes: 1 << 20, cpu_per_byte: microseconds(2), cpu: milliseconds(20) };
    let target = Target { name: "topic", format: Format::Json, largest: 3 << 19, bound };
    let mut topic = seeds::sample("kafkatopic.yaml");
    topic["status"] = json!({"observedGeneration": 1, "topicName": "orders", "topicId": "WQ5vFIQ8Qd-UyVC_2C2zQw",
        "conditions": [{"type": "Ready", "status": "True", "reason": "r", "message": "m"}]});
    search(&target, &seeds::json(&[topic]), |input| {
        // As the watch reads it: the rest of the object is skipped.
        match serde_json::from_slice::<TopicFacts>(input) {
            Ok(facts) => {
                assert!(facts.topic_id.as_ref().is_none_or(|id| id.len() < 70), "an id has a bound");
                said(&(facts.topic_id.is_some(), facts.cluster.is_some(), facts.identity().is_some()))
            }
            Err(error) => said(&without_digits(&error.to_string())),
        }
    });
}

#[test]
fn held_counts_cost_in_proportion_to_their_bytes() {
    let bound =
        Bound { bytes_per_byte: 64, bytes: 1 << 20, cpu_per_byte: microseconds(2), cpu: milliseconds(20) };
    // What the annotations of one object may have.
    let target = Target { name: "held", format: Format::Json, largest: 256 << 10, bound };
    let held =
        json!({"kafka/orders": {"partitions": 12, "topicName": "orders"}, "kafka/a": {"unconfirmed": 3}});
    search(&target, &seeds::json(&[held]), |input| {
        let held = std::str::from_utf8(input).ok().and_then(Held::parse);
        if let Some(held) = &held {
            assert_eq!(Held::parse(&held.annotation()).as_ref(), Some(held), "what is written is read again");
        }
        said(&held.map(|held| held.0.len().min(3)))
    });
}

#[test]
fn a_bundle_of_certificates_costs_in_proportion_to_its_bytes() {
    let bound =
        Bound { bytes_per_byte: 64, bytes: 1 << 20, cpu_per_byte: microseconds(5), cpu: milliseconds(50) };
    // A Secret has at most 1 MiB.
    let target = Target { name: "pem", format: Format::Text, largest: 1 << 20, bound };
    let names = ["webhook.a.svc".to_owned()];
    let day = Duration::from_hours(24);
    let ca = kcg_certs::ca::Ca::create("ca", &names, std::time::SystemTime::now(), day).unwrap();
    let pair = ca.issue(&names, std::time::SystemTime::now(), day).unwrap();
    let seeds = [ca.certificate_pem().into(), pair.chain.into_bytes(), ca.key_pem().into_bytes()];
    search(&target, &seeds, |input| {
        let bundle = kcg_certs::bundle::parse(input).map(|certificates| certificates.len().min(4));
        let pair = kcg_certs::pair::Pair::from_pem(input, input).map(|pair| pair.names().len().min(4));
        let ca = kcg_certs::ca::Ca::from_pem(input, input).map(|_| ());
        said(&(
            bundle.map_err(|error| without_digits(&error.to_string())),
            pair.map_err(|error| without_digits(&error.to_string())),
            ca.map_err(|error| without_digits(&error.to_string())),
        ))
    });
}

#[test]
fn a_file_of_defaults_costs_in_proportion_to_its_bytes() {
    let bound = Bound {
        bytes_per_byte: 512,
        bytes: 20 << 20,
        cpu_per_byte: microseconds(50),
        cpu: milliseconds(500),
    };
    let target = Target { name: "defaults", format: Format::Yaml, largest: 80 << 10, bound };
    let short = "consumerSpec:\n  podTemplate:\n    spec:\n      nodeSelector: {a: b}\nmetrics: &m\n  labels: {x: y}\n";
    let full = "metrics:\n  preset: Spring\n  interval: 30s\n  sampleLimit: 1000\n  labels: {a: b}\n\
        alerts:\n  severity: page\n  ruleLabels: {a: b}\nconsumerSpec:\n  imagePullSecrets:\n  - name: a\n\
        inheritedMetadata:\n  labels: {team: a}\n  annotations: {example.com/a: b}\nlimits: {}\n";
    search(&target, &[short.into(), full.into()], |input| {
        let Ok(text) = std::str::from_utf8(input) else { return 0 };
        let read = GroupDefaults::parse(text).map(|_| ());
        let first = |errors: Vec<kcg_api::defaults_file::FileError>| without_digits(&errors[0].message);
        said(&read.map_err(first))
    });
}

/// On the stack of a main thread, which the command runs on.
#[test]
fn a_manifest_costs_in_proportion_to_its_bytes() {
    let search = std::thread::Builder::new().stack_size(8 << 20).spawn(manifests);
    search.unwrap().join().unwrap();
}

fn manifests() {
    let bound = Bound {
        bytes_per_byte: 512,
        bytes: 20 << 20,
        cpu_per_byte: microseconds(50),
        cpu: milliseconds(3000),
    };
    let target = Target { name: "manifest", format: Format::Yaml, largest: 3 << 20, bound };
    let mut seeds: Vec<Vec<u8>> = ["full.yaml", "short.yaml", "bad-many.yaml", "kafkatopic.yaml"]
        .map(|name| std::fs::read(kcg_tests::repository("deploy/samples").join(name)).unwrap())
        .into();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": seeds::groups()});
    seeds.extend(seeds::json(&[list]));
    seeds.push(
        b"kind: List\nitems:\n- kind: List\n  items:\n  - &a {kind: Service}\n  - *a\n---\n- a\n".into(),
    );
    let validate = Cli::parse_from(["kconsumer-group-operator", "validate", "-", "--output=json"]);
    search(&target, &seeds, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return 0 };
        let result = validate.validate_text(text).unwrap().unwrap();
        let result: Value = serde_json::from_str(&result).unwrap();
        let messages = |list: &str, field: &str| {
            let items = result[list].as_array().into_iter().flatten();
            items.take(3).map(|item| without_digits(&item[field].to_string())).collect::<Vec<_>>()
        };
        said(&(messages("errors", "message"), messages("groups", "violations"), messages("groups", "valid")))
    });
}
