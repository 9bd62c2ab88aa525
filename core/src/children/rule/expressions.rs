//! The PromQL of the alerts, over the series that are scraped through the group's Service.

use kcg_api::preset::ClientMetrics;
use kcg_api::{ValidGroup, names};
use serde_json::Value;

use crate::lag::expression::{ActivitySeries, GRACE, LagSeries, number};

/// The expressions about one group.
pub(super) struct Expressions<'a> {
    group: &'a ValidGroup,
    client: ClientMetrics,
}

/// A string literal in PromQL and in JSON.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

impl<'a> Expressions<'a> {
    pub(super) fn of(group: &'a ValidGroup) -> Self {
        Self { group, client: group.metrics.preset.client_metrics() }
    }

    /// The group's own series of a metric.
    fn own(&self, metric: &str) -> String {
        format!("{metric}{{{}}}", self.matchers())
    }

    fn matchers(&self) -> String {
        let Self { group, .. } = self;
        format!("namespace={},service={}", quoted(&group.namespace), quoted(&group.name))
    }

    /// Whether a pod can be scraped. A pod is up by the endpoint of the consumer, and a sidecar's
    /// endpoint may be up without it.
    fn up(&self) -> String {
        if self.group.metrics.additional.is_empty() {
            return self.own("up");
        }
        format!("up{{{},endpoint={}}}", self.matchers(), quoted(names::METRICS_PORT_NAME))
    }

    fn series(&self) -> LagSeries {
        LagSeries {
            records_lag: self.own(self.client.records_lag),
            assigned_partitions: self.own(self.client.assigned_partitions),
            activity: ActivitySeries::of(&self.client, |metric| self.own(metric)),
            pod: "pod",
            writes_dots_as_underscores: self.client.writes_dots_as_underscores,
        }
    }

    /// The lag of each pod. A metric of the user's own counts as the largest value of a pod's
    /// series.
    pub(super) fn lag_by_pod(&self) -> String {
        match self.group.metrics.statistic {
            Some(statistic) => self.series().by_pod(statistic),
            None => format!("max by (pod) ({})", number(&self.own(&self.group.metrics.lag_metric))),
        }
    }

    /// The lag of each partition, if the metric has that label.
    pub(super) fn lag_by_partition(&self) -> String {
        match self.group.metrics.statistic {
            Some(_) => self.series().by_partition(),
            None => {
                format!("max by (topic, partition) ({})", number(&self.own(&self.group.metrics.lag_metric)))
            }
        }
    }

    /// The pods that can be scraped. Two ports of a pod are one pod.
    pub(super) fn pods_up(&self) -> String {
        format!("count by (pod) ({} == 1)", self.up())
    }

    /// How many pods of one pod template can be scraped, of the template that has most. During a
    /// rollout, the pods of two templates run, and together they may be more than the autoscaler
    /// wants. A pod's name is its ReplicaSet's, which may be cut off, and five characters.
    pub(super) fn pods_of_one_template(&self) -> String {
        format!(
            r#"max(count by (template) (label_replace({}, "template", "$1", "pod", "(.*).{{5}}")))"#,
            self.pods_up()
        )
    }

    /// The pods that are scraped and have shown no lag, although they are not new, have partitions
    /// and something to read.
    pub(super) fn pods_without_lag(&self) -> String {
        let (up, lag) = (self.up(), self.own(self.group.metrics.scraped_lag_metric()));
        let known = format!("max_over_time({lag}[{GRACE}]) >= 0 < Inf");
        let without =
            format!("count by (pod) ({up} == 1 and {up} offset {GRACE} == 1) unless on (pod) ({known})");
        match self.group.metrics.statistic {
            Some(_) => {
                let series = self.series();
                let idle = series.pods_with_nothing_to_read();
                let idle = idle.map(|pods| format!(" unless on (pod) ({pods})")).unwrap_or_default();
                let assigned = &series.assigned_partitions;
                format!("{without} unless on (pod) (sum by (pod) ({assigned}) == 0){idle}")
            }
            None => without,
        }
    }

    /// The pods with a client that has not polled for so long; of clients that do not show this,
    /// the pods that have a lag and consumed nothing.
    pub(super) fn hung_pods(&self, seconds: i64) -> String {
        let up = self.up();
        let consumed = self.own(self.client.records_consumed);
        let stands_still = format!(
            "({}) > 0 and on (pod) (sum by (pod) (increase({consumed}[{seconds}s])) == 0) and on (pod) ({up} offset {seconds}s == 1)",
            self.lag_by_pod()
        );
        let poll = self.own(self.client.last_poll_seconds_ago);
        format!("max by (pod) ({poll}) > {seconds} or ({stands_still} unless on (pod) {poll})")
    }
}
