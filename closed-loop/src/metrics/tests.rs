use std::time::Duration;

use super::*;
use crate::observe::processed_log::Processed;
use crate::timeline::{AlertSpan, Line};

/// A record of topic `t`: its value is its offset.
fn record(at: u64, pod: &str, partition: i32, offset: i64) -> Processed {
    let (pod, value) = (pod.to_owned(), format!("{partition}-{offset}"));
    Processed { at, run: pod.clone(), pod, topic: "t".into(), partition, offset, value }
}

fn account(records: &[Processed]) -> Account<'_> {
    Account::new(records, |at| Duration::from_millis(at).as_secs_f64())
}

fn sent(values: &[&str]) -> Sent {
    Sent::from([("t".to_owned(), values.iter().map(|value| (*value).to_owned()).collect())])
}

#[test]
fn sent_records_are_compared_with_processed_ones() {
    let records = [record(0, "a", 0, 0), record(1, "b", 0, 0), record(2, "a", 0, 1), record(3, "a", 0, 7)];
    let counts = account(&records).counts(&sent(&["0-0", "0-1", "0-2"]));
    let want = Counts { sent: 3, processed: 2, duplicates: 1, lost: 1, lost_records: vec!["t: 0-2".into()] };
    assert_eq!(counts, want);
    assert_eq!(account(&[]).counts(&Sent::new()), Counts::default());
}

#[test]
fn the_same_value_in_another_topic_does_not_count() {
    let other = Sent::from([("u".to_owned(), ["0-0".to_owned()].into())]);
    assert_eq!(account(&[record(0, "a", 0, 0)]).counts(&other).lost, 1);
}

