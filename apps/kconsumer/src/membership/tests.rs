use rdkafka::statistics::{Broker, ConsumerGroup, Topic};

use super::*;

fn place(partition: i32) -> Place {
    Place { topic: "orders".to_owned(), partition }
}

/// A partition led by broker 1 whose offsets are (low, end, committed, processed).
fn partition((lo_offset, end, committed_offset, stored_offset): (i64, i64, i64, i64)) -> Partition {
    Partition {
        leader: 1,
        lo_offset,
        hi_offset: end,
        ls_offset: end,
        committed_offset,
        stored_offset,
        ..Partition::default()
    }
}

fn statistics(broker: &str, group: &str, partitions: &[(i64, i64, i64, i64)]) -> Statistics {
    let mut stats = Statistics::default();
    let broker =
        Broker { nodeid: 1, state: broker.to_owned(), source: "learned".to_owned(), ..Broker::default() };
    stats.brokers.insert("b:9092/1".to_owned(), broker);
    stats.cgrp = Some(ConsumerGroup { state: group.to_owned(), ..ConsumerGroup::default() });
    let numbered = (0..).zip(partitions).map(|(number, offsets)| (number, partition(*offsets)));
    stats.topics.insert("orders".to_owned(), Topic { partitions: numbered.collect(), ..Topic::default() });
    stats
}

fn shown(membership: &Membership, now: Instant) -> Vec<(i32, u64)> {
    match membership.lag(now) {
        Lag::Of(lag) => lag.iter().map(|(place, lag)| (place.partition, *lag)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn lag_is_the_distance_from_position_to_end() {
    for (offsets, expected, why) in [
        ((0, 100, 40, 60), Some(40), "from the last processed record, committed or not"),
        ((0, 100, 40, -1001), Some(60), "nothing processed yet: from the committed offset"),
        ((10, 100, -1001, -1001), Some(90), "a new group: from the beginning"),
        ((50, 100, 40, -1001), Some(50), "records removed by retention do not count"),
        ((0, 100, 100, 100), Some(0), "drained"),
        ((0, 99, 100, 100), Some(0), "an end older than the position"),
        ((-1001, -1001, -1001, -1001), None, "nothing fetched yet"),
        ((-1001, 100, -1001, -1001), None, "no position yet"),
    ] {
        assert_eq!(lag(&statistics("UP", "up", &[offsets]), &place(0)), expected, "{why}");
    }
}

#[test]
fn lag_is_unknown_while_the_partitions_leader_is_unreachable() {
    assert_eq!(lag(&statistics("CONNECT", "up", &[(0, 100, 40, 60)]), &place(0)), None);
    let mut stats = statistics("UP", "up", &[(0, 100, 40, 60)]);
    stats.topics.get_mut("orders").unwrap().partitions.get_mut(&0).unwrap().leader = -1;
    assert_eq!(lag(&stats, &place(0)), None);
}

#[test]
fn the_lag_of_a_revoked_partition_is_removed_at_once() {
    let now = Instant::now();
    let mut membership = Membership::default();
    membership.assign([place(0), place(1)]);
    membership.update(&statistics("UP", "up", &[(0, 100, 0, 60), (0, 7, 0, 0), (0, 9, 0, 0)]), now);
    assert_eq!(shown(&membership, now), [(0, 40), (1, 7)]);
    membership.revoke(&[place(0)], false);
    assert_eq!(shown(&membership, now), [(1, 7)]);
    membership.assign([place(0)]);
    assert_eq!(shown(&membership, now), [(1, 7)], "the lag from before the revocation is not used again");
    assert_eq!(membership.rebalances(), 2);
}

#[test]
fn between_two_assignments_a_member_is_not_idle() {
    let now = Instant::now();
    let mut membership = Membership::default();
    membership.assign([place(0)]);
    membership.update(&statistics("UP", "up", &[(0, 100, 0, 60)]), now);
    // As eager assignors do: all partitions are revoked, then some are assigned again.
    membership.revoke(&[place(0)], false);
    assert_eq!(membership.lag(now), Lag::Unknown);
    membership.assign([]);
    assert_eq!(membership.lag(now), Lag::Idle);
}

#[test]
fn stale_statistics_are_ignored() {
    let now = Instant::now();
    let mut membership = Membership::default();
    membership.assign([place(0)]);
    membership.update(&statistics("UP", "up", &[(0, 100, 0, 60)]), now);
    assert_eq!(shown(&membership, now + STALE), [(0, 40)]);
    let late = now + STALE + Duration::from_millis(1);
    assert_eq!(membership.lag(late), Lag::Unknown);
    assert_eq!(membership.ready(late), Err("the Kafka client has reported nothing for 3 s"));
}

#[test]
fn readiness_names_what_is_missing() {
    let now = Instant::now();
    let mut membership = Membership::default();
    let ready = |membership: &mut Membership, broker, group| {
        membership.update(&statistics(broker, group, &[]), now);
        membership.ready(now)
    };
    assert_eq!(ready(&mut membership, "UP", "up"), Err("not in the consumer group yet"));
    membership.assign([]);
    assert_eq!(ready(&mut membership, "UP", "up"), Ok(()));
    assert_eq!(membership.lag(now), Lag::Idle, "a member without partitions has no lag");
    assert_eq!(ready(&mut membership, "DOWN", "up"), Err("no Kafka broker is reachable"));
    assert_eq!(membership.lag(now), Lag::Unknown);
    let coordinator = "the consumer group's coordinator is unreachable";
    assert_eq!(ready(&mut membership, "UP", "wait-coord"), Err(coordinator));
    membership.revoke(&[], true);
    assert_eq!(ready(&mut membership, "UP", "up"), Err("not in the consumer group yet"));
    membership.assign([]);
    membership.leave();
    assert_eq!(ready(&mut membership, "UP", "up"), Err("leaving the group"));
}
