//! What the cache keeps of a stored group: the text of its spec, its status, and what the indices
//! need. Text takes a fraction of the memory of the parsed types, and parsing it takes
//! microseconds.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kcg_api::condition::{ConditionType, Reason};
use kcg_api::consumer_group;
use kcg_api::preset::LagMetrics;
use kcg_api::topic;
use kcg_api::valid::{self, ParsedGroup};
use kcg_api::{KconsumerGroup, KconsumerGroupSpec, KconsumerGroupStatus, spec_bounds};
use kcg_core::children::DefaultsVersion;
use kcg_core::facts::predicate::ShownLag;
use kcg_core::facts::project;
use kcg_core::status::ConditionStatus;
use kcg_runtime::string_interner::StringInterner;
use kcg_runtime::watch::ObjectKey;
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use super::cached_status::CachedStatus;
use super::stored_group::StoredGroup;

/// The strings that cached objects share.
#[derive(Debug, Default)]
pub(super) struct SharedStrings {
    /// Of conditions: most groups have the same ones.
    texts: StringInterner,
    /// The keys of a group, of its children, of their topics.
    pub(super) keys: Arc<StringInterner>,
}

impl SharedStrings {
    pub(super) fn remove_unused(&self) {
        self.texts.remove_unused();
        self.keys.remove_unused();
    }
}

/// One stored KconsumerGroup.
#[derive(Clone, Debug, PartialEq)]
// group_id is Kafka's word.
#[allow(clippy::struct_field_names)]
pub(crate) struct CachedGroup {
    /// Shared with its children.
    pub(crate) uid: Arc<str>,
    pub(crate) resource_version: u64,
    pub(crate) generation: i64,
    created: Option<Timestamp>,
    /// It has a deletionTimestamp: nothing is written for it.
    pub(crate) deleting: bool,
    /// In records.
    pub(crate) lag_limit: i64,
    /// The metrics by which its autoscaler may read the lag.
    pub(super) lag_metrics: LagMetrics,
    /// By `namespace/name`.
    pub(crate) topics: Box<[ObjectKey]>,
    /// The id of the consumer group that the pods join; `None` if only they know it.
    pub(crate) group_id: Option<Box<str>>,
    /// The bootstrap servers that are the same Kafka in every namespace, sorted; at most
    /// [`MAX_SERVERS`].
    pub(crate) bootstrap_servers: Box<[Box<str>]>,
    pub(crate) summary: Summary,
    spec: Box<str>,
    status: CachedStatus,
}

/// What the metrics need of the stored status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) replicas: i32,
    pub(crate) ready_replicas: i32,
    pub(crate) partitions: Option<i32>,
    pub(crate) max_replicas: Option<i32>,
    pub(crate) lag: Option<i64>,
    pub(crate) recorded_defaults: Option<DefaultsVersion>,
    pub(crate) conditions: Box<[(ConditionType, ConditionStatus, Reason)]>,
}

impl CachedGroup {
    /// Never fails: [`Self::parse`] returns the errors of a malformed spec.
    pub(super) fn of(key: &ObjectKey, stored: StoredGroup, strings: &SharedStrings) -> Self {
        // A status that does not parse counts as empty: it is written again.
        let status = stored.status().unwrap_or_default();
        let StoredGroup { metadata, spec, .. } = stored;
        let mut group = Self {
            uid: metadata.uid.into(),
            resource_version: project::version_of(&metadata.resource_version),
            generation: metadata.generation,
            created: metadata.creation_timestamp.and_then(|created| created.parse().ok()),
            deleting: metadata.deletion_timestamp.is_some(),
            lag_limit: 0,
            lag_metrics: LagMetrics::default(),
            topics: Box::default(),
            group_id: None,
            bootstrap_servers: Box::default(),
            summary: Summary::of(&status),
            spec: spec.into(),
            status: CachedStatus::of(status, &strings.texts),
        };
        let spec = group.parse(key, usize::MAX).group.spec;
        group.lag_limit = spec.average_records_lag_limit;
        group.lag_metrics = spec.metrics.lag_metrics();
        group.topics = topic::named_by(&spec, key.namespace())
            .iter()
            .map(|topic| ObjectKey::interned(&strings.keys, &topic.namespace, &topic.name))
            .collect();
        group.group_id = consumer_group::group_id(&spec, key.name()).map(Into::into);
        group.bootstrap_servers =
            consumer_group::bootstrap_servers(&spec, key.name()).map(global_servers).unwrap_or_default();
        group
    }

