//! The decision itself, in cases for which a fixture would be too large or one of many.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::borrow::Cow;
use std::time::Duration;

use kcg_api::GroupDefaults;
use kcg_api::topic::{TopicFacts, TopicLookup};
use kcg_webhook::admit::{
    AdmissionPolicy, AdmissionRequest, Operation, ReviewObject, Stage, Verdict, admit, is_quick,
};
use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

fn group(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "thenextapps.com/v1alpha1",
        "kind": "KconsumerGroup",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    })
}

/// The verdict on a creation of `new`, or an update from `old`; every topic has three partitions.
fn decide(stage: Stage, old: Option<&Value>, new: &Value) -> Verdict {
    decide_text(stage, old.map(Value::to_string).as_deref(), &new.to_string())
}

fn decide_text(stage: Stage, old: Option<&str>, new: &str) -> Verdict {
    let request = AdmissionRequest {
        stage,
        operation: if old.is_some() { Operation::Update } else { Operation::Create },
        group: "thenextapps.com".into(),
        version: "v1alpha1".into(),
        kind: "KconsumerGroup".into(),
        sub_resource: Cow::default(),
        name: Cow::default(),
        namespace: "default".into(),
        object: Some(ReviewObject::read(new)),
        old_object: old,
    };
    let three = TopicFacts::stated("t", 3);
    admit(&request, &AdmissionPolicy::default(), &GroupDefaults::default(), |_| {
        TopicLookup::Found(three.clone())
    })
}

fn refusals(verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Allowed { .. } => Vec::new(),
        Verdict::Refused { violations, .. } => violations.iter().map(ToString::to_string).collect(),
        Verdict::Unreadable(why) => vec![why.clone()],
    }
}

/// A spec of at least `length` bytes.
fn long(length: usize, marker: &str) -> Value {
    let env: Vec<Value> =
        (0..length / 1000).map(|n| json!({"name": format!("V{n}"), "value": "x".repeat(1000)})).collect();
    json!({"minReplicas": 1, "consumerSpec": {"image": "a", "topic": "t", "groupId": marker, "env": env}})
}

#[test]
fn an_oversized_spec_is_denied_and_a_stored_one_can_still_be_labelled() {
    let short = group("kconsumer", &long(60_000, "a"));
    let oversized = group("kconsumer", &long(70_000, "a"));
    assert!(refusals(&decide(Stage::Validate, None, &short)).is_empty());
    let refused = refusals(&decide(Stage::Validate, None, &oversized));
    assert_eq!(refused, ["spec: Too long: must have at most 65536 bytes as compact JSON"]);
    assert_eq!(refusals(&decide(Stage::Validate, Some(&short), &oversized)), refused);

    let mut labelled = oversized.clone();
    labelled["metadata"]["labels"] = json!({"team": "a"});
    assert!(refusals(&decide(Stage::Mutate, Some(&oversized), &labelled)).is_empty());
    let longer = group("kconsumer", &long(71_000, "a"));
    assert_eq!(refusals(&decide(Stage::Validate, Some(&oversized), &longer)).len(), 1);
}

#[test]
fn what_is_rarely_meant_is_warned_of_on_a_creation_and_on_each_change_of_the_spec() {
    let spec = |image: &str| {
        json!({"consumerSpec": {"image": image, "topic": "t", "groupId": "kconsumer"}, "metrics": {"lagStatistic": "Sum"},
            "scaling": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}}}})
    };
    let (before, after) = (group("kconsumer", &spec("a")), group("kconsumer", &spec("b")));
    for old in [None, Some(&before)] {
        let verdict = decide(Stage::Validate, old, &after);
        let Verdict::Allowed { warnings, .. } = verdict else { panic!("{verdict:?}") };
        assert_eq!(
            warnings,
            [
                "spec.scaling.behavior.scaleDown.stabilizationWindowSeconds: set 60 or more: Micrometer shows a new lag up to 60 s late"
            ]
        );
    }
}

#[test]
fn a_stored_group_may_keep_metrics_without_requests_and_a_new_one_may_not() {
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}});
    let spec =
        |image: &str| json!({"consumerSpec": {"image": image, "topic": "t"}, "scaling": {"metrics": [cpu]}});
    let (before, after) = (group("kconsumer", &spec("a")), group("kconsumer", &spec("b")));
    let refused = refusals(&decide(Stage::Validate, None, &after));
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(
        refused[0].starts_with("spec.consumerSpec.resources.requests[cpu]: Required value"),
        "{refused:?}"
    );
    assert_eq!(refusals(&decide(Stage::Validate, Some(&before), &after)), [] as [&str; 0]);
}