#[test]
fn only_a_few_of_many_lost_records_are_named() {
    let values: Vec<String> = (0..9).map(|value| value.to_string()).collect();
    let counts = account(&[]).counts(&sent(&values.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!((counts.lost, counts.lost_records.len()), (9, 5));
}

#[test]
fn lost_records_are_named_and_no_loss_has_no_sentence() {
    let records = [record(0, "a", 0, 0)];
    let of = |values: &[&str]| GroupMetrics {
        name: "orders".into(),
        counts: account(&records).counts(&sent(values)),
        ..GroupMetrics::default()
    };
    assert_eq!(of(&["0-0"]).loss(), None);
    let loss = of(&["0-0", "0-1"]).loss().expect("one is lost");
    assert_eq!(loss, "group orders never processed 1 of 2 records: t: 0-1");
}

#[test]
fn throughput_is_a_mean_for_each_window_and_zero_around_it() {
    let records =
        [record(0, "a", 0, 0), record(100, "a", 0, 1), record(1900, "a", 0, 2), record(1000, "b", 1, 0)];
    let lines = account(&records).throughput(2.0);
    assert_eq!(lines.iter().map(|line| line.label.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(lines[0].points, [(-1.0, 0.0), (1.0, 1.5), (3.0, 0.0)]);
    assert_eq!(lines[1].points, [(-1.0, 0.0), (1.0, 0.5), (3.0, 0.0)]);
}

#[test]
fn time_without_progress_counts_only_while_records_wait() {
    // Two records are sent at 1 s, two more at 10 s; the second pair is begun late.
    let waiting = [(0.0, 0.0), (1.0, 2.0), (10.0, 4.0)];
    let records = [
        record(1100, "a", 0, 0),
        record(1200, "a", 0, 1),
        record(12_000, "a", 0, 2),
        record(12_700, "a", 0, 3),
    ];
    assert_eq!(account(&records).stalls(&waiting, 0.5), [(10.0, 12.0), (12.0, 12.7)]);
    assert_eq!(account(&records).stalls(&waiting, 1.0), [(10.0, 12.0)]);
    assert_eq!(account(&records).stalls(&[], 0.1), []);
}

#[test]
fn a_moved_partition_waits_from_the_old_pods_last_record_to_the_new_pods_first() {
    let records =
        [record(1000, "a", 0, 0), record(1500, "a", 1, 0), record(3000, "b", 0, 1), record(3100, "a", 1, 1)];
    let handovers = account(&records).handovers();
    let [Handover { partition: 0, left: 1.0, taken: 3.0, from, to, .. }] = handovers.as_slice() else {
        panic!("{handovers:?}");
    };
    assert_eq!((from.as_str(), to.as_str()), ("a", "b"));
    // Of those 2 s, records waited for 1.5.
    let lag = vec![Line { label: "t/0".into(), points: vec![(0.0, 0.0), (1.5, 8.0)] }];
    let group = GroupTimeline { lag, ..GroupTimeline::default() };
    assert_eq!(partitions_waited(&group, &handovers), 1.5);
}

#[test]
fn the_times_of_a_group_come_from_its_timeline() {
    let alert = |firing, from, to| AlertSpan { name: "Lag".into(), firing, from, to };
    let group = GroupTimeline {
        name: "orders".into(),
        lag: vec![Line {
            label: "t/0".into(),
            points: vec![(0.0, 0.0), (11.0, 90.0), (40.0, 5.0), (50.0, 0.0)],
        }],
        ready: vec![(0.0, 0.0), (2.0, 1.0), (15.0, 2.0), (20.0, 3.0), (70.0, 1.0)],
        ceiling: vec![(0.0, 1.0), (5.0, 3.0)],
        rebalances: vec![(3.0, 1.0), (16.0, 2.0)],
        alerts: vec![alert(false, 12.0, Some(14.0)), alert(true, 14.0, Some(45.0))],
        ..GroupTimeline::default()
    };
    let metrics = GroupMetrics::measure(&group, &account(&[]), &Sent::new(), 10.0, Some(31.0));
    let want = GroupMetrics {
        name: "orders".into(),
        replicas: [1, 3, 1],
        topic_to_ceiling_ms: Some(31.0),
        load_to_first_pod: Some(5.0),
        load_to_all_pods: Some(10.0),
        load_to_drained: Some(40.0),
        drained_to_shrunk: Some(20.0),
        peak_lag: 90.0,
        rebalances: 2,
        alert_fired_after: Some(4.0),
        alert_resolved_after: Some(35.0),
        ..GroupMetrics::default()
    };
    assert_eq!(metrics, want);
}

#[test]
fn an_event_that_never_happened_has_no_value() {
    let lag = vec![Line { label: "t/0".into(), points: vec![(1.0, 7.0)] }];
    let alerts = vec![AlertSpan { name: "Lag".into(), firing: true, from: 2.0, to: None }];
    let group = GroupTimeline { lag, alerts, ..GroupTimeline::default() };
    let metrics = GroupMetrics::measure(&group, &account(&[]), &Sent::new(), 0.0, None);
    let GroupMetrics { load_to_first_pod, load_to_drained, drained_to_shrunk, alert_resolved_after, .. } =
        metrics;
    assert_eq!([load_to_first_pod, load_to_drained, drained_to_shrunk, alert_resolved_after], [None; 4]);
}

#[test]
fn the_operators_share_is_a_percentage_of_the_control_planes() {
    let cost = |cpu_seconds, memory_mib| Cost { cpu_seconds, memory_mib };
    let metrics = OperatorMetrics {
        requests: Requests { reads: 5, writes: 3, watches: 1, lease: 1 },
        all_requests: Requests { reads: 60, writes: 30, watches: 5, lease: 5 },
        operator: cost(1.0, 50.0),
        control_plane: cost(40.0, 500.0),
    };
    assert_eq!(metrics.shares(), [2.5, 10.0, 10.0]);
    assert_eq!(OperatorMetrics::default().shares(), [0.0; 3]);
}

#[test]
fn a_number_has_as_many_digits_as_a_reader_needs() {
    for (value, want) in
        [(10_001.0, "10,001"), (0.0, "0"), (2.71, "2.71"), (61.27, "61.3"), (1_234_567.8, "1,234,568")]
    {
        assert_eq!(crate::text::number(value), want);
    }
    assert_eq!(group_rows(&GroupMetrics::default())[4].text(), "not seen");
}

#[test]
fn the_time_to_the_ceiling_is_shown_only_if_a_topic_has_changed() {
    let shown = |topic_to_ceiling_ms| {
        let group = GroupMetrics { topic_to_ceiling_ms, ..GroupMetrics::default() };
        group_rows(&group).iter().filter(|row| row.name.starts_with("Topic change")).count()
    };
    assert_eq!([shown(None), shown(Some(31.0))], [0, 1]);
}
