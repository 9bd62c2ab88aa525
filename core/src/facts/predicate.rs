//! Which changes of a child are worth a reconcile of its group. An autoscaler's status changes with
//! every sync; its group is reconciled only if its own status would change.

use kcg_api::preset::LagMetrics;

use super::{AutoscalerFacts, Child, Detail};
use crate::lag::Cause;
use crate::shown_lag;

/// What the status of a group shows of its lag, in records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownLag {
    /// The metrics by which the autoscaler may read it.
    pub metrics: LagMetrics,
    /// The limit in the spec.
    pub limit: i64,
    /// The lag in the status.
    pub current: Option<i64>,
}

/// Whether a child has changed in a way that a decision depends on.
pub fn is_relevant(before: &Child, after: &Child, shown: &ShownLag) -> bool {
    let details_differ = match (&before.detail, &after.detail) {
        (Detail::Autoscaler(before), Detail::Autoscaler(after)) => autoscaler_differs(before, after, shown),
        (before, after) => before != after,
    };
    details_differ
        || before.uid != after.uid
        || before.controller != after.controller
        || before.deleting != after.deleting
        || before.drift != after.drift
}

fn autoscaler_differs(before: &AutoscalerFacts, after: &AutoscalerFacts, shown: &ShownLag) -> bool {
    // The wording of a condition differs from sync to sync; its cause does not.
    let metrics = &shown.metrics;
    let scaling = |facts: &AutoscalerFacts| reason_and_cause(facts, metrics);
    let bound = |facts: &AutoscalerFacts| facts.is_bound(facts.max_replicas, metrics, shown.limit);
    let metric = |facts: &AutoscalerFacts| facts.lag(metrics).map(|metric| metric.name.clone());
    before.held != after.held
        || metric(before) != metric(after)
        || before.max_replicas != after.max_replicas
        || before.tolerance != after.tolerance
        || scaling(before) != scaling(after)
        || before.unable.is_some() != after.unable.is_some()
        || before.impossible_lag(metrics).is_some() != after.impossible_lag(metrics).is_some()
        || bound(before) != bound(after)
        || shown_lag::is_worth_a_write(shown.current, after.shown_lag(metrics), shown.limit, after.tolerance)
}

fn reason_and_cause(facts: &AutoscalerFacts, metrics: &LagMetrics) -> Option<(Box<str>, Cause)> {
    Some((facts.scaling_active.as_ref()?.reason.clone(), facts.cause(metrics)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::Drift;
    use crate::facts::{PodsMetric, Signal};

    fn pods_metric(name: &str, average_milli: Option<i64>) -> PodsMetric {
        PodsMetric { name: name.into(), average_milli }
    }

    fn child(facts: AutoscalerFacts) -> Child {
        Child {
            uid: "u".into(),
            resource_version: 1,
            controller: Some("g".into()),
            deleting: false,
            drift: Drift::InSync(1),
            creation: None,
            detail: Detail::Autoscaler(Box::new(facts)),
        }
    }

    fn shown(current: Option<i64>) -> ShownLag {
        let metrics = LagMetrics::Named("lag".into());
        ShownLag { metrics, limit: 1000, current }
    }

    fn facts(current_replicas: i32, lag: Option<i64>) -> AutoscalerFacts {
        AutoscalerFacts {
            current_replicas,
            max_replicas: 3,
            pods_metrics: [pods_metric("rate", Some(7)), pods_metric("lag", lag.map(|lag| lag * 1000))]
                .into(),
            ..AutoscalerFacts::default()
        }
    }

    #[test]
    fn a_change_of_the_lag_is_relevant_only_if_it_crosses_the_limit_at_the_ceiling() {
        for (before, after, want) in [
            (facts(1, Some(10)), facts(2, Some(5000)), false),
            (facts(3, Some(10)), facts(3, Some(999)), false),
            (facts(3, Some(1001)), facts(3, Some(1100)), false),
            (facts(3, Some(1100)), facts(3, Some(1101)), true),
            (facts(2, Some(5000)), facts(3, Some(5000)), true),
            (facts(1, None), facts(1, Some(5)), true),
        ] {
            assert_eq!(
                is_relevant(&child(before.clone()), &child(after.clone()), &shown(None)),
                want,
                "{before:?} {after:?}"
            );
        }
    }

    #[test]
    fn a_lag_that_the_status_should_show_is_relevant_however_slowly_it_gets_there() {
        let read = |lag: i64| {
            let active = Signal { status: true, reason: "r".into(), message: "m".into() };
            child(AutoscalerFacts { scaling_active: Some(active), ..facts(1, Some(lag)) })
        };
        let shown = shown(Some(300));
        for (before, after, want) in [(300, 599, true), (590, 600, true), (310, 320, false), (5, 300, false)]
        {
            assert_eq!(is_relevant(&read(before), &read(after), &shown), want, "{before} {after}");
        }
    }

    #[test]
    fn another_metric_of_the_user_s_is_not_relevant_and_an_unread_lag_is() {
        let with = |metrics: [PodsMetric; 2], has_unread_metric: bool| {
            let active = Signal { status: true, reason: "r".into(), message: "m".into() };
            child(AutoscalerFacts {
                scaling_active: Some(active),
                pods_metrics: metrics.into(),
                has_unread_metric,
                ..AutoscalerFacts::default()
            })
        };
        let before = with([pods_metric("rate", Some(1)), pods_metric("lag", Some(300_000))], false);
        let rate = with([pods_metric("rate", Some(1_000_000)), pods_metric("lag", Some(300_000))], false);
        let order = with([pods_metric("lag", Some(300_000)), pods_metric("rate", None)], true);
        let unread = with([pods_metric("rate", Some(1)), pods_metric("lag", None)], true);
        let shown = shown(Some(300));
        assert!(!is_relevant(&before, &rate, &shown));
        assert!(!is_relevant(&before, &order, &shown));
        assert!(is_relevant(&before, &unread, &shown));
    }

    #[test]
    fn a_reworded_condition_is_not_relevant_and_another_reason_is() {
        let signal = |reason: &str, message: &str| AutoscalerFacts {
            scaling_active: Some(Signal { status: false, reason: reason.into(), message: message.into() }),
            ..AutoscalerFacts::default()
        };
        let before = child(signal("FailedGetPodsMetric", "once"));
        assert!(!is_relevant(&before, &child(signal("FailedGetPodsMetric", "twice")), &shown(None)));
        assert!(is_relevant(&before, &child(signal("AmbiguousSelector", "once")), &shown(None)));
        let another_cause =
            child(signal("FailedGetPodsMetric", "the server is currently unable to handle the request"));
        assert!(is_relevant(&before, &another_cause, &shown(None)));
    }

    #[test]
    fn an_autoscaler_that_can_no_longer_scale_is_relevant() {
        let unable = AutoscalerFacts { unable: Some("no quota".into()), ..facts(1, None) };
        assert!(is_relevant(&child(facts(1, None)), &child(unable), &shown(None)));
    }

    #[test]
    fn another_version_alone_is_not_relevant_and_drift_is() {
        let before = child(facts(1, None));
        let newer = Child { resource_version: 2, ..before.clone() };
        assert!(!is_relevant(&before, &newer, &shown(None)));
        assert!(is_relevant(&before, &Child { drift: Drift::Drifted, ..newer.clone() }, &shown(None)));
        assert!(is_relevant(&before, &Child { deleting: true, ..newer.clone() }, &shown(None)));
        assert!(is_relevant(&before, &Child { controller: None, ..newer }, &shown(None)));
    }
}