/// The time of a thread for one quick review in a debug build, where up to 9 ms were measured; 1 ms in what is
/// shipped.
const QUICK_LIMIT: Duration = Duration::from_millis(60);

/// As many items as make a review of 16 KiB, in the new object alone or in both.
fn largest_quick(spec: impl Fn(usize) -> Value, in_both: bool) -> (Value, Option<Value>, String) {
    let review = |count: usize| {
        let new = group("kconsumer", &spec(count));
        let old = in_both.then(|| new.clone());
        let text = json!({"object": &new, "oldObject": &old}).to_string();
        (new, old, text)
    };
    let larger = (1..1000).take_while(|count| is_quick(review(count * 16).2.as_bytes())).last();
    review(larger.expect("some items are quick") * 16)
}

#[test]
fn a_quick_review_takes_a_thread_a_moment_whatever_is_in_it() {
    let consumer =
        |field: &str, items: Value| json!({"consumerSpec": {"image": "a", "topic": "t", field: items}});
    let labels = |n: usize| (0..n).map(|n| (format!("a {n}"), json!("x"))).collect::<serde_json::Map<_, _>>();
    let metric = json!({"type": "Pods", "pods": {"metric": {"name": "a/"}, "target": {"type": "X"}}});
    let specs: [(&str, &dyn Fn(usize) -> Value); 6] = [
        ("topics", &|n| consumer("topics", vec![json!("t"); n].into())),
        ("variables", &|n| consumer("env", vec![json!({"name": ""}); n].into())),
        ("wrong types", &|n| consumer("env", vec![json!({"name": 1}); n].into())),
        ("labels", &|n| json!({"metrics": {"labels": labels(n)}})),
        ("metrics", &|n| json!({"scaling": {"metrics": vec![metric.clone(); n]}})),
        ("unknown fields", &|n| labels(n).into()),
    ];
    for (case, spec) in specs {
        for in_both in [false, true] {
            let (new, old, text) = largest_quick(spec, in_both);
            let started = thread_time();
            let verdict = decide(Stage::Validate, old.as_ref(), &new);
            let took = thread_time().saturating_sub(started);
            println!("{case}, {} bytes: {took:?}", text.len());
            assert!(took < QUICK_LIMIT, "{case}: {took:?}, {} violations", refusals(&verdict).len());
        }
    }
    for slow in [r#"{"regex": ""}"#, r#"{"\u0072egex": ""}"#, r#"{"podTemplate": {}}"#] {
        assert!(!is_quick(slow.as_bytes()), "{slow}");
    }
}

/// A spec of this length is refused before it is read, unless it is stored already.
const LONG: usize = 256 << 10;

/// A long spec, with as many items in a list of its consumer as fit.
fn filled(field: &str, item: impl Fn(usize) -> Value) -> Value {
    let mut items = Vec::new();
    let mut length = 0;
    for item in (0..).map(item) {
        length += item.to_string().len() + 1;
        if length > LONG - 1024 {
            break;
        }
        items.push(item);
    }
    let mut consumer = json!({"image": "a", "topic": "t"});
    consumer[field] = Value::from(items);
    json!({"minReplicas": 1, "consumerSpec": consumer})
}

/// A spec with many invalid labels, which are all violations of one field.
fn labelled(prefix: &str) -> Value {
    let labels: serde_json::Map<String, Value> =
        (0..16_000).map(|n| (format!("{prefix} {n}"), json!("x"))).collect();
    json!({"consumerSpec": {"image": "a", "topic": "t"}, "metrics": {"labels": labels}})
}

/// A spec with as many relabelings as are allowed, each with a large regular expression.
fn relabelled() -> Value {
    let relabeling = json!({"regex": "(([^a].?){16}){60}", "targetLabel": "${1}", "replacement": "$2"});
    let list = vec![relabeling; 30];
    let with = |port: i32| json!({"port": port, "relabelings": list, "metricRelabelings": list});
    let mut endpoint = with(0);
    endpoint.as_object_mut().unwrap().remove("port");
    json!({"consumerSpec": {"image": "a", "topic": "t"},
        "metrics": {"endpoint": endpoint, "additionalEndpoints": [with(1), with(2), with(3), with(4), with(5)]}})
}

