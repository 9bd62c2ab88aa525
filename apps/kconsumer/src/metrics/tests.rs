use prometheus_client::encoding::text::encode;

use super::*;

/// librdkafka's statistics of a member with three partitions, one of them read, without the
/// histograms.
const STATISTICS: &str = include_str!("statistics.json");

fn place(partition: i32) -> Place {
    Place { topic: "fast-data-topic".to_owned(), partition }
}

/// A member with these partitions and the statistics.
fn member(partitions: impl IntoIterator<Item = i32>) -> Callbacks {
    let callbacks = Callbacks::default();
    let mut membership = callbacks.membership();
    membership.assign(partitions.into_iter().map(place));
    membership.update(&serde_json::from_str(STATISTICS).unwrap(), Instant::now());
    drop(membership);
    callbacks
}

fn text(counters: &Counters, callbacks: &Callbacks) -> String {
    let mut text = String::new();
    encode(&mut text, &registry(counters, callbacks)).unwrap();
    text
}

/// The series whose names have this prefix, without the prefix.
fn series(text: &str, name: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_prefix(name)).map(str::to_owned).collect()
}

fn lag(callbacks: &Callbacks) -> Vec<String> {
    series(&text(&Counters::new("pod-1"), callbacks), "kafka_consumer_fetch_manager_records_")
}

#[test]
fn lag_is_exported_by_partition_with_both_of_micrometers_names() {
    let labels = |partition| format!(r#"topic="fast-data-topic",partition="{partition}",client_id="pod-1""#);
    let (read, unread) = (labels(2), labels(0));
    assert_eq!(
        lag(&member([0, 2])),
        [
            format!("lag{{{unread}}} 7460"),
            format!("lag{{{read}}} 6647"),
            format!("lag_max{{{unread}}} 7460"),
            format!("lag_max{{{read}}} 6647"),
        ]
    );
}

#[test]
fn a_member_without_partitions_exports_a_lag_of_zero() {
    assert_eq!(lag(&member([])), [r#"lag_max{client_id="pod-1"} 0"#]);
}

#[test]
fn the_figures_for_scaling_have_librdkafkas_names_too() {
    let text = text(&Counters::new("pod-1"), &member([0, 2]));
    let (read, unread) = (
        r#"topic="fast-data-topic",partition="2",client_id="pod-1""#,
        r#"topic="fast-data-topic",partition="0",client_id="pod-1""#,
    );
    assert_eq!(
        series(&text, "rdkafka_"),
        [
            r#"cgrp_assignment_size{client_id="pod-1"} 2"#.to_owned(),
            format!("topic_partitions_consumer_lag{{{unread}}} 7460"),
            format!("topic_partitions_consumer_lag{{{read}}} 6647"),
            format!("topic_partitions_rxmsgs{{{unread}}} 7460"),
            format!("topic_partitions_rxmsgs{{{read}}} 7207"),
        ]
    );
}

#[test]
fn the_last_poll_is_as_long_ago_as_the_current_record_takes() {
    let callbacks = member([0]);
    let shown = || {
        let text = text(&Counters::new("pod-1"), &callbacks);
        series(&text, "kafka_consumer_last_poll_seconds_ago{client_id=\"pod-1\"} ")
    };
    assert_eq!(shown(), ["-1"], "the worker has not asked for a record");
    callbacks.inbox().put(Record::new("fast-data-topic", 0, 0, "bar-1", 5));
    callbacks.inbox().take().unwrap();
    assert_eq!(shown(), ["0"]);
}

#[test]
fn a_member_without_statistics_or_leaving_its_group_exports_no_lag() {
    assert!(lag(&Callbacks::default()).is_empty());
    let leaving = member([0]);
    leaving.membership().leave();
    assert!(lag(&leaving).is_empty());
}

#[test]
fn counters_stay_when_their_partition_is_revoked() {
    let (counters, callbacks) = (Counters::new("pod-1"), member([0]));
    for (offset, done) in [(0, true), (1, true), (2, false)] {
        counters.count(&Record::new("fast-data-topic", 0, offset, "bar-1", 10), done);
    }
    callbacks.membership().revoke(&[place(0)], false);
    let text = text(&counters, &callbacks);
    let labels = r#"{topic="fast-data-topic",partition="0",client_id="pod-1"}"#;
    for series in [
        format!("kafka_consumer_fetch_manager_records_consumed_total{labels} 3"),
        format!("kafka_consumer_fetch_manager_bytes_consumed_total{labels} 30"),
        format!("kconsumer_poisoned_records_total{labels} 1"),
        r#"kafka_consumer_coordinator_rebalance_total{client_id="pod-1"} 1"#.to_owned(),
        r#"kafka_consumer_coordinator_assigned_partitions{client_id="pod-1"} 0"#.to_owned(),
    ] {
        assert!(text.lines().any(|line| line == series), "{series} is not in\n{text}");
    }
    assert_eq!(counters.processed(), 2);
}
