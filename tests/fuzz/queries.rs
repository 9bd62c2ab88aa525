//! What a group writes for Prometheus: queries, the labels of alerts, and how its pods are scraped. No
//! text of a tenant may become more than the text that it is.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Duration;

use kcg_api::alerts::AlertName;
use kcg_api::topic::{TopicFacts, TopicLookup, named_by};
use kcg_api::valid::{TopicGrants, parse_group};
use kcg_api::{GroupDefaults, ValidGroup, names, spec_bounds};
use kcg_core::children::ChildKind;
use kcg_core::desired::DesiredState;
use kcg_core::facts::Observed;
use serde_json::{Value, json};

use crate::measure::Said;
use crate::mutate::Format;
use crate::search::{Bound, Target, alone, said, search};
use crate::seeds;

/// The state of a group that all rules allow; each of its topics has three partitions.
fn admitted(group: Value) -> Option<DesiredState> {
    if !spec_bounds::check_value(&group["spec"], spec_bounds::MAX_BYTES).is_empty() {
        return None;
    }
    // What the API server admits as a namespace.
    if !names::DNS_LABEL.matches(group["metadata"]["namespace"].as_str().unwrap_or_default()) {
        return None;
    }
    let stored = parse_group(group);
    let group = stored.violations.is_empty().then_some(stored.group)?;
    let valid = ValidGroup::read(&group, &TopicGrants::Own, &GroupDefaults::default()).ok()?;
    let lookup = |topic| (topic, TopicLookup::Found(TopicFacts::stated("t", 3)));
    let topics = named_by(&group.spec, &valid.namespace).into_iter().map(lookup).collect();
    Some(DesiredState::new(valid, &Observed { topics, ..Observed::default() }))
}

/// A query without what a group writes into it: its texts, its numbers and its own metric. An error
/// says where it is no query.
fn skeleton(query: &str, own: &[&str], metric: &str) -> Result<String, String> {
    let (mut skeleton, mut open, mut rest) = (String::new(), Vec::new(), query);
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' => {
                let text = string(rest).ok_or_else(|| format!("a text does not end: {rest}"))?;
                let value: String = serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
                // The query's own texts stay: labels, regular expressions and their replacements.
                skeleton.push_str(if own.contains(&&*value) { "TEXT" } else { text });
                text.len()
            }
            '(' | '{' | '[' => {
                open.push(first);
                skeleton.push(first);
                1
            }
            ')' | '}' | ']' => {
                let opened = open.pop().ok_or_else(|| format!("nothing is open: {rest}"))?;
                if !matches!((opened, first), ('(', ')') | ('{', '}') | ('[', ']')) {
                    return Err(format!("{opened} is open: {rest}"));
                }
                skeleton.push(first);
                1
            }
            '0'..='9' => {
                skeleton.push('0');
                rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len())
            }
            'a'..='z' | 'A'..='Z' | '_' | ':' => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | ':'));
                let word = &rest[..end.unwrap_or(rest.len())];
                skeleton.push_str(if word == metric { "METRIC" } else { word });
                word.len()
            }
            ' ' | ',' | '=' | '>' | '<' | '-' | '*' | '!' => {
                skeleton.push(first);
                1
            }
            other => return Err(format!("{other:?}: {rest}")),
        };
        rest = &rest[len..];
    }
    if open.is_empty() { Ok(skeleton) } else { Err(format!("{open:?} are open: {query}")) }
}

/// A text in double quotes at the beginning of a query.
fn string(query: &str) -> Option<&str> {
    let mut escaped = false;
    let end = query.char_indices().skip(1).find(|(_, character)| {
        let ends = *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        ends
    });
    end.map(|(end, _)| &query[..=end])
}