/// A spec whose pod template has many containers, each with a misspelt field.
fn misspelt() -> Value {
    let containers: Vec<Value> = (0..15_000).map(|_| json!({"imag": ""})).collect();
    json!({"consumerSpec": {"image": "a", "topic": "t", "podTemplate": {"spec": {"containers": containers}}}})
}

/// The limit of a thread's time for one review in a debug build, where 20 ms to 700 ms were
/// measured. Rules of quadratic time took 20 s and more.
const TIME_LIMIT: Duration = Duration::from_secs(4);

/// The time that the processor has spent on this thread: a busy machine makes no review slower.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("invariant: a clock of processor time is never negative")
}

#[test]
fn no_review_of_256_kib_blocks_a_thread_whatever_its_items_and_violations() {
    let topics = || filled("topics", |n| json!(format!("t{n}")));
    let duplicates = || filled("topics", |_| json!("t"));
    let env = || filled("env", |n| json!({"name": format!("{n}")}));
    let twice = || filled("env", |_| json!({"name": "A"}));
    let sources = || filled("envFrom", |_| json!({}));
    let reviews = [
        ("topics", None, topics()),
        ("topics in both", Some(topics()), topics()),
        ("one topic over and over", None, duplicates()),
        ("one topic over and over in both", Some(duplicates()), duplicates()),
        ("variables", None, env()),
        ("variables in both", Some(env()), env()),
        ("one variable over and over", Some(twice()), twice()),
        ("sources of variables", Some(sources()), sources()),
        ("the same bad labels in both", Some(labelled("a")), labelled("a")),
        ("bad labels, and others before", Some(labelled("a")), labelled("b")),
        ("misspelt fields in both", Some(misspelt()), misspelt()),
    ];
    for (case, old, new) in reviews {
        let length = new.to_string().len();
        assert!((180_000..=LONG).contains(&length), "{case}: {length} bytes");
        let old = old.map(|old| group("kconsumer", &old).to_string());
        let new = group("kconsumer", &new).to_string();
        let started = thread_time();
        let verdict = decide_text(Stage::Validate, old.as_deref(), &new);
        let took = thread_time().saturating_sub(started);
        println!("{case}: {took:?}");
        assert!(took < TIME_LIMIT, "{case}: {took:?}, {} violations", refusals(&verdict).len());
    }
}

#[test]
fn no_review_of_large_regular_expressions_blocks_a_thread() {
    let group = group("kconsumer", &relabelled());
    let started = thread_time();
    let refused = refusals(&decide(Stage::Validate, Some(&group), &group));
    let took = thread_time().saturating_sub(started);
    assert!(took < TIME_LIMIT, "{took:?}: {refused:?}");
}

#[test]
fn a_list_that_is_too_long_is_one_violation_and_shortening_it_is_allowed() {
    let of = |field: &str, count: usize, item: &Value| {
        let mut spec = json!({"consumerSpec": {"image": "a", "topic": "t"}});
        let list = field.split('.').fold(&mut spec, |object, field| &mut object[field]);
        *list = Value::from(vec![item.clone(); count]);
        group("kconsumer", &spec)
    };
    let rule = json!({"sourceLabels": ["a"], "targetLabel": "1"});
    for (field, most, item) in [
        ("consumerSpec.topics", 100, json!("A B")),
        ("consumerSpec.env", 1000, json!({"name": ""})),
        ("consumerSpec.envFrom", 1000, json!({})),
        ("metrics.additionalEndpoints", 5, json!({"port": 0})),
        ("metrics.endpoint.relabelings", 30, rule.clone()),
        ("metrics.endpoint.metricRelabelings", 30, rule),
    ] {
        let long = of(field, most + 2, &item);
        let expected = format!("spec.{field}: Too many: {}: must have at most {most} items", most + 2);
        assert_eq!(refusals(&decide(Stage::Validate, None, &long)), [expected]);
        let longer = of(field, most + 3, &item);
        assert_eq!(refusals(&decide(Stage::Validate, Some(&long), &longer)).len(), 1, "{field}");
        let shorter = of(field, most + 1, &item);
        assert!(refusals(&decide(Stage::Validate, Some(&long), &shorter)).is_empty(), "{field}");
        let short = refusals(&decide(Stage::Validate, None, &of(field, most, &item)));
        assert!(!short.iter().any(|message| message.contains("Too many")), "{field}: {short:?}");
    }
}

