//! The only rule that needs the cluster's state: minReplicas against the current partitions of the
//! group's topics.

use crate::ceiling::{self, TopicPartitions};
use crate::group::{KconsumerGroupSpec, PartitionPolicy};
use crate::topic::{self, Confirmation, Partitions, TopicFacts, TopicLookup, TopicLookups, TopicRef};
use crate::violation::{Rule, Violation};

/// The result of the live rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveCheck {
    /// The violation, if there is one.
    pub violation: Option<Violation>,
    /// Why the rule could not be checked: one sentence for each topic whose partitions are not
    /// known.
    pub warnings: Vec<String>,
}

/// Compares minReplicas with the number of consumers that the topics' partitions keep busy. If a
/// topic's partitions are not known, the group is allowed with a warning, because the topic may be
/// created later, as with GitOps.
pub fn check(spec: &KconsumerGroupSpec, namespace: &str, lookups: &TopicLookups) -> LiveCheck {
    let topics = topic::named_by(spec, namespace);
    let mut known = Vec::new();
    let mut warnings = Vec::new();
    for topic in &topics {
        match lookups.get(topic) {
            Some(TopicLookup::Found(facts)) => match counted(topic, facts) {
                Ok(count) => known.push(count),
                Err(warning) => warnings.push(warning),
            },
            Some(TopicLookup::NotServed) => warnings.push(format!(
                "minReplicas was not checked: the cluster serves no KafkaTopics, so {topic} cannot exist yet"
            )),
            Some(TopicLookup::Unknown(why)) => warnings
                .push(format!("minReplicas was not checked: KafkaTopic {topic} cannot be read now ({why})")),
            Some(TopicLookup::NotFound) | None => {
                warnings.push(format!("minReplicas was not checked: KafkaTopic {topic} does not exist yet"));
            }
        }
    }
    let known = ceiling::once(known);
    let known = KnownPartitions {
        min_replicas: spec.min_replicas,
        partitions_per_consumer: spec.consumer_spec.partitions_per_consumer,
        policy: spec.scaling.partitions,
        topics: &known,
    };
    let violation = if warnings.is_empty() { min_within_ceiling(&known) } else { None };
    LiveCheck { violation, warnings }
}

/// The count that the controller uses for a KafkaTopic with these facts, whatever it holds, or why
/// there is none. A count that Strimzi has not confirmed is not compared: the controller may hold
/// another.
fn counted<'a>(topic: &'a TopicRef, facts: &'a TopicFacts) -> Result<TopicPartitions<'a>, String> {
    let why = match (&facts.partitions, &facts.confirmation) {
        (Partitions::Known(count), Confirmation::NoStatus | Confirmation::Confirmed { .. }) => {
            return Ok(TopicPartitions {
                name: &topic.name,
                topic_name: facts.topic_name.valid(),
                partitions: *count,
                confirmed: facts.confirmation != Confirmation::NoStatus,
            });
        }
        // Without Strimzi's words: who may write a group need not be allowed to read the KafkaTopic.
        (Partitions::Known(_), Confirmation::Rejected(_)) => {
            format!("Strimzi rejected KafkaTopic {topic}; its status says why")
        }
        (Partitions::Known(_), Confirmation::Failed(_)) => {
            format!("Strimzi could not bring KafkaTopic {topic} to Kafka yet; its status says why")
        }
        (Partitions::Known(count), Confirmation::Pending) => {
            format!("Strimzi has not confirmed the {count} partitions of KafkaTopic {topic} yet")
        }
        (Partitions::Known(_), Confirmation::Paused) => format!("KafkaTopic {topic} is paused"),
        (Partitions::Known(_), Confirmation::Unmanaged) => format!("KafkaTopic {topic} is not managed"),
        (Partitions::Invalid(stated), _) => format!(
            "KafkaTopic {topic} sets spec.partitions to {stated}, which is not a number of at least 1"
        ),
        (Partitions::Unset, _) => format!("KafkaTopic {topic} does not set spec.partitions"),
    };
    Err(format!("minReplicas was not checked: {why}"))
}

/// The rule's input once the partitions of every topic are known: the current counts in the
/// webhook, the held counts in the controller.
#[derive(Clone, Copy, Debug)]
pub struct KnownPartitions<'a> {
    /// spec.minReplicas.
    pub min_replicas: i32,
    /// spec.consumerSpec.partitionsPerConsumer.
    pub partitions_per_consumer: i32,
    /// spec.scaling.partitions.
    pub policy: PartitionPolicy,
    /// Each topic's name and partitions, in the order of the spec.
    pub topics: &'a [(&'a str, i32)],
}

/// minReplicas is not above the number of consumers that the partitions keep busy; further ones
/// would be idle.
pub fn min_within_ceiling(known: &KnownPartitions<'_>) -> Option<Violation> {
    let (min, per_consumer) = (known.min_replicas, known.partitions_per_consumer.max(1));
    let partitions = ceiling::partitions(known.topics.iter().map(|(_, count)| *count), known.policy);
    let busy = ceiling::consumers(partitions, per_consumer);
    if known.topics.is_empty() || min <= busy {
        return None;
    }
    let message = format!(
        "must not be more than {busy}: {}{}, so {} consumer would be idle",
        describe_partitions(known.topics, partitions, known.policy),
        if per_consumer > 1 { format!(", {per_consumer} per consumer") } else { String::new() },
        ordinal(i64::from(busy) + 1)
    );
    let excess = i64::from(min) - i64::from(busy);
    Some(Violation::invalid(Rule::MinWithinCeiling, "spec.minReplicas", min, message).with_excess(excess))
}

