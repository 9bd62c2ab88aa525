//! What is kept of a stored group: the text of its spec, its status, and what the indices need. Text takes a
//! fraction of the memory of the parsed types, and parsing it back takes microseconds.

use kcg_api::condition::{ConditionType, Reason};
use kcg_api::valid::{self, ParsedGroup};
use kcg_api::{KconsumerGroup, KconsumerGroupSpec, KconsumerGroupStatus};
use kcg_runtime::watch::ObjectKey;
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use super::kept_status::{KeptStatus, Texts};
use kcg_core::observed::projection;

/// One stored KconsumerGroup.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub uid: Box<str>,
    pub resource_version: u64,
    pub generation: i64,
    /// It has a deletionTimestamp: nothing is written for it any more.
    pub deleting: bool,
    /// In records.
    pub lag_limit: i64,
    /// By `namespace/name`.
    pub topics: Box<[ObjectKey]>,
    /// The Kafka consumer group, by `namespace/groupId` of this object's namespace.
    pub consumer_group: ObjectKey,
    pub summary: Summary,
    spec: Box<str>,
    status: KeptStatus,
}

/// What the metrics tell of a group, from its stored status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub replicas: i32,
    pub ready_replicas: i32,
    pub partitions: Option<i32>,
    pub max_replicas: Option<i32>,
    pub conditions: Box<[(ConditionType, ConditionStatus, Reason)]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl Group {
    /// Never fails: what cannot be read of the spec is found again, with its reasons, by [`Self::read`].
    pub fn of(key: &ObjectKey, object: &Value, texts: &Texts) -> Self {
        let metadata = &object["metadata"];
        // A status that does not parse is as good as none: it is written anew.
        let status = object.get("status").cloned().unwrap_or_default();
        let status: KconsumerGroupStatus = serde_json::from_value(status).unwrap_or_default();
        let mut group = Self {
            uid: metadata["uid"].as_str().unwrap_or_default().into(),
            resource_version: projection::version(object),
            generation: metadata["generation"].as_i64().unwrap_or_default(),
            deleting: metadata.get("deletionTimestamp").is_some(),
            lag_limit: 0,
            topics: Box::default(),
            consumer_group: key.clone(),
            summary: Summary::of(&status),
            spec: object.get("spec").unwrap_or(&Value::Null).to_string().into(),
            status: KeptStatus::of(status, texts),
        };
        let spec = group.read(key).group.spec;
        group.lag_limit = spec.average_records_lag_limit;
        group.topics = valid::topics(&spec, key.namespace())
            .iter()
            .map(|topic| ObjectKey::new(&topic.namespace, &topic.name))
            .collect();
        let group_id = spec.consumer_spec.group_id.as_deref().unwrap_or(key.name());
        group.consumer_group = ObjectKey::new(key.namespace(), group_id);
        group
    }

    /// The group as its types have it, and every value that they have no place for.
    pub fn read(&self, key: &ObjectKey) -> ParsedGroup {
        if let Ok(spec) = serde_json::from_str::<KconsumerGroupSpec>(&self.spec) {
            let group = KconsumerGroup { metadata: self.metadata(key), spec, status: None };
            return ParsedGroup { group, violations: Vec::new() };
        }
        let spec: Value = serde_json::from_str(&self.spec).unwrap_or_default();
        valid::parse_group(json!({
            "apiVersion": format!("{}/{}", kcg_api::names::GROUP, kcg_api::names::VERSION),
            "kind": kcg_api::names::KIND,
            "metadata": self.metadata(key),
            "spec": spec,
        }))
    }

    /// The status as it is stored.
    pub fn status(&self) -> KconsumerGroupStatus {
        self.status.status()
    }

    /// Whether a decision would find the same in `self` as in `other`: versions and labels are nothing to it.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.asks_the_same(other) && self.status == other.status
    }

    /// Whether the person wants the same.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        (&self.uid, self.generation, self.deleting, &self.spec)
            == (&other.uid, other.generation, other.deleting, &other.spec)
    }

    fn metadata(&self, key: &ObjectKey) -> ObjectMeta {
        ObjectMeta {
            name: Some(key.name().to_owned()),
            namespace: Some(key.namespace().to_owned()),
            uid: Some(self.uid.to_string()),
            generation: Some(self.generation),
            ..ObjectMeta::default()
        }
    }
}

impl Summary {
    fn of(status: &KconsumerGroupStatus) -> Self {
        let conditions = status.conditions.iter().filter_map(|condition| {
            let type_ = *ConditionType::ALL.iter().find(|type_| type_.as_str() == condition.type_)?;
            let reason = *Reason::ALL.iter().find(|reason| reason.as_str() == condition.reason)?;
            let status = match condition.status.as_str() {
                "True" => ConditionStatus::True,
                "False" => ConditionStatus::False,
                _ => ConditionStatus::Unknown,
            };
            Some((type_, status, reason))
        });
        Self {
            replicas: status.replicas,
            ready_replicas: status.ready_replicas,
            partitions: status.partitions,
            max_replicas: status.max_replicas,
            conditions: conditions.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(spec: &Value) -> Value {
        json!({"metadata": {"uid": "u", "resourceVersion": "7", "generation": 3}, "spec": spec, "status": {
            "partitions": 3, "maxReplicas": 2,
            "conditions": [{"type": "Ready", "status": "False", "reason": "PodsNotReady", "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        }})
    }

    #[test]
    fn a_group_reads_back_as_it_was_stored() {
        let key = ObjectKey::new("ns", "g");
        let group = Group::of(
            &key,
            &object(
                &json!({"averageRecordsLagLimit": 5, "consumerSpec": {"image": "i", "topics": ["a", "b"]}}),
            ),
            &Texts::default(),
        );
        assert_eq!((group.resource_version, group.generation, group.lag_limit), (7, 3, 5));
        assert_eq!(&*group.topics, [ObjectKey::new("ns", "a"), ObjectKey::new("ns", "b")]);
        assert_eq!(group.consumer_group, key);
        let written = group.read(&key);
        assert_eq!(written.group.metadata.uid.as_deref(), Some("u"));
        assert_eq!(written.group.spec.consumer_spec.topics, ["a", "b"]);
        assert_eq!(group.status().max_replicas, Some(2));
        assert_eq!(
            &*group.summary.conditions,
            [(ConditionType::Ready, ConditionStatus::False, Reason::PodsNotReady)]
        );
    }

    #[test]
    fn a_spec_that_does_not_parse_keeps_its_reasons_and_what_could_be_read() {
        let key = ObjectKey::new("ns", "g");
        let group = Group::of(
            &key,
            &object(
                &json!({"minReplicas": "three", "consumerSpec": {"image": "i", "topic": "a", "groupId": "x"}}),
            ),
            &Texts::default(),
        );
        assert_eq!(&*group.topics, [ObjectKey::new("ns", "a")]);
        assert_eq!(group.consumer_group, ObjectKey::new("ns", "x"));
        let violations = group.read(&key).violations;
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].field, "spec.minReplicas");
    }
}