/// Valid and invalid specs, with each field present or not.
fn specs() -> impl Strategy<Value = Value> {
    let text = prop_oneof![Just("kconsumer"), Just("a.b"), Just(""), Just("A B"), Just("t")];
    let field = || proptest::option::of(text.clone());
    (proptest::option::of(-1..6_i64), proptest::option::of(0..6_i64), field(), field(), field(), field())
        .prop_map(|(min, max, image, topic, container, group_id)| {
            let mut spec = json!({"consumerSpec": {}});
            let mut put = |pointer: &str, name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    spec.pointer_mut(pointer).unwrap()[name] = value;
                }
            };
            put("", "minReplicas", min.map(Value::from));
            put("", "maxReplicas", max.map(Value::from));
            put("/consumerSpec", "image", image.map(Value::from));
            put("/consumerSpec", "topic", topic.map(Value::from));
            put("/consumerSpec", "containerName", container.map(Value::from));
            put("/consumerSpec", "groupId", group_id.map(Value::from));
            spec
        })
}

fn names() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("kconsumer"), Just("1k"), Just("a.b"), Just("k-")]
}

/// The object as it is stored if `verdict` allows it.
fn stored(object: &Value, verdict: &Verdict) -> Option<Value> {
    let Verdict::Allowed { patch, .. } = verdict else { return None };
    let mut stored = object.clone();
    json_patch::patch(&mut stored, patch).unwrap();
    Some(stored)
}

proptest! {
    #[test]
    fn what_mutate_allows_validate_allows(name in names(), spec in specs()) {
        let object = group(name, &spec);
        let mutated = decide(Stage::Mutate, None, &object);
        prop_assert_eq!(refusals(&mutated), refusals(&decide(Stage::Validate, None, &object)));
        if let Some(stored) = stored(&object, &mutated) {
            prop_assert_eq!(refusals(&decide(Stage::Validate, None, &stored)), Vec::<String>::new());
        }
    }

    #[test]
    fn labels_can_be_edited_whatever_is_stored(name in names(), spec in specs()) {
        let old = group(name, &spec);
        let mut new = old.clone();
        new["metadata"]["labels"] = json!({"team": "a"});
        let mutated = decide(Stage::Mutate, Some(&old), &new);
        prop_assert_eq!(refusals(&mutated), Vec::<String>::new());
        let stored = stored(&new, &mutated).unwrap();
        prop_assert_eq!(refusals(&decide(Stage::Validate, Some(&old), &stored)), Vec::<String>::new());
    }

    #[test]
    fn an_update_to_a_valid_group_is_allowed_whatever_was_stored(name in names(), old in specs()) {
        let valid = json!({"minReplicas": 1, "consumerSpec": {"image": "a", "topic": "t"}});
        let verdict = decide(Stage::Validate, Some(&group(name, &old)), &group("kconsumer", &valid));
        prop_assert_eq!(refusals(&verdict), Vec::<String>::new());
    }
}

#[test]
fn a_second_container_of_the_consumers_image_is_warned_of_and_allowed() {
    let second = json!({"spec": {"containers": [{"name": "order", "image": "shop/orders:1"}]}});
    let spec = |template: &Value| {
        json!({"averageRecordsLagLimit": 5, "metrics": {"lagStatistic": "Sum"},
        "consumerSpec": {"image": "shop/orders:1", "topic": "orders", "podTemplate": template}})
    };
    let of = |old: Option<&Value>, template: &Value| {
        let Verdict::Allowed { warnings, .. } =
            decide(Stage::Validate, old, &group("orders", &spec(template)))
        else {
            panic!("it is allowed")
        };
        warnings
    };
    let warning = "podTemplate container \"order\" has the consumer's image: each pod runs it next to container \"orders\"";
    assert_eq!(of(None, &second), [warning]);
    assert_eq!(of(Some(&group("orders", &spec(&json!({})))), &second), [warning]);
    assert_eq!(of(None, &json!({})), [""; 0]);
}
