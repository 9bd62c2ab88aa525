//! The ceiling: how many consumers the partitions can keep busy.

use std::collections::HashMap;

use crate::group::PartitionPolicy;

/// The number of partitions that counts for the group: the sum over its topics, or the largest
/// topic's if the group's assignor leaves further consumers idle. Zero if `counts` is empty.
pub fn partitions(counts: impl IntoIterator<Item = i32>, policy: PartitionPolicy) -> i32 {
    let counts = counts.into_iter();
    match policy {
        PartitionPolicy::Sum => counts.fold(0, i32::saturating_add),
        PartitionPolicy::Max => counts.max().unwrap_or(0),
    }
}

/// What counts of one KafkaTopic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicPartitions<'a> {
    /// The name of the KafkaTopic resource.
    pub name: &'a str,
    /// The name in Kafka, if it is known.
    pub topic_name: Option<&'a str>,
    /// The count.
    pub partitions: i32,
    /// Strimzi has confirmed the count.
    pub confirmed: bool,
}

/// The topics and their counts, each topic of Kafka once: two KafkaTopics can name the same one.
/// Its confirmed count applies, or the largest if there are several.
pub fn once<'a>(topics: impl IntoIterator<Item = TopicPartitions<'a>>) -> Vec<(&'a str, i32)> {
    let mut found: Vec<TopicPartitions<'a>> = Vec::new();
    let mut positions: HashMap<&str, usize> = HashMap::new();
    for topic in topics {
        let known = topic.topic_name.and_then(|name| positions.get(name)).map(|&at| &mut found[at]);
        match known {
            Some(known) if (known.confirmed, known.partitions) < (topic.confirmed, topic.partitions) => {
                (known.confirmed, known.partitions) = (topic.confirmed, topic.partitions);
            }
            Some(_) => {}
            None => {
                if let Some(name) = topic.topic_name {
                    positions.insert(name, found.len());
                }
                found.push(topic);
            }
        }
    }
    found.into_iter().map(|topic| (topic.name, topic.partitions)).collect()
}

/// The most consumers that `partitions` keep busy if each consumer works on `per_consumer`
/// partitions at a time. At least 1; `per_consumer` below 1 counts as 1.
pub fn consumers(partitions: i32, per_consumer: i32) -> i32 {
    let per_consumer = per_consumer.max(1);
    (partitions / per_consumer + i32::from(partitions % per_consumer != 0)).max(1)
}

/// The ceiling in force: what the partitions allow, capped by spec.maxReplicas.
pub fn ceiling(partitions: i32, per_consumer: i32, cap: Option<i32>) -> i32 {
    let busy = consumers(partitions, per_consumer);
    cap.map_or(busy, |cap| cap.min(busy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_partitions_need_one_more_consumer() {
        for (partitions, per, want) in
            [(1, 1, 1), (3, 1, 3), (3, 2, 2), (4, 2, 2), (5, 10, 1), (i32::MAX, 1, i32::MAX)]
        {
            assert_eq!(consumers(partitions, per), want, "{partitions} at {per}");
        }
    }

    #[test]
    fn sum_adds_topics_and_max_takes_the_largest() {
        assert_eq!(partitions([3, 5], PartitionPolicy::Sum), 8);
        assert_eq!(partitions([3, 5], PartitionPolicy::Max), 5);
        assert_eq!(partitions([i32::MAX, 5], PartitionPolicy::Sum), i32::MAX);
    }

    #[test]
    fn a_topic_of_two_kafkatopics_counts_once_by_what_is_confirmed() {
        let topic = |name, topic_name, partitions, confirmed| TopicPartitions {
            name,
            topic_name: Some(topic_name),
            partitions,
            confirmed,
        };
        let counted = once([
            topic("a", "shared", 300, false),
            topic("b", "other", 2, false),
            topic("c", "shared", 6, true),
            topic("d", "shared", 4, true),
        ]);
        assert_eq!(counted, [("a", 6), ("b", 2)]);
        let nameless = TopicPartitions { topic_name: None, ..topic("e", "", 3, false) };
        assert_eq!(once([nameless, nameless]), [("e", 3), ("e", 3)]);
    }

    #[test]
    fn the_cap_only_lowers_the_ceiling() {
        assert_eq!(ceiling(12, 1, Some(4)), 4);
        assert_eq!(ceiling(3, 1, Some(4)), 3);
        assert_eq!(ceiling(3, 1, None), 3);
    }
}
