//! The memory that one review needs at most. Every pod of the cluster can send one, and types need
//! much more memory than their JSON: `{}` is a volume of kilobytes.
//!
//! Each spec is reviewed by a process of its own, this test's binary, so that its peak is seen.
#![allow(clippy::unwrap_used, reason = "test code")]

mod harness;

use std::process::Command;
use std::time::Duration;

use harness::TestServer;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kcg_api::GroupDefaults;
use kcg_api::spec_bounds::{MAX_BYTES, MAX_NODES};
use kcg_api::topic::TopicLookup;
use kcg_webhook::admit::{Admission, AdmissionPolicy, AdmissionRequest, Verdict, admit};
use kcg_webhook::server::Limits;
use serde_json::{Map, Value, json};

/// How far the resident memory may grow, in KiB.
const MOST: u64 = 20 << 10;
/// The environment variable with the file of the spec for the process that reviews it.
const SPEC: &str = "KCG_MEMORY_SPEC";

#[derive(Debug)]
struct Rules;

impl Admission for Rules {
    fn admit(&self, request: &AdmissionRequest<'_>) -> Verdict {
        admit(request, &AdmissionPolicy::default(), &GroupDefaults::default(), |_| TopicLookup::NotFound)
    }
}

fn empty(count: usize) -> Vec<Value> {
    vec![json!({}); count]
}

fn pod(spec: &Value) -> Value {
    json!({"consumerSpec": {"image": "a", "topic": "t", "podTemplate": {"spec": spec}}})
}

/// Lists of lists: `outer` objects with a list of `inner` empty objects each.
fn nested(field: &str, outer: usize, inner: usize) -> Vec<Value> {
    vec![json!({field: empty(inner)}); outer]
}

/// Specs that need the most memory for their bytes, most of them as large as the bounds allow.
fn shapes() -> Vec<(&'static str, Value)> {
    let all = empty(100);
    let keys = |count: usize| -> Map<String, Value> {
        (0..count).map(|key| (format!("{key}"), json!(""))).collect()
    };
    let limits = json!({"name": "a", "resources": {"limits": keys(100), "requests": keys(100)}});
    let long_key = "k".repeat(MAX_BYTES / 2);
    vec![
        ("84,000 volumes", pod(&json!({"volumes": empty(84_000)}))),
        ("84,000 containers", pod(&json!({"containers": empty(84_000)}))),
        ("84,000 policies", json!({"scaling": {"behavior": {"scaleUp": {"policies": empty(84_000)}}}})),
        (
            "every list of a pod",
            pod(
                &json!({"volumes": all, "containers": all, "initContainers": all, "ephemeralContainers": all,
                "tolerations": all, "topologySpreadConstraints": all, "hostAliases": all, "resourceClaims": all}),
            ),
        ),
        ("mounts of containers", pod(&json!({"containers": nested("volumeMounts", 48, 100)}))),
        ("ports of containers", pod(&json!({"containers": nested("ports", 48, 100)}))),
        ("variables of containers", pod(&json!({"containers": nested("env", 4, 1000)}))),
        ("sources of containers", pod(&json!({"initContainers": nested("envFrom", 4, 1000)}))),
        (
            "projected volumes",
            pod(&json!({"volumes": vec![json!({"projected": {"sources": empty(100)}}); 48]})),
        ),
        (
            "claims of volumes",
            pod(&json!({"volumes": vec![json!({"ephemeral": {"volumeClaimTemplate": {"spec": {"selector":
                {"matchExpressions": empty(90)}}}}}); 50]})),
        ),
        (
            "affinity",
            pod(&json!({"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
                vec![json!({"podAffinityTerm": {"labelSelector": {"matchExpressions": empty(44)}}}); 100]}}})),
        ),
        ("small objects", pod(&json!({"containers": vec![json!({"env": vec![json!({"": 0}); 800]}); 3]}))),
        ("limits", pod(&json!({"containers": vec![limits; 24]}))),
        (
            "4,800 labels",
            json!({"metrics": {"labels": keys(4800)}, "consumerSpec": {"image": "a", "topic": "t"}}),
        ),
        ("a long key", pod(&json!({"nodeSelector": {long_key: empty(100)}}))),
        (
            "a wrong type next to much",
            json!({"minReplicas": "x", "consumerSpec": {"image": 1, "podTemplate": {"spec":
                {"containers": nested("volumeMounts", 48, 100)}}}}),
        ),
        (
            "a long text",
            json!({"consumerSpec": {"image": "a", "topic": "t", "groupId": "\u{1}".repeat(4000)}}),
        ),
        (
            "a text of 2 MB",
            json!({"consumerSpec": {"image": "a", "topic": "t", "groupId": "g".repeat(2_000_000)}}),
        ),
    ]
}

/// A spec for each list that the schemas of a group and of a pod have: as many empty items as the
/// bounds allow, in each of the lists around it, too.
fn generated() -> Vec<(String, Value)> {
    let crd = serde_json::to_value(kcg_api::crd::crd()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let pod = serde_json::to_value(schemars::schema_for!(PodTemplateSpec)).unwrap();
    let mut paths = Vec::new();
    lists(spec, &Value::Null, "", &mut paths);
    lists(&pod, &pod["$defs"], "consumerSpec.podTemplate", &mut paths);
    paths.into_iter().map(|path| (path.clone(), densest(&path))).collect()
}

/// The paths of all lists in a schema; `[]` is a list's item.
fn lists(schema: &Value, definitions: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.trim_start_matches("#/$defs/").replace("~1", "/");
        return lists(&definitions[name], definitions, path, found);
    }
    for alternative in
        ["anyOf", "allOf", "oneOf"].into_iter().filter_map(|of| schema[of].as_array()).flatten()
    {
        lists(alternative, definitions, path, found);
    }
    if schema["items"].is_object() {
        found.push(path.to_owned());
        lists(&schema["items"], definitions, &format!("{path}.[]"), found);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        // An ephemeral container is refused in any number.
        if name != "ephemeralContainers" {
            lists(property, definitions, format!("{path}.{name}").trim_start_matches('.'), found);
        }
    }
}

