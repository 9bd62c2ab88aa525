//! The lag in PromQL. The rules for a metrics adapter, the group's alerts and the dashboards use
//! the same expressions.
//!
//! Each partition counts once. A client that is starting, hangs or has just lost a partition
//! reports NaN, which is dropped before anything is added up. A pod without any figure is missing,
//! not zero, except if its clients have no partitions, or if they fetch and receive nothing.

use kcg_api::preset::{ClientMetrics, LagStatistic};

/// How long a consumer may show no lag, and how long it must have received nothing until that means
/// that it has no lag: longer than the minute after which Micrometer shows the lag of a partition
/// that the client got.
pub const GRACE: &str = "2m";

/// Seconds. The longest time between two polls of a client that waits for records.
const STILL_POLLS: i64 = 60;

/// The label with the client's id, which Micrometer and the JMX exporter write alike.
const CLIENT: &str = "client_id";

/// The series of the clients that the lag is computed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagSeries {
    /// Selects the lag in records, by topic and partition.
    pub records_lag: String,
    /// Selects the number of partitions that each client has.
    pub assigned_partitions: String,
    /// What tells that clients have nothing to read; `None` if the clients report the lag of every
    /// partition that they have.
    pub activity: Option<ActivitySeries>,
    /// The label with the name of the pod.
    pub pod: &'static str,
    /// Whether a client may export one topic under two names, with dots and with underscores.
    pub writes_dots_as_underscores: bool,
}

/// What the clients do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivitySeries {
    /// Selects the counters of fetches.
    pub fetches: String,
    /// Selects the counters of consumed records.
    pub records_consumed: String,
    /// Selects the seconds since each client's last poll, -1 before the first one.
    pub last_poll_seconds_ago: String,
}

impl ActivitySeries {
    /// The series of a preset's clients; `None` if they do not count fetches. `select` makes a
    /// selector of the name of a metric.
    pub fn of(metrics: &ClientMetrics, select: impl Fn(&str) -> String) -> Option<Self> {
        metrics.fetches.map(|fetches| Self {
            fetches: select(fetches),
            records_consumed: select(metrics.records_consumed),
            last_poll_seconds_ago: select(metrics.last_poll_seconds_ago),
        })
    }
}

/// The label with the name of a topic, its dots replaced.
const TOPIC: &str = "kafka_topic";

impl LagSeries {
    /// The lag of each pod.
    pub fn by_pod(&self, statistic: LagStatistic) -> String {
        let (pod, assigned) = (self.pod, &self.assigned_partitions);
        let lag = match statistic {
            LagStatistic::Sum => {
                let (topic, series) = self.named();
                format!("sum by ({pod}) (max by ({pod}, {topic}, partition) ({series}))")
            }
            LagStatistic::Max => format!("max by ({pod}) ({})", number(&self.records_lag)),
        };
        let known = format!("sum by ({pod}) ({assigned}) == 0 or {lag}");
        match self.pods_with_nothing_to_read() {
            Some(pods) => format!("{known} or 0 * ({pods})"),
            None => known,
        }
    }

    /// The pods whose clients had partitions [`GRACE`] ago, have fetched and polled since, and
    /// received no record.
    ///
    /// The Java client reports the lag of a partition from the first response to a fetch that
    /// mentions it. If a rebalance takes an idle partition away and gives it back before the next
    /// fetch, no response mentions it until a record arrives. A client that hangs does not poll, one
    /// that is paused does not fetch, and one that has just got a backlog consumes.
    pub fn pods_with_nothing_to_read(&self) -> Option<String> {
        let ActivitySeries { fetches, records_consumed, last_poll_seconds_ago } = self.activity.as_ref()?;
        let (pod, assigned) = (self.pod, &self.assigned_partitions);
        Some(format!(
            "min by ({pod}) (increase({fetches}[{GRACE}]) and on ({pod}, {CLIENT}) ({assigned} > 0)) > 0 \
             unless on ({pod}) ({assigned} > 0 unless {assigned} offset {GRACE} > 0) \
             unless on ({pod}) (sum by ({pod}) (increase({records_consumed}[{GRACE}])) > 0) \
             unless on ({pod}) ({last_poll_seconds_ago} > {STILL_POLLS})"
        ))
    }

    /// The lag of each partition, by topic and partition. A topic that has two names appears under
    /// the one with underscores.
    pub fn by_partition(&self) -> String {
        let (topic, series) = self.named();
        let lag = format!("max by ({topic}, partition) ({series})");
        if topic == TOPIC {
            format!(r#"max by (topic, partition) (label_replace({lag}, "topic", "$1", "{TOPIC}", "(.*)"))"#)
        } else {
            lag
        }
    }

    /// The lag of each series, and the label that contains its topic's one name.
    fn named(&self) -> (&'static str, String) {
        let series = number(&self.records_lag);
        if self.writes_dots_as_underscores { (TOPIC, without_dots(&series)) } else { ("topic", series) }
    }
}

/// Drops NaN, infinity, and the negative values by which librdkafka means that it does not know.
pub fn number(series: &str) -> String {
    format!("{series} >= 0 < Inf")
}

/// Copies the label `topic` with each dot replaced by an underscore, up to 15 of them. PromQL
/// replaces a fixed number of parts at a time, so this replaces the first 8 dots of a name that has
/// as many, then the first 4, 2 and 1 of what is left.
fn without_dots(series: &str) -> String {
    let copied = format!(r#"label_replace({series}, "{TOPIC}", "$1", "topic", "(.*)")"#);
    [8, 4, 2, 1].iter().fold(copied, |series, dots| {
        let parts: Vec<String> = (1..=dots + 1).map(|part| format!("${{{part}}}")).collect();
        let regex = format!("{}(.*)", "([^.]*)[.]".repeat(*dots));
        format!(r#"label_replace({series}, "{TOPIC}", "{}", "{TOPIC}", "{regex}")"#, parts.join("_"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_s_lag_is_zero_only_if_its_clients_have_no_partitions() {
        let series = LagSeries {
            records_lag: "lag{}".into(),
            assigned_partitions: "assigned{}".into(),
            activity: None,
            pod: "pod",
            writes_dots_as_underscores: false,
        };
        assert_eq!(
            series.by_pod(LagStatistic::Sum),
            "sum by (pod) (assigned{}) == 0 or sum by (pod) (max by (pod, topic, partition) (lag{} >= 0 < Inf))"
        );
        assert_eq!(
            series.by_pod(LagStatistic::Max),
            "sum by (pod) (assigned{}) == 0 or max by (pod) (lag{} >= 0 < Inf)"
        );
        assert_eq!(series.pods_with_nothing_to_read(), None);
        assert_eq!(series.by_partition(), "max by (topic, partition) (lag{} >= 0 < Inf)");
    }
}
