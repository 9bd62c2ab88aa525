use rdkafka::statistics::{Broker, ConsumerGroup, Partition, Topic};

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
    let mut told = Statistics::default();
    let broker =
        Broker { nodeid: 1, state: broker.to_owned(), source: "learned".to_owned(), ..Broker::default() };
    told.brokers.insert("b:9092/1".to_owned(), broker);
    told.cgrp = Some(ConsumerGroup { state: group.to_owned(), ..ConsumerGroup::default() });
    let numbered = (0..).zip(partitions).map(|(number, offsets)| (number, partition(*offsets)));
    told.topics.insert("orders".to_owned(), Topic { partitions: numbered.collect(), ..Topic::default() });
    told
}

fn shown(membership: &Membership, now: Instant) -> Vec<(i32, u64)> {
    match membership.lag(now) {
        Lag::Of(lag) => lag.iter().map(|(place, lag)| (place.partition, *lag)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn lag_is_the_end_less_the_position() {
    for (offsets, expected, why) in [
        ((0, 100, 40, 60), Some(40), "what was processed counts, committed or not"),
        ((0, 100, 40, -1001), Some(60), "nothing processed yet: from the committed offset"),
        ((10, 100, -1001, -1001), Some(90), "a group's first member: from the beginning"),
        ((50, 100, 40, -1001), Some(50), "what retention removed is not behind"),
        ((0, 100, 100, 100), Some(0), "drained"),
        ((0, 99, 100, 100), Some(0), "an end older than the position"),
        ((-1001, -1001, -1001, -1001), None, "nothing fetched yet"),
        ((-1001, 100, -1001, -1001), None, "no position yet"),
    ] {
        assert_eq!(lag(&statistics("UP", "up", &[offsets]), &place(0)), expected, "{why}");
    }
}

#[test]
fn lag_is_unknown_while_the_partitions_leader_cannot_be_reached() {
    assert_eq!(lag(&statistics("CONNECT", "up", &[(0, 100, 40, 60)]), &place(0)), None);
    let mut told = statistics("UP", "up", &[(0, 100, 40, 60)]);
    told.topics.get_mut("orders").unwrap().partitions.get_mut(&0).unwrap().leader = -1;
    assert_eq!(lag(&told, &place(0)), None);
}

#[test]
fn a_revoked_partitions_lag_is_gone_at_once() {
    let now = Instant::now();
    let mut membership = Membership::default();
    membership.assign([place(0), place(1)]);
    membership.hear(&statistics("UP", "up", &[(0, 100, 0, 60), (0, 7, 0, 0), (0, 9, 0, 0)]), now);
    assert_eq!(shown(&membership, now), [(0, 40), (1, 7)]);
    membership.revoke(&[place(0)], false);
    assert_eq!(shown(&membership, now), [(1, 7)]);
    membership.assign([place(0)]);
    assert_eq!(
        shown(&membership, now),
        [(1, 7)],
        "what was known before it was revoked is not taken up again"
    );
    assert_eq!(membership.rebalances(), 2);
}

#[test]
fn between_two_assignments_a_member_is_not_idle() {
    let now = Instant::now();
    let mut membership = Membership::default();
    membership.assign([place(0)]);
    membership.hear(&statistics("UP", "up", &[(0, 100, 0, 60)]), now);
    // As the eager assignors do it: all is taken away, and some of it given back.
    membership.revoke(&[place(0)], false);
    assert_eq!(membership.lag(now), Lag::Unknown);
    membership.assign([]);
    assert_eq!(membership.lag(now), Lag::Idle);
}

#[test]
fn an_old_figure_is_no_figure() {
    let now = Instant::now();
    let mut membership = Membership::default();
    membership.assign([place(0)]);
    membership.hear(&statistics("UP", "up", &[(0, 100, 0, 60)]), now);
    assert_eq!(shown(&membership, now + STALE), [(0, 40)]);
    let late = now + STALE + Duration::from_millis(1);
    assert_eq!(membership.lag(late), Lag::Unknown);
    assert_eq!(membership.ready(late), Err("the Kafka client has told nothing for 3 s"));
}

#[test]
fn readiness_tells_what_is_missing() {
    let now = Instant::now();
    let mut membership = Membership::default();
    let ready = |membership: &mut Membership, broker, group| {
        membership.hear(&statistics(broker, group, &[]), now);
        membership.ready(now)
    };
    assert_eq!(ready(&mut membership, "UP", "up"), Err("has not joined the consumer group yet"));
    membership.assign([]);
    assert_eq!(ready(&mut membership, "UP", "up"), Ok(()));
    assert_eq!(membership.lag(now), Lag::Idle, "a member without partitions is behind by nothing");
    assert_eq!(ready(&mut membership, "DOWN", "up"), Err("no Kafka broker can be reached"));
    assert_eq!(membership.lag(now), Lag::Unknown);
    let coordinator = "the consumer group's coordinator cannot be reached";
    assert_eq!(ready(&mut membership, "UP", "wait-coord"), Err(coordinator));
    membership.revoke(&[], true);
    assert_eq!(ready(&mut membership, "UP", "up"), Err("has not joined the consumer group yet"));
    membership.assign([]);
    membership.leave();
    assert_eq!(ready(&mut membership, "UP", "up"), Err("leaving the group"));
}