fn densest(path: &str) -> Value {
    let steps: Vec<&str> = path.split('.').collect();
    // The nodes of the value so far, of which some remain for what is around it.
    let (most, mut nodes) = (MAX_NODES - 20, 1);
    let items_of = |name: &str| if matches!(name, "env" | "envFrom") { 1000 } else { 100 };
    let mut value = json!({});
    let mut list = steps.last().copied();
    for (position, step) in steps.iter().enumerate().rev() {
        if let Some(name) = list.take() {
            let count = items_of(name).min(most / nodes);
            value = Value::from(vec![value; count]);
            nodes = 1 + count * nodes;
        }
        if *step == "[]" {
            list = position.checked_sub(1).map(|before| steps[before]);
        } else {
            value = json!({*step: value});
            nodes += 1;
        }
    }
    value["consumerSpec"]["image"] = json!("a");
    value["consumerSpec"]["topic"] = json!("t");
    value
}

fn review(spec: &Value) -> String {
    let group = json!({"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup",
        "metadata": {"name": "g", "namespace": "default"}, "spec": spec});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "UPDATE", "name": "g", "namespace": "default",
        "kind": {"group": "thenextapps.com", "version": "v1alpha1", "kind": "KconsumerGroup"},
        // The old object has the same violations and a further one: both are typed and compared.
        "oldObject": group, "object": group}})
    .to_string()
}

/// How far the review of a spec lets a process of its own grow, in KiB.
fn grown_by(name: &str, spec: &Value) -> u64 {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, spec.to_string()).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "reviews_one_spec"])
        .env(SPEC, file.path())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let figure = stdout.lines().find_map(|line| line.split_once("grown by ")?.1.parse::<u64>().ok());
    let figure =
        figure.unwrap_or_else(|| panic!("{name}: {stdout}{}", String::from_utf8_lossy(&output.stderr)));
    println!("{figure} KiB: {name}");
    figure
}

#[test]
fn the_review_of_any_spec_needs_at_most_20_mb() {
    let figures = shapes().into_iter().map(|(name, spec)| (name, grown_by(name, &spec)));
    let over: Vec<_> = figures.filter(|(_, figure)| *figure > MOST).collect();
    assert!(over.is_empty(), "{over:?}");
}

/// A sample of the lists, another one each day, so that all have their turn; `KCG_LONG=1` takes all.
#[test]
fn the_review_of_a_spec_full_of_any_list_needs_at_most_20_mb() {
    const SAMPLE: usize = 12;
    let all = generated();
    assert!(all.len() > 100, "{} lists", all.len());
    let day = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() / (24 * 60 * 60);
    let is_long = std::env::var_os("KCG_LONG").is_some();
    let step = if is_long { 1 } else { all.len() / SAMPLE };
    let first = usize::try_from(day).unwrap() % step;
    println!("lists {first}, {}, ... of {}", first + step, all.len());
    let sample = all.iter().skip(first).step_by(step);
    let mut figures: Vec<(u64, &str, &Value)> =
        sample.map(|(name, spec)| (grown_by(name, spec), name.as_str(), spec)).collect();
    figures.sort_unstable_by_key(|(figure, ..)| std::cmp::Reverse(*figure));
    assert!(figures[0].0 <= MOST, "{:?}", &figures[0]);
}

#[test]
#[ignore = "a process of its own for the_review_of_any_spec_needs_at_most_20_mb"]
fn reviews_one_spec() {
    let Some(file) = std::env::var_os(SPEC) else { return };
    let body = review(&serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = TestServer::start_with(Limits::default(), Rules, Duration::ZERO).await;
        let mut client = server.client().await;
        let small = review(&json!({"consumerSpec": {"image": "a", "topic": "t"}}));
        assert_eq!(client.post("/validate", &small).await.status, 200);
        // Sets the peak back to the current size.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = kib("VmRSS:");
        assert_eq!(client.post("/mutate", &body).await.status, 200);
        println!("\ngrown by {}", kib("VmHWM:").saturating_sub(before));
    });
}

/// A figure of this process's status.
fn kib(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

#[test]
fn the_generated_specs_are_within_the_bounds() {
    for (name, spec) in generated() {
        let found = kcg_api::spec_bounds::check_value(&spec, MAX_BYTES);
        let own_rule = ["topics", "additionalEndpoints"].iter().any(|list| name.contains(list));
        assert!(found.is_empty() || own_rule, "{name}: {found:?}");
    }
}

#[test]
fn the_shapes_are_as_large_as_the_bounds_allow() {
    for (name, spec) in shapes() {
        let violations = kcg_api::spec_bounds::check_value(&spec, MAX_BYTES);
        let is_larger = ["84,000", "4,800", "a text of 2 MB"].iter().any(|start| name.starts_with(start));
        assert_eq!(violations.is_empty(), !is_larger, "{name} (at most {MAX_NODES} values): {violations:?}");
    }
}