/// The alert and the skeleton of its query, of each alert of a group.
fn skeletons(state: &DesiredState) -> Vec<(String, String)> {
    let Some(rule) = state.child(ChildKind::PrometheusRule) else { return Vec::new() };
    let metric = match state.group.metrics.statistic {
        Some(_) => "",
        None => &state.group.metrics.lag_metric,
    };
    let own = [&*state.group.name, &state.group.namespace];
    let alerts = rule.object["spec"]["groups"][0]["rules"].as_array().unwrap().iter();
    let skeletons = alerts.map(|alert| {
        let query = alert["expr"].as_str().unwrap();
        let skeleton = skeleton(query, &own, metric).unwrap_or_else(|why| panic!("{why}\n{query}"));
        (alert["alert"].as_str().unwrap().to_owned(), skeleton)
    });
    skeletons.collect()
}

/// All queries that groups have: of each preset and each statistic, with other endpoints and without,
/// with a threshold for any of the alerts: that of one is also in the query of another.
static SKELETONS: LazyLock<HashSet<(String, String)>> = LazyLock::new(|| {
    let mut known = HashSet::new();
    for preset in ["Spring", "JmxExporter", "Librdkafka"] {
        for (key, value) in [("lagStatistic", "Sum"), ("lagStatistic", "Max"), ("lagMetric", "my_lag")] {
            for endpoints in [json!([]), json!([{"port": 1}])] {
                for alerts in 0..1 << AlertName::ALL.len() {
                    let has_threshold =
                        AlertName::ALL.iter().enumerate().filter(|(bit, _)| alerts >> bit & 1 == 1);
                    let rules: Value = has_threshold
                        .map(|(_, name)| (name.as_str().to_owned(), json!({"threshold": 5})))
                        .collect();
                    let group = json!({"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup",
                        "metadata": {"name": "orders", "namespace": "default"},
                        "spec": {"consumerSpec": {"image": "i", "topic": "t"},
                            "alerts": {"rules": rules},
                            "metrics": {"preset": preset, key: value, "additionalEndpoints": endpoints}}});
                    known.extend(skeletons(&admitted(group).unwrap()));
                }
            }
        }
    }
    known
});

/// The templates that the operator itself writes.
const TEMPLATES: [&str; 6] = [
    r#"{{"{{"}}"#,
    r#"{{ printf "%.0f" $value }}"#,
    "{{ with $labels.partition }}",
    "{{ $labels.topic }}",
    "{{ . }}",
    "{{ else }}",
];

fn check_alerts(rule: &Value) {
    for alert in rule["spec"]["groups"][0]["rules"].as_array().unwrap() {
        let labels = alert["labels"].as_object().unwrap();
        assert!(labels.keys().all(|key| names::PROMETHEUS_LABEL.matches(key)), "{labels:?}");
        let texts = labels.values().chain(alert["annotations"].as_object().unwrap().values());
        for text in texts.map(|text| text.as_str().unwrap()) {
            let rest = TEMPLATES
                .iter()
                .chain(&["{{ end }}"])
                .fold(text.to_owned(), |text, template| text.replace(template, ""));
            assert!(!rest.contains("{{"), "a template of the tenant: {text}");
        }
        assert!(names::DURATION.matches(alert["for"].as_str().unwrap()), "{alert}");
    }
}

/// Labels and annotations of an owned resource.
fn check_metadata(object: &Value) {
    let labels = object["metadata"]["labels"].as_object().unwrap();
    for (key, value) in labels {
        let value = value.as_str().unwrap();
        assert!(names::is_label_key(key) && names::LABEL_VALUE.matches(value), "{key}: {value}");
    }
    assert_eq!(labels[names::LABEL_MANAGED_BY], names::OPERATOR, "no label replaces one of the operator's");
}

/// The labels by which a group's series are found, and those that say where Prometheus scrapes.
const PROTECTED: [&str; 11] = [
    "namespace",
    "service",
    "pod",
    "container",
    "endpoint",
    "job",
    "__address__",
    "__scheme__",
    "__metrics_path__",
    "__scrape_interval__",
    "__scrape_timeout__",
];