/// The topics and their partitions as a clause, for example `topic orders has 3 partitions`.
fn describe_partitions(known: &[(&str, i32)], partitions: i32, policy: PartitionPolicy) -> String {
    let plural = if partitions == 1 { "partition" } else { "partitions" };
    if let [(name, _)] = known {
        return format!("topic {name} has {partitions} {plural}");
    }
    let listed: Vec<String> =
        known.iter().take(MAX_LISTED).map(|(name, count)| format!("{name} ({count})")).collect();
    let others = if known.len() > MAX_LISTED { " and others" } else { "" };
    let listed = format!("{}{others}", listed.join(", "));
    match policy {
        PartitionPolicy::Sum => format!("topics {listed} have {partitions} {plural} in total"),
        PartitionPolicy::Max => format!("the largest of topics {listed} has {partitions} {plural}"),
    }
}

/// The most topics that one message names.
const MAX_LISTED: usize = 3;

fn ordinal(number: i64) -> String {
    const WORDS: [&str; 13] = [
        "",
        "a first",
        "a second",
        "a third",
        "a fourth",
        "a fifth",
        "a sixth",
        "a seventh",
        "an eighth",
        "a ninth",
        "a tenth",
        "an eleventh",
        "a twelfth",
    ];
    let word = usize::try_from(number).ok().and_then(|number| WORDS.get(number));
    if let Some(word) = word.filter(|word| !word.is_empty()) {
        return (*word).to_owned();
    }
    let suffix = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    let article = if number.to_string().starts_with('8') || number == 18 { "an" } else { "a" };
    format!("{article} {number}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn live(spec: &Value, topics: &[(&str, TopicLookup)]) -> LiveCheck {
        let spec: KconsumerGroupSpec = serde_json::from_value(spec.clone()).unwrap();
        let lookups = topics
            .iter()
            .map(|(name, lookup)| {
                (TopicRef { namespace: "default".into(), name: (*name).into() }, lookup.clone())
            })
            .collect();
        check(&spec, "default", &lookups)
    }

    fn seen(partitions: Partitions) -> TopicLookup {
        TopicLookup::Found(TopicFacts { partitions, ..TopicFacts::stated("t", 1) })
    }

    fn named(topic_name: &str, partitions: i32) -> TopicLookup {
        TopicLookup::Found(TopicFacts::stated(topic_name, partitions))
    }

    fn unconfirmed(confirmation: Confirmation) -> TopicLookup {
        TopicLookup::Found(TopicFacts { confirmation, ..TopicFacts::stated("t", 3) })
    }

    #[test]
    fn the_violation_names_the_topic_the_numbers_and_the_consequence() {
        let spec = json!({"minReplicas": 4, "consumerSpec": {"topic": "fast-data-topic"}});
        let found = live(&spec, &[("fast-data-topic", seen(Partitions::Known(3)))]);
        assert_eq!(
            found.violation.unwrap().to_string(),
            "spec.minReplicas: Invalid value: 4: must not be more than 3: topic fast-data-topic has 3 partitions, so a fourth consumer would be idle"
        );
    }

    #[test]
    fn several_topics_count_according_to_the_policy() {
        let topics = [("a", named("a", 3)), ("b", named("b", 5))];
        let spec = |policy: &str| json!({"minReplicas": 9, "scaling": {"partitions": policy}, "consumerSpec": {"topics": ["a", "b"], "partitionsPerConsumer": 2}});
        let sentence = |policy: &str| live(&spec(policy), &topics).violation.unwrap().detail;
        assert_eq!(
            sentence("Sum"),
            "must not be more than 4: topics a (3), b (5) have 8 partitions in total, 2 per consumer, so a fifth consumer would be idle"
        );
        assert_eq!(
            sentence("Max"),
            "must not be more than 3: the largest of topics a (3), b (5) has 5 partitions, 2 per consumer, so a fourth consumer would be idle"
        );
    }

    #[test]
    fn two_kafkatopics_of_one_topic_count_once() {
        let spec = json!({"minReplicas": 4, "scaling": {"partitions": "Sum"}, "consumerSpec": {"topics": ["a", "b"]}});
        let found = live(&spec, &[("a", named("same", 3)), ("b", named("same", 3))]);
        assert!(
            found.violation.unwrap().detail.starts_with("must not be more than 3: topic a has 3 partitions")
        );
    }

    #[test]
    fn unknown_partitions_cause_a_warning_and_no_violation() {
        let spec = json!({"minReplicas": 9, "consumerSpec": {"topics": ["a", "b"]}});
        let unknown = [
            TopicLookup::NotFound,
            TopicLookup::NotServed,
            TopicLookup::Unknown("interrupted for 61 s".into()),
            seen(Partitions::Unset),
            seen(Partitions::Invalid("0".into())),
            unconfirmed(Confirmation::Pending),
            unconfirmed(Confirmation::Rejected("NotSupported".into())),
            unconfirmed(Confirmation::Failed("KafkaError".into())),
            unconfirmed(Confirmation::Paused),
            unconfirmed(Confirmation::Unmanaged),
        ];
        for lookup in unknown {
            let found = live(&spec, &[("a", seen(Partitions::Known(1))), ("b", lookup.clone())]);
            assert_eq!((found.violation, found.warnings.len()), (None, 1), "{lookup:?}");
        }
    }

    #[test]
    fn ordinals_have_the_right_article_and_suffix() {
        for (number, want) in [
            (2, "a second"),
            (8, "an eighth"),
            (13, "a 13th"),
            (18, "an 18th"),
            (21, "a 21st"),
            (80, "an 80th"),
            (112, "a 112th"),
        ] {
            assert_eq!(ordinal(number), want);
        }
    }
}
