//! The ceiling of a group: the most consumers that it may run, from the partitions of its topics.
//!
//! A count rises at once. It falls only if Strimzi reports another topicId, which means a new
//! topic, or if the user lowers it (cap, topics, partitionsPerConsumer). A count that cannot be
//! read is held at its last known value.

use std::collections::BTreeMap;

use kcg_api::ValidGroup;
use kcg_api::ceiling;
use kcg_api::condition::Reason;
use kcg_api::topic::{Partitions, TopicFacts, TopicLookup, TopicLookups, TopicRef};
use serde::{Deserialize, Serialize};

/// The last known facts of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldTopic {
    /// The last good count; `None` if there never was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub partitions: Option<i32>,
    /// The name in Kafka, for the consumers while the KafkaTopic is missing.
    pub topic_name: String,
    /// Kafka's id of the topic.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub topic_id: Option<String>,
}

/// The held partitions: the last good count of each topic, by `namespace/name`. An annotation of
/// the HorizontalPodAutoscaler stores them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Held(pub BTreeMap<String, HeldTopic>);

impl Held {
    /// Parses the annotation; `None` if it does not parse or has a count below 1.
    pub fn parse(annotation: &str) -> Option<Self> {
        let held: Self = serde_json::from_str(annotation).ok()?;
        held.0.values().all(|topic| topic.partitions.is_none_or(|count| count >= 1)).then_some(held)
    }

    /// The annotation's value.
    #[allow(clippy::missing_panics_doc)]
    pub fn annotation(&self) -> String {
        serde_json::to_string(self).expect("invariant: a map from text to plain structs serializes")
    }

    fn of(&self, topic: &TopicRef) -> Option<&HeldTopic> {
        self.0.get(&topic.to_string())
    }
}

/// One topic's share of the ceiling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicCount {
    /// The KafkaTopic.
    pub topic: TopicRef,
    /// The values in use; `None` if the KafkaTopic was never seen.
    pub known: Option<HeldTopic>,
    /// Why the KafkaTopic's own count is not used now, in words with the cure.
    pub problem: Option<(Reason, String)>,
}

impl TopicCount {
    /// The partitions in use; `None` if no good count was ever known.
    pub fn partitions(&self) -> Option<i32> {
        self.known.as_ref().and_then(|known| known.partitions)
    }

    /// The name in Kafka: the last known one, or the KafkaTopic's own name.
    pub fn topic_name(&self) -> &str {
        self.known.as_ref().map_or(&self.topic.name, |known| &known.topic_name)
    }
}

/// The ceiling of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// In the order of the spec.
    pub counts: Vec<TopicCount>,
    /// The partitions of the topics that were ever known; `None` if none was.
    pub partitions: Option<i32>,
    /// The HorizontalPodAutoscaler's minReplicas: 1 <= min <= max.
    pub min: i32,
    /// The HorizontalPodAutoscaler's maxReplicas.
    pub max: i32,
    /// spec.minReplicas is above the ceiling.
    pub min_above: bool,
}

impl Ceiling {
    /// The partitions of all topics; `None` if one topic's are unknown.
    pub fn all_partitions(&self) -> Option<i32> {
        self.partitions.filter(|_| self.counts.iter().all(|count| count.partitions().is_some()))
    }

    /// What the HorizontalPodAutoscaler's annotation should hold now.
    pub fn held(&self) -> Held {
        let known =
            self.counts.iter().filter_map(|count| Some((count.topic.to_string(), count.known.clone()?)));
        Held(known.collect())
    }
}

/// Resolves the ceiling from what is known of the topics and what is held of them.
pub fn resolve(group: &ValidGroup, lookups: &TopicLookups, held: Option<&Held>) -> Ceiling {
    let counts: Vec<TopicCount> = group
        .consumer
        .topics
        .iter()
        .map(|topic| count(topic, lookups.get(topic), held.and_then(|held| held.of(topic))))
        .collect();
    let known = || counts.iter().filter_map(TopicCount::partitions);
    let all_known = known().count() == counts.len();
    let partitions = known().next().map(|_| ceiling::partitions(known(), group.scaling.policy));
    let busy = partitions
        .map(|partitions| ceiling::ceiling(partitions, group.consumer.partitions_per_consumer, group.cap));
    let asked = group.cap.map_or(group.min_replicas, |cap| cap.min(group.min_replicas));
    let max = match busy {
        Some(busy) if all_known => busy,
        // A topic that was never known can only add to the others. It is no reason to run fewer
        // than the user wants, and no reason to run more than the known partitions allow.
        Some(busy) => busy.max(asked),
        None => asked,
    }
    .max(1);
    Ceiling {
        counts,
        partitions,
        min: group.min_replicas.clamp(1, max),
        max,
        min_above: group.min_replicas > max,
    }
}

