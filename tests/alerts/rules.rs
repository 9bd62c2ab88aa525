//! The rules that the operator renders, in files that Prometheus loads.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use kcg_api::topic::{TopicFacts, TopicLookup};
use kcg_api::valid::{TopicGrants, parse_group};
use kcg_api::{KconsumerGroup, ValidGroup};
use kcg_core::ceiling;
use kcg_core::children::{self, ChildKind};
use serde_json::json;

/// Labels with quotes, braces of templates and line breaks.
pub const ODD: &str = r#"{"alerts": {"severity": "page \"now\" {{ $value }} \\", "labels": {
    "quotes": "\"a\" 'b' `c`", "braces": "{{ .Labels.pod }} }} {", "lines": "one\ntwo\\n", "umlaut": "größer 漢"}}}"#;

/// Settings for single alerts.
pub const OWN: &str = r#"{"alerts": {"rules": {
    "KafkaConsumerGroupLagHigh": {"severity": "critical", "for": "2m", "threshold": 50},
    "KafkaConsumerGroupPartitionLagHigh": {"enabled": false},
    "KafkaConsumerGroupNoConsumers": {"enabled": false}}}}"#;

/// A cap, a tolerance, and a topic whose partitions are not known.
pub const CAPPED: &str = r#"{"maxReplicas": 2, "scaling": {"behavior": {"scaleUp": {"tolerance": "0.5"}}},
    "consumerSpec": {"topic": "unknown"},
    "alerts": {"rules": {"KafkaConsumerGroupNoConsumers": {"enabled": false}}}}"#;

/// Specs that are merged into the shortest one.
pub const GROUPS: [&str; 10] = [
    "{}",
    r#"{"metrics": {"additionalEndpoints": [{"port": 9404}]}}"#,
    CAPPED,
    ODD,
    OWN,
    r#"{"metrics": {"preset": "JmxExporter", "lagStatistic": "Max"}}"#,
    r#"{"averageRecordsLagLimit": 9223372036854775807, "maxReplicas": 1}"#,
    r#"{"metrics": {"preset": "Librdkafka"}, "alerts": {"for": "1d2h", "ruleLabels": {}}}"#,
    r#"{"metrics": {"lagMetric": "a:b_0"}, "minReplicas": 3}"#,
    r#"{"consumerSpec": {"topics": ["a.b", "c"], "partitionsPerConsumer": 7}, "scaling": {"partitions": "Max"}}"#,
];

/// Writes the rules of a group in namespace `default`. The topic `unknown` has no KafkaTopic; every
/// other one has three partitions.
pub fn write(file: &Path, name: &str, spec: &str) -> Result<()> {
    let group = valid(name, spec)?;
    let three = |topic: &kcg_api::topic::TopicRef| match topic.name.as_str() {
        "unknown" => TopicLookup::NotFound,
        name => TopicLookup::Found(TopicFacts::stated(name, 3)),
    };
    let topics = &group.consumer.topics;
    let lookups = topics.iter().map(|topic| (topic.clone(), three(topic))).collect();
    let ceiling = ceiling::resolve(&group, &lookups, None);
    let rule = children::desired_one(ChildKind::PrometheusRule, &group, &ceiling).context("alerts are on")?;
    // JSON is YAML, and the spec of a PrometheusRule has the format of a rule file.
    std::fs::write(file, rule.object["spec"].to_string()).context("write the rules")
}

fn valid(name: &str, spec: &str) -> Result<ValidGroup> {
    let mut group = json!({
        "apiVersion": "thenextapps.com/v1alpha1",
        "kind": "KconsumerGroup",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"consumerSpec": {"image": "thenextapps/kconsumer:latest", "topic": "fast-data-topic"}},
    });
    json_patch::merge(&mut group["spec"], &serde_json::from_str(spec)?);
    let written = parse_group(group);
    ensure!(written.violations.is_empty(), "{:?}", written.violations);
    let group: KconsumerGroup = written.group;
    ValidGroup::read(&group, &TopicGrants::Own, &kcg_api::GroupDefaults::default())
        .map_err(|broken| anyhow::anyhow!("{broken:?}"))
}