fn check_monitor(monitor: &Value, state: &DesiredState) {
    let own = json!({names::LABEL_APP: state.group.name, names::LABEL_GROUP: state.group.name});
    assert_eq!(monitor["spec"]["selector"], json!({"matchLabels": own}));
    assert_eq!(monitor["spec"]["namespaceSelector"], json!({"matchNames": [state.group.namespace]}));
    for endpoint in monitor["spec"]["endpoints"].as_array().unwrap() {
        assert_eq!([&endpoint["honorLabels"], &endpoint["followRedirects"]], [&json!(false), &json!(false)]);
        let path = endpoint["path"].as_str().unwrap();
        assert!(path.starts_with('/') && !path.contains("$(") && !path.contains('?'), "{path}");
        assert!(names::DURATION.matches(endpoint["interval"].as_str().unwrap()), "{endpoint}");
        for forbidden in
            ["params", "proxyUrl", "honorTimestamps", "bearerTokenFile", "targetPort", "enableHttp2"]
        {
            assert!(endpoint.get(forbidden).is_none(), "{endpoint}");
        }
        let lists = ["relabelings", "metricRelabelings"].map(|list| endpoint[list].as_array());
        for relabeling in lists.into_iter().flatten().flatten() {
            let target = relabeling["targetLabel"].as_str().unwrap_or_default();
            let writes = !matches!(
                relabeling["action"].as_str().unwrap_or_default().to_lowercase().as_str(),
                "keepequal" | "dropequal" | "keep" | "drop" | "labelmap"
            );
            assert!(!writes || !PROTECTED.contains(&target), "{relabeling}");
        }
    }
}

fn check(input: &[u8]) -> Said {
    let Some(state) = serde_json::from_slice(input).ok().and_then(admitted) else { return 0 };
    for (alert, skeleton) in skeletons(&state) {
        assert!(
            SKELETONS.contains(&(alert.clone(), skeleton.clone())),
            "{alert} has another query: {skeleton}"
        );
    }
    let mut said_of = Vec::new();
    for kind in ChildKind::ALL {
        let Some(child) = state.child(kind) else { continue };
        check_metadata(&child.object);
        match kind {
            ChildKind::PrometheusRule => check_alerts(&child.object),
            ChildKind::ServiceMonitor => check_monitor(&child.object, &state),
            _ => {}
        }
        said_of.push(child.object.to_string().len().ilog2());
    }
    said(&said_of)
}

#[test]
fn no_text_of_a_group_leaves_its_place_in_a_query_a_label_or_a_template() {
    let bound = Bound {
        bytes_per_byte: 128,
        bytes: 20 << 20,
        cpu_per_byte: Duration::from_micros(20),
        cpu: Duration::from_secs(3),
    };
    {
        // What this allocates must not count as another target's.
        let _alone = alone();
        assert!(SKELETONS.len() > 20, "{}", SKELETONS.len());
    }
    let target =
        Target { name: "queries", format: Format::Json, largest: spec_bounds::MAX_BYTES + 1024, bound };
    let mut seeds = seeds::groups();
    for group in &mut seeds {
        // What is searched: the rest only makes a group invalid.
        group["spec"]["consumerSpec"] = json!({"image": "i", "topic": "t"});
    }
    search(&target, &seeds::json(&seeds), check);
}

#[test]
fn a_query_that_was_broken_out_of_is_another_one() {
    let of = |query: &str| skeleton(query, &["orders"], "my_lag");
    assert_eq!(of(r#"my_lag{service="orders"} > 5"#).unwrap(), "METRIC{service=TEXT} > 0");
    assert_ne!(of(r#"my_lag{service="orders"} or vector(1) > 5"#), of(r#"my_lag{service="orders"} > 5"#));
    for broken in [r#"a{b="c} > 1"#, "a{b=1", "a)", "a(b]", "a # b"] {
        assert!(of(broken).is_err(), "{broken}");
    }
}