fn count(topic: &TopicRef, lookup: Option<&TopicLookup>, held: Option<&HeldTopic>) -> TopicCount {
    let instead = held.and_then(|held| held.partitions).map_or_else(
        || "; its partitions were never known".to_owned(),
        |partitions| format!("; the last known count of {partitions} partitions is kept"),
    );
    let keep = |reason: Reason, sentence: String| TopicCount {
        topic: topic.clone(),
        known: last_known(lookup.and_then(TopicLookup::facts), held),
        problem: Some((reason, format!("{sentence}{instead}"))),
    };
    match lookup {
        None => keep(Reason::TopicsUnreadable, format!("KafkaTopic {topic} has not been looked up yet")),
        Some(TopicLookup::Unknown(why)) => {
            keep(Reason::TopicsUnreadable, format!("KafkaTopic {topic} cannot be read: {why}"))
        }
        Some(TopicLookup::NotServed) => keep(
            Reason::KafkaTopicsNotServed,
            format!(
                "KafkaTopic {topic} cannot exist: the cluster does not serve KafkaTopics; install Strimzi's CRDs"
            ),
        ),
        Some(TopicLookup::NotFound) => keep(
            Reason::TopicNotFound,
            format!("KafkaTopic {topic} does not exist; create it, or correct spec.consumerSpec"),
        ),
        Some(TopicLookup::Found(facts)) => seen(topic, facts, held, &keep),
    }
}

/// What is held of a topic whose own count is not used. An existing KafkaTopic has a name, whatever
/// its partitions.
fn last_known(facts: Option<&TopicFacts>, held: Option<&HeldTopic>) -> Option<HeldTopic> {
    let Some(facts) = facts else { return held.cloned() };
    let (partitions, topic_id) = match held {
        Some(held) => (held.partitions, held.topic_id.clone()),
        None => (None, facts.topic_id.clone()),
    };
    Some(HeldTopic { partitions, topic_name: facts.topic_name.clone(), topic_id })
}

fn seen(
    topic: &TopicRef,
    facts: &TopicFacts,
    held: Option<&HeldTopic>,
    keep: &dyn Fn(Reason, String) -> TopicCount,
) -> TopicCount {
    match &facts.partitions {
        Partitions::Known(stated) => known(topic, facts, *stated, held, keep),
        Partitions::Unset => keep(
            Reason::PartitionsUnset,
            format!("KafkaTopic {topic} does not set spec.partitions, so its count is unknown; set it"),
        ),
        Partitions::Invalid(stated) => keep(
            Reason::PartitionsImpossible,
            format!("KafkaTopic {topic} has the invalid spec.partitions {stated}; correct it"),
        ),
        Partitions::Refused { reason, .. } => keep(
            Reason::TopicRefused,
            format!("Strimzi rejected KafkaTopic {topic} ({reason}); correct the KafkaTopic"),
        ),
    }
}

fn known(
    topic: &TopicRef,
    facts: &TopicFacts,
    stated: i32,
    held: Option<&HeldTopic>,
    keep: &dyn Fn(Reason, String) -> TopicCount,
) -> TopicCount {
    let now = HeldTopic {
        partitions: Some(stated),
        topic_name: facts.topic_name.clone(),
        topic_id: facts.topic_id.clone(),
    };
    match held.filter(|held| held.partitions > Some(stated)) {
        None => {
            // Keep a known id while Strimzi reports none: without it, a new topic could not be
            // recognized later.
            let topic_id = now.topic_id.clone().or_else(|| held.and_then(|held| held.topic_id.clone()));
            TopicCount { topic: topic.clone(), known: Some(HeldTopic { topic_id, ..now }), problem: None }
        }
        Some(held) if is_new(held, facts) => {
            TopicCount { topic: topic.clone(), known: Some(now), problem: None }
        }
        Some(held) => keep(Reason::DecreaseHeld, decrease(topic, facts, stated, held)),
    }
}

