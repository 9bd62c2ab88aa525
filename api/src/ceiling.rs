//! The ceiling: how many consumers the partitions can keep busy.

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
    fn the_cap_only_lowers_the_ceiling() {
        assert_eq!(ceiling(12, 1, Some(4)), 4);
        assert_eq!(ceiling(3, 1, Some(4)), 3);
        assert_eq!(ceiling(3, 1, None), 3);
    }
}
