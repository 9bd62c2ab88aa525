//! The lag in PromQL. The rules for a metrics adapter, the group's alerts and the dashboards use
//! the same expressions.
//!
//! Each partition counts once. A client that is starting, hangs or has just lost a partition
//! reports NaN, which is dropped before anything is added up. A pod without any figure is missing:
//! only a pod whose clients have no partitions has a lag of zero.

use kcg_api::preset::LagStatistic;

/// The series of the clients that the lag is computed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LagSeries {
    /// Selects the lag in records, by topic and partition.
    pub records_lag: String,
    /// Selects the number of partitions that each client has.
    pub assigned_partitions: String,
    /// The label with the name of the pod.
    pub pod: &'static str,
    /// Whether a client may export one topic under two names, with dots and with underscores.
    pub writes_dots_as_underscores: bool,
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
        format!("sum by ({pod}) ({assigned}) == 0 or {lag}")
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
        assert_eq!(series.by_partition(), "max by (topic, partition) (lag{} >= 0 < Inf)");
    }
}