/// The topicId changes only if the topic was deleted and created again.
fn is_new(held: &HeldTopic, facts: &TopicFacts) -> bool {
    matches!((&held.topic_id, &facts.topic_id), (Some(before), Some(now)) if before != now)
}

fn decrease(topic: &TopicRef, facts: &TopicFacts, stated: i32, held: &HeldTopic) -> String {
    let cure = if held.topic_id.is_some() && facts.topic_id.is_some() {
        "Kafka never removes partitions: set spec.partitions back, or, if Kafka never had more, remove the annotation thenextapps.com/held-partitions from the HorizontalPodAutoscaler"
    } else {
        "a new topic cannot be recognized without the KafkaTopic's status.topicId: if this is a new topic, remove the annotation thenextapps.com/held-partitions from the HorizontalPodAutoscaler"
    };
    format!("KafkaTopic {topic} has {stated} partitions, fewer than before; {cure}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support;
    use proptest::prelude::*;

    fn topic() -> TopicRef {
        TopicRef { namespace: "default".into(), name: "fast-data-topic".into() }
    }

    fn facts(partitions: Partitions, topic_id: Option<&str>) -> TopicLookup {
        TopicLookup::Found(TopicFacts {
            topic_name: "fast-data-topic".into(),
            partitions,
            topic_id: topic_id.map(str::to_owned),
        })
    }

    fn held(partitions: i32, topic_id: Option<&str>) -> Held {
        let topic_id = topic_id.map(str::to_owned);
        Held(
            [(
                topic().to_string(),
                HeldTopic { partitions: Some(partitions), topic_name: "fast-data-topic".into(), topic_id },
            )]
            .into(),
        )
    }

    fn resolved(lookup: TopicLookup, held: Option<&Held>) -> (i32, Option<Reason>) {
        let ceiling = resolve(&test_support::group("{}"), &[(topic(), lookup)].into(), held);
        (ceiling.max, ceiling.counts[0].problem.as_ref().map(|(reason, _)| *reason))
    }

    #[test]
    fn a_count_that_cannot_be_read_is_held() {
        let refused = Partitions::Refused { wanted: 1, reason: "NotSupported".into() };
        for (lookup, reason) in [
            (TopicLookup::NotFound, Reason::TopicNotFound),
            (TopicLookup::NotServed, Reason::KafkaTopicsNotServed),
            (TopicLookup::Unknown("cut off".into()), Reason::TopicsUnreadable),
            (facts(Partitions::Unset, None), Reason::PartitionsUnset),
            (facts(Partitions::Invalid("0".into()), None), Reason::PartitionsImpossible),
            (facts(refused, Some("a")), Reason::TopicRefused),
            (facts(Partitions::Known(1), Some("a")), Reason::DecreaseHeld),
            (facts(Partitions::Known(1), None), Reason::DecreaseHeld),
        ] {
            assert_eq!(resolved(lookup.clone(), Some(&held(3, Some("a")))), (3, Some(reason)), "{lookup:?}");
        }
    }

    #[test]
    fn a_new_topic_lowers_and_growth_raises_at_once() {
        assert_eq!(resolved(facts(Partitions::Known(1), Some("b")), Some(&held(3, Some("a")))), (1, None));
        assert_eq!(resolved(facts(Partitions::Known(5), Some("a")), Some(&held(3, Some("a")))), (5, None));
        assert_eq!(resolved(facts(Partitions::Known(5), None), Some(&held(3, Some("a")))), (5, None));
    }

    #[test]
    fn an_unexplained_decrease_names_its_cure() {
        let ceiling = resolve(
            &test_support::group("{}"),
            &[(topic(), facts(Partitions::Known(1), None))].into(),
            Some(&held(3, None)),
        );
        let (_, sentence) = ceiling.counts[0].problem.clone().expect("it is held");
        assert!(sentence.contains("remove the annotation thenextapps.com/held-partitions"), "{sentence}");
    }

    #[test]
    fn a_known_topic_id_is_kept_while_strimzi_reports_none() {
        let ceiling = resolve(
            &test_support::group("{}"),
            &[(topic(), facts(Partitions::Known(3), None))].into(),
            Some(&held(3, Some("a"))),
        );
        assert_eq!(ceiling.held(), held(3, Some("a")));
    }

    #[test]
    fn a_group_without_known_partitions_runs_its_minimum() {
        let ceiling = resolve(&test_support::group("{minReplicas: 3}"), &TopicLookups::new(), None);
        assert_eq!((ceiling.min, ceiling.max, ceiling.partitions, ceiling.min_above), (3, 3, None, false));
        let capped =
            resolve(&test_support::group("{minReplicas: 3, maxReplicas: 3}"), &TopicLookups::new(), None);
        assert_eq!((capped.min, capped.max), (3, 3));
    }

    #[test]
    fn an_unknown_topic_does_not_lower_the_ceiling_of_the_others() {
        let group = test_support::group("{minReplicas: 2, consumerSpec: {topics: [not-there-yet]}}");
        let known: TopicLookups = [(topic(), facts(Partitions::Known(6), None))].into();
        let ceiling = resolve(&group, &known, None);
        assert_eq!((ceiling.min, ceiling.max, ceiling.partitions, ceiling.min_above), (2, 6, Some(6), false));
        let asked = test_support::group("{minReplicas: 8, consumerSpec: {topics: [not-there-yet]}}");
        assert_eq!(resolve(&asked, &known, None).max, 8);
    }

    #[test]
    fn the_name_in_kafka_is_known_before_the_count_and_kept_after_the_topic_is_gone() {
        let named = TopicLookup::Found(TopicFacts {
            topic_name: "Fast_Data".into(),
            partitions: Partitions::Unset,
            topic_id: None,
        });
        let ceiling = resolve(&test_support::group("{}"), &[(topic(), named)].into(), None);
        assert_eq!((ceiling.counts[0].topic_name(), ceiling.partitions, ceiling.max), ("Fast_Data", None, 1));
        let gone = resolve(
            &test_support::group("{}"),
            &[(topic(), TopicLookup::NotFound)].into(),
            Some(&ceiling.held()),
        );
        assert_eq!(gone.counts[0].topic_name(), "Fast_Data");
    }

    #[test]
    fn a_minimum_above_the_ceiling_leaves_the_autoscaler_valid() {
        let ceiling = resolve(
            &test_support::group("{minReplicas: 4}"),
            &[(topic(), facts(Partitions::Known(3), None))].into(),
            None,
        );
        assert_eq!((ceiling.min, ceiling.max, ceiling.min_above), (3, 3, true));
    }

    #[test]
    fn the_annotation_reads_back_and_a_malformed_one_is_ignored() {
        let all = held(3, Some("a"));
        assert_eq!(Held::parse(&all.annotation()), Some(all));
        for malformed in ["", "{", "[]", r#"{"default/a":{"partitions":0,"topicName":"a"}}"#] {
            assert_eq!(Held::parse(malformed), None, "{malformed}");
        }
    }

    fn any_lookup() -> impl Strategy<Value = TopicLookup> {
        let id = prop_oneof![Just(None), Just(Some("a")), Just(Some("b"))];
        let partitions = prop_oneof![
            (1..20_i32).prop_map(Partitions::Known),
            Just(Partitions::Unset),
            Just(Partitions::Invalid("-1".into())),
            (1..20_i32).prop_map(|wanted| Partitions::Refused { wanted, reason: "NotSupported".into() }),
        ];
        prop_oneof![
            4 => (partitions, id).prop_map(|(partitions, id)| facts(partitions, id)),
            1 => Just(TopicLookup::NotFound),
            1 => Just(TopicLookup::NotServed),
            1 => Just(TopicLookup::Unknown("cut off".into())),
        ]
    }

    proptest! {
        #[test]
        fn the_ceiling_never_falls_without_cause(history in proptest::collection::vec(any_lookup(), 1..20)) {
            let group = test_support::group("{}");
            let mut held: Option<Held> = None;
            let mut before: Option<Ceiling> = None;
            for lookup in history {
                let ceiling = resolve(&group, &[(topic(), lookup.clone())].into(), held.as_ref());
                prop_assert!(1 <= ceiling.min && ceiling.min <= ceiling.max);
                if let Some(before) = before.filter(|before| before.max > ceiling.max) {
                    let known = before.counts[0].known.clone().expect("something lower was known");
                    let now = lookup.facts().and_then(|facts| facts.topic_id.clone());
                    prop_assert!(known.topic_id.is_some() && now.is_some() && known.topic_id != now, "fell on {:?}", lookup);
                }
                held = Some(ceiling.held());
                before = Some(ceiling);
            }
        }
    }
}