    /// The group as its types, the bounds that its spec exceeds, and the errors of every value that
    /// does not fit its type. A spec of too many values is not read.
    pub(crate) fn parse(&self, key: &ObjectKey, max_spec_bytes: usize) -> ParsedGroup {
        let mut violations = spec_bounds::check_text(&self.spec, max_spec_bytes);
        let untyped = || KconsumerGroup { metadata: self.metadata(key), ..KconsumerGroup::default() };
        if spec_bounds::forbid_typing(&violations) {
            return ParsedGroup { group: untyped(), violations };
        }
        if let Ok(spec) = serde_json::from_str::<KconsumerGroupSpec>(&self.spec) {
            return ParsedGroup { group: KconsumerGroup { spec, ..untyped() }, violations };
        }
        let spec: Value = serde_json::from_str(&self.spec).expect("invariant: a cached spec is JSON");
        let mut parsed = valid::parse_group(json!({
            "apiVersion": format!("{}/{}", kcg_api::names::GROUP, kcg_api::names::VERSION),
            "kind": kcg_api::names::KIND,
            "metadata": self.metadata(key),
            "spec": spec,
        }));
        violations.append(&mut parsed.violations);
        ParsedGroup { violations, ..parsed }
    }

    /// The stored status.
    pub(crate) fn status(&self) -> KconsumerGroupStatus {
        self.status.status()
    }

    /// What its stored status shows of its lag.
    pub(super) fn shown_lag(&self) -> ShownLag {
        let metrics = self.lag_metrics.clone();
        ShownLag { metrics, limit: self.lag_limit, current: self.summary.lag }
    }

    /// Whether every decision is the same for both: they may differ in resourceVersion and labels.
    pub(super) fn is_equivalent_to(&self, other: &Self) -> bool {
        self.has_same_spec_as(other) && self.status == other.status
    }

    /// Whether the user wants the same.
    pub(super) fn has_same_spec_as(&self, other: &Self) -> bool {
        (&self.uid, self.generation, self.deleting, &self.spec)
            == (&other.uid, other.generation, other.deleting, &other.spec)
    }

    /// Whether the indices have the same entries for both.
    pub(super) fn is_indexed_as(&self, other: &Self) -> bool {
        (&self.topics, &self.group_id, &self.bootstrap_servers, self.deleting)
            == (&other.topics, &other.group_id, &other.bootstrap_servers, other.deleting)
    }

    fn metadata(&self, key: &ObjectKey) -> ObjectMeta {
        ObjectMeta {
            name: Some(key.name().to_owned()),
            namespace: Some(key.namespace().to_owned()),
            uid: Some(self.uid.to_string()),
            generation: Some(self.generation),
            creation_timestamp: self.created.map(Time),
            ..ObjectMeta::default()
        }
    }
}

/// How many bootstrap servers of a group are compared with those of others.
const MAX_SERVERS: usize = 8;

/// The servers of a comma-separated list that are the same in every namespace, in one order and
/// one spelling.
fn global_servers(servers: &str) -> Box<[Box<str>]> {
    let servers = servers.split(',').map(|server| server.trim().to_ascii_lowercase());
    let servers: BTreeSet<String> = servers.filter(|server| has_a_global_host(server)).collect();
    servers.into_iter().take(MAX_SERVERS).map(Into::into).collect()
}

