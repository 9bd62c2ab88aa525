//! The ceiling of a group: the most consumers that it may run, from the partitions of its topics.
//!
//! A count rises when Strimzi has confirmed it. A confirmed count falls only if Strimzi reports
//! another topicId, which means a new topic, or if the user lowers it (cap, topics,
//! partitionsPerConsumer). An unconfirmed count follows the KafkaTopic. If no count is known,
//! spec.maxReplicas is the ceiling, until the first count is. A count that cannot be read is held
//! at its last known value.

mod count;
mod finding;
mod held;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use kcg_api::ValidGroup;
use kcg_api::ceiling::{self, TopicPartitions};
use kcg_api::condition::Reason;
use kcg_api::topic::{self, TopicLookups, TopicRef};

pub use finding::{Finding, Severity};
pub use held::{Held, HeldTopic};

/// One topic's share of the ceiling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicCount {
    /// The KafkaTopic.
    pub topic: TopicRef,
    /// The values in use; `None` if the KafkaTopic was never seen.
    pub known: Option<HeldTopic>,
    /// What is to say about the KafkaTopic.
    pub finding: Option<Finding>,
}

impl TopicCount {
    /// The partitions in use; `None` if no usable count was ever known.
    pub fn partitions(&self) -> Option<i32> {
        self.known.as_ref().and_then(HeldTopic::in_use)
    }

    /// The name in Kafka: the last known one, or that of a KafkaTopic that was never seen. `None` if
    /// Kafka does not allow it.
    pub fn topic_name(&self) -> Option<&str> {
        match &self.known {
            Some(known) => known.topic_name(),
            None => Some(self.topic.name.as_str()).filter(|name| topic::is_kafka_name(name)),
        }
    }

    fn counted(&self) -> Option<TopicPartitions<'_>> {
        let known = self.known.as_ref()?;
        Some(TopicPartitions {
            name: &self.topic.name,
            topic_name: known.topic_name(),
            partitions: known.in_use()?,
            confirmed: known.unconfirmed.is_none(),
        })
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
        self.partitions.filter(|_| all_known(&self.counts))
    }

    /// Whether the ceiling is one: partitions are known, or the user's own limit is. Else only the
    /// minimum runs until they are.
    pub fn is_known(&self, group: &ValidGroup) -> bool {
        self.partitions.is_some() || group.cap.is_some()
    }

    /// What the HorizontalPodAutoscaler's annotation should hold now.
    pub fn held(&self) -> Held {
        let known =
            self.counts.iter().filter_map(|count| Some((count.topic.to_string(), count.known.clone()?)));
        Held(known.collect())
    }

    /// The names in Kafka, each once, in the order of the spec.
    pub fn topic_names(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        self.counts.iter().filter_map(TopicCount::topic_name).filter(|name| seen.insert(*name)).collect()
    }

    /// The KafkaTopics whose partitions are known, each topic of Kafka once, with its partitions.
    pub fn topic_partitions(&self) -> Vec<(&str, i32)> {
        ceiling::once(self.counts.iter().filter_map(TopicCount::counted))
    }

    /// All findings, the gravest first.
    pub fn findings(&self) -> Vec<&Finding> {
        let mut findings: Vec<&Finding> =
            self.counts.iter().filter_map(|count| count.finding.as_ref()).collect();
        findings.sort_by_key(|finding| finding.severity);
        findings
    }

    /// The first problem in the order of the spec.
    pub fn problem(&self) -> Option<&Finding> {
        self.findings().into_iter().find(|finding| finding.severity == Severity::Problem)
    }
}

/// Resolves the ceiling from what is known of the topics and what is held of them.
pub fn resolve(group: &ValidGroup, lookups: &TopicLookups, held: Option<&Held>) -> Ceiling {
    let mut counts: Vec<TopicCount> = group
        .consumer
        .topics
        .iter()
        .map(|topic| {
            let held = held.and_then(|held| held.of(topic));
            let (known, finding) = count::count(topic, lookups.get(topic), held);
            TopicCount { topic: topic.clone(), known, finding }
        })
        .collect();
    note_same_topics(&mut counts);
    let all_known = all_known(&counts);
    let known = ceiling::once(counts.iter().filter_map(TopicCount::counted));
    let partitions = (!known.is_empty())
        .then(|| ceiling::partitions(known.iter().map(|(_, count)| *count), group.scaling.policy));
    let busy = partitions
        .map(|partitions| ceiling::ceiling(partitions, group.consumer.partitions_per_consumer, group.cap));
    let asked = group.cap.map_or(group.min_replicas, |cap| cap.min(group.min_replicas));
    let max = match busy {
        Some(busy) if all_known => busy,
        // A topic that was never known can only add to the others. It is no reason to run fewer
        // than the user wants, and no reason to run more than the known partitions allow.
        Some(busy) => busy.max(asked),
        // Kafka without Strimzi: the user's own limit is all that is known.
        None => group.cap.unwrap_or(group.min_replicas),
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

/// Whether the partitions of every topic of Kafka are known, by one KafkaTopic or another.
fn all_known(counts: &[TopicCount]) -> bool {
    let known: HashSet<&str> = counts
        .iter()
        .filter(|count| count.partitions().is_some())
        .filter_map(TopicCount::topic_name)
        .collect();
    counts.iter().all(|count| {
        count.partitions().is_some()
            || count.known.is_some() && count.topic_name().is_some_and(|name| known.contains(name))
    })
}

/// Two KafkaTopics can name the same topic. A KafkaTopic that has nothing worse to say says so.
fn note_same_topics(counts: &mut [TopicCount]) {
    for index in 1..counts.len() {
        let (before, rest) = counts.split_at_mut(index);
        let Some(count) = rest.first_mut().filter(|count| count.known.is_some()) else { continue };
        let name = count.topic_name();
        let is_same =
            |other: &&TopicCount| name.is_some() && other.known.is_some() && other.topic_name() == name;
        let Some(other) = before.iter().find(is_same) else { continue };
        let sentence = format!(
            "KafkaTopics {} and {} are the same topic {} in Kafka, which counts once: remove one of them from spec.consumerSpec",
            other.topic,
            count.topic,
            name.unwrap_or_default()
        );
        count.finding = Some(match count.finding.take() {
            Some(worse) if worse.severity < Severity::Note => {
                Finding { sentence: format!("{}; {sentence}", worse.sentence), ..worse }
            }
            _ => Finding::note(Reason::SameTopic, sentence),
        });
    }
}
