//! The lag metric that a group's autoscaler reads while a metrics adapter lacks the rules of this
//! version.

use std::collections::BTreeSet;
use std::sync::Arc;

use kcg_api::metrics::MetricsEndpoint;
use kcg_api::preset::{LagStatistic, Preset};

/// The lag metrics of the presets that the custom metrics API serves, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServedMetrics(Arc<BTreeSet<String>>);

impl ServedMetrics {
    /// Of the metrics of pods that the API lists, keeps those that follow from a preset.
    pub fn of(listed: impl IntoIterator<Item = String>) -> Self {
        let of_preset = |preset: Preset| {
            let statistics = LagStatistic::ALL.map(|statistic| preset.lag_metric(statistic));
            statistics.into_iter().chain([preset.client_metrics().former_lag.to_owned()])
        };
        let known: BTreeSet<String> = Preset::ALL.into_iter().flat_map(of_preset).collect();
        Self(Arc::new(listed.into_iter().filter(|name| known.contains(name)).collect()))
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// The name of the metric that a group's autoscaler should read now. `live` is the one that it
/// reads.
///
/// The group's own metric, except that an autoscaler which reads the former one continues to until
/// the own one is served, and that a new one starts with the former one if only that is served. An
/// autoscaler never returns to the former one, so that a metric which comes and goes changes
/// nothing.
pub fn metric_in_force(metrics: &MetricsEndpoint, live: Option<&str>, served: &ServedMetrics) -> String {
    let own = metrics.own_lag_metric();
    let former = metrics.preset.client_metrics().former_lag;
    let falls_back = metrics.statistic.is_some()
        && !served.has(&own)
        && match live {
            Some(live) if live == former => true,
            Some(live) if live == own => false,
            _ => served.has(former),
        };
    if falls_back { former.to_owned() } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::group;

    const OWN: &str = "kafka_consumer_fetch_manager_records_lag_pod_sum";
    const FORMER: &str = "kafka_consumer_fetch_manager_records_lag_max";

    fn in_force(spec: &str, live: Option<&str>, listed: &[&str]) -> String {
        let served = ServedMetrics::of(listed.iter().map(|name| (*name).to_owned()));
        metric_in_force(&group(spec).metrics, live, &served)
    }

    #[test]
    fn an_autoscaler_reads_the_former_metric_until_its_own_is_served() {
        for (live, listed, want) in [
            // A new group.
            (None, vec![], OWN),
            (None, vec![FORMER], FORMER),
            (None, vec![FORMER, OWN], OWN),
            // An upgrade of the operator before the adapter's rules.
            (Some(FORMER), vec![FORMER], FORMER),
            (Some(FORMER), vec![], FORMER),
            (Some(FORMER), vec![FORMER, OWN], OWN),
            // Once it reads its own, it does not return.
            (Some(OWN), vec![FORMER, OWN], OWN),
            (Some(OWN), vec![FORMER], OWN),
            (Some(OWN), vec![], OWN),
            // A metric of the user's that the spec no longer names.
            (Some("lag"), vec![FORMER], FORMER),
            (Some("lag"), vec![], OWN),
        ] {
            assert_eq!(in_force("{}", live, &listed), want, "{live:?} {listed:?}");
        }
    }

    #[test]
    fn a_metric_that_the_group_names_is_read_whatever_is_served() {
        let spec = "{metrics: {lagMetric: lag}}";
        for live in [None, Some(FORMER), Some(OWN), Some("lag")] {
            assert_eq!(in_force(spec, live, &[FORMER, OWN]), "lag");
        }
    }

    #[test]
    fn of_all_metrics_of_a_cluster_only_those_of_the_presets_are_kept() {
        let served = ServedMetrics::of(["cpu".to_owned(), OWN.to_owned()]);
        assert_eq!(served.0.len(), 1);
    }
}