/// Whether `host:port` is the same in every namespace. A name without a dot is a Service of the
/// pod's own namespace.
fn has_a_global_host(server: &str) -> bool {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    host.contains(['.', ':'])
}

impl Summary {
    fn of(status: &KconsumerGroupStatus) -> Self {
        let conditions = status.conditions.iter().filter_map(|condition| {
            let type_ = ConditionType::named(&condition.type_)?;
            let reason = Reason::named(&condition.reason)?;
            Some((type_, ConditionStatus::parse(&condition.status), reason))
        });
        Self {
            replicas: status.replicas,
            ready_replicas: status.ready_replicas,
            partitions: status.partitions,
            max_replicas: status.max_replicas,
            lag: status.lag.as_ref().and_then(|lag| lag.current),
            recorded_defaults: DefaultsVersion::recorded(status),
            conditions: conditions.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(spec: &Value) -> StoredGroup {
        StoredGroup::of(
            &json!({"metadata": {"uid": "u", "resourceVersion": "7", "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": spec, "status": {
                "partitions": 3, "maxReplicas": 2,
                "conditions": [{"type": "Ready", "status": "False", "reason": "PodsNotReady", "message": "m",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            }}),
        )
    }

    #[test]
    fn a_cached_group_reads_back_unchanged() {
        let key = ObjectKey::new("ns", "g");
        let group = CachedGroup::of(
            &key,
            object(
                &json!({"averageRecordsLagLimit": 5, "consumerSpec": {"image": "i", "topics": ["a", "b"]}}),
            ),
            &SharedStrings::default(),
        );
        assert_eq!((group.resource_version, group.generation, group.lag_limit), (7, 3, 5));
        assert_eq!(&*group.topics, [ObjectKey::new("ns", "a"), ObjectKey::new("ns", "b")]);
        assert_eq!(group.group_id.as_deref(), Some("g"));
        let written = group.parse(&key, usize::MAX);
        assert_eq!(written.group.metadata.uid.as_deref(), Some("u"));
        let created = written.group.metadata.creation_timestamp.map(|created| created.0.to_string());
        assert_eq!(created.as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(written.group.spec.consumer_spec.topics, ["a", "b"]);
        assert_eq!(group.status().max_replicas, Some(2));
        assert_eq!(
            &*group.summary.conditions,
            [(ConditionType::Ready, ConditionStatus::False, Reason::PodsNotReady)]
        );
    }

    #[test]
    fn a_malformed_spec_keeps_its_errors_and_its_readable_fields() {
        let key = ObjectKey::new("ns", "g");
        let group = CachedGroup::of(
            &key,
            object(
                &json!({"minReplicas": "three", "consumerSpec": {"image": "i", "topic": "a", "groupId": "x"}}),
            ),
            &SharedStrings::default(),
        );
        assert_eq!(&*group.topics, [ObjectKey::new("ns", "a")]);
        assert_eq!(group.group_id.as_deref(), Some("x"));
        let violations = group.parse(&key, usize::MAX).violations;
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].field, "spec.minReplicas");
    }

    #[test]
    fn a_spec_of_too_many_values_is_kept_but_not_read() {
        let key = ObjectKey::new("ns", "g");
        let volumes = vec![json!({}); spec_bounds::MAX_NODES];
        let spec = json!({"consumerSpec": {"topic": "a", "podTemplate": {"spec": {"volumes": volumes}}}});
        let group = CachedGroup::of(&key, object(&spec), &SharedStrings::default());
        assert_eq!(&*group.topics, []);
        let parsed = group.parse(&key, spec_bounds::MAX_BYTES);
        assert!(spec_bounds::forbid_typing(&parsed.violations), "{:?}", parsed.violations);
        assert_eq!(parsed.group.spec, KconsumerGroupSpec::default());
        assert_eq!(parsed.group.metadata.uid.as_deref(), Some("u"));
    }
}
