//! The condition MetricsAvailable: whether the autoscaler reads the lag and, if not, which part
//! between the consumer and the autoscaler is broken, as far as its message shows.

use kcg_api::ValidGroup;
use kcg_api::condition::Reason;

use super::condition::{ConditionValue, no, no_quoting, unknown, yes};
use crate::facts::{AutoscalerFacts, Observed, Signal};
use crate::lag::Cause;

/// The shipped rules by which a metrics adapter serves the lag.
const RULES: &str = "deploy/prometheus-adapter/rules.yaml";

pub(super) fn metrics_available(group: &ValidGroup, observed: &Observed) -> ConditionValue {
    let autoscaler = observed.autoscaler(&group.uid);
    let ready = observed.deployment(&group.uid).map_or(0, |facts| facts.ready);
    autoscaler
        .and_then(|facts| value(group, facts, ready))
        .unwrap_or_else(|| unknown(Reason::Pending, "the HorizontalPodAutoscaler has not reported yet"))
}

/// The condition, from the autoscaler's status and the number of ready pods; `None` if it has not
/// reported yet.
fn value(group: &ValidGroup, autoscaler: &AutoscalerFacts, ready: i32) -> Option<ConditionValue> {
    let metrics = group.metrics.lag_metrics();
    let (cause, signal) = (autoscaler.cause(&metrics)?, autoscaler.scaling_active.as_ref()?);
    let metric = &group.metrics.lag_metric;
    if let Some(milli) = autoscaler.impossible_lag(&metrics) {
        return Some(impossible(metric, milli));
    }
    let missing = |message: String| no(Reason::MetricsMissing, message);
    let unavailable = |message: &str| no(Reason::MetricsApiUnavailable, message);
    Some(match cause {
        Cause::Read if *metric != group.metrics.own_lag_metric() => rule_missing(group),
        Cause::Read => yes(Reason::MetricsRead, format!("the HorizontalPodAutoscaler reads {metric}")),
        Cause::Off => unknown(
            Reason::ScaledToZero,
            "the Deployment was scaled to 0, so the HorizontalPodAutoscaler is off and reads no lag: see condition Ready",
        ),
        Cause::OtherNotRead => other_not_read(group, signal),
        Cause::Contended => no_quoting(Reason::OtherAutoscaler, &*signal.message),
        Cause::NotKnown | Cause::NotShown | Cause::NoPods | Cause::OnlyOthersRead if ready == 0 => no(
            Reason::PodsNotReady,
            format!("no consumer is ready, so none exports {metric}: see condition Ready"),
        ),
        Cause::OnlyOthersRead => missing(format!(
            "the HorizontalPodAutoscaler reads other metrics of spec.scaling.metrics, but not {metric}, so it removes no consumers: kubectl describe hpa {} has the error; {}, and that the custom metrics API serves it",
            group.name,
            exported(group)
        )),
        Cause::NoPods => no(
            Reason::PodsNotReady,
            format!(
                "the custom metrics API has {metric} only for pods that are starting or terminating, for none of the {ready} ready ones: wait for the HorizontalPodAutoscaler's next sync"
            ),
        ),
        Cause::NotKnown => missing(format!(
            "the custom metrics API does not know {metric}: {}, and that the adapter has a rule for it as in {RULES}; an adapter shows a new metric after its relist interval, up to 10 minutes",
            exported(group)
        )),
        Cause::NotShown => missing(format!(
            "the custom metrics API knows {metric}, but for none of this group's pods, of which {ready} are ready (NaN, infinite and negative values do not count): {}, and that Prometheus scrapes them (up{{namespace=\"{}\",service=\"{}\"}} is 1; condition MonitoringAccepted){}",
            exported(group),
            group.namespace,
            group.name,
            above_limits(group)
        )),
        Cause::NotRegistered => unavailable(&format!(
            "the cluster has no custom metrics API: install one, for instance prometheus-adapter with the rules of {RULES}"
        )),
        Cause::NotAnswering => unavailable(
            "the custom metrics API does not respond or fails: see kubectl get apiservices | grep custom.metrics, the adapter's log, and whether it reaches Prometheus",
        ),
        Cause::Forbidden => unavailable(
            "the HorizontalPodAutoscaler is not authorized to query the custom metrics API: allow the ServiceAccount kube-system/horizontal-pod-autoscaler to get custom.metrics.k8s.io, as the adapter's own ClusterRoleBinding does",
        ),
        Cause::Other => no_quoting(
            Reason::ScalingInactive,
            format!("{}; see kubectl describe hpa {}", signal.message, group.name),
        ),
    })
}

/// The autoscaler reads the metric of an earlier version.
fn rule_missing(group: &ValidGroup) -> ConditionValue {
    let metrics = &group.metrics;
    yes(
        Reason::RuleMissing,
        format!(
            "the HorizontalPodAutoscaler reads {}, a pod's largest value, because the custom metrics API does not serve {}: add the rules of {RULES} to the adapter, which discover it by {}; the autoscaler then changes by itself",
            metrics.lag_metric,
            metrics.own_lag_metric(),
            metrics.preset.client_metrics().assigned_partitions
        ),
    )
}

/// A metric of the user's cannot be read.
fn other_not_read(group: &ValidGroup, signal: &Signal) -> ConditionValue {
    no_quoting(
        Reason::ScalingInactive,
        format!(
            "the HorizontalPodAutoscaler reads {}, but not another metric of spec.scaling.metrics, so it removes no consumers: {}; see kubectl describe hpa {}",
            group.metrics.lag_metric, signal.message, group.name
        ),
    )
}

/// The shipped rules leave such values out, so others serve this metric.
fn impossible(metric: &str, milli: i64) -> ConditionValue {
    no_quoting(
        Reason::LagImpossible,
        format!(
            "the HorizontalPodAutoscaler reads {metric} as {} records, which is no lag: the custom metrics API serves a NaN, infinite or negative value; leave those out in the adapter's rule, as {RULES} does",
            milli.div_euclid(1000)
        ),
    )
}

/// What Prometheus rejects as a whole; the autoscaler cannot know whether it did.
fn above_limits(group: &ValidGroup) -> String {
    group
        .metrics
        .limits
        .describe()
        .map(|limits| format!(". It rejects a scrape above {limits}"))
        .unwrap_or_default()
}

/// What to check on the consumers.
fn exported(group: &ValidGroup) -> String {
    let metrics = &group.metrics;
    let scraped = match metrics.statistic {
        Some(_) => {
            let client = metrics.preset.client_metrics();
            format!("{} and {}", client.assigned_partitions, client.records_lag)
        }
        None => metrics.lag_metric.clone(),
    };
    format!("check that the consumers export {scraped} on port {} at {}", metrics.port, metrics.path)
}

#[cfg(test)]
mod tests {
    use kcg_api::preset::LagMetrics;

    use super::*;
    use crate::facts::PodsMetric;
    use crate::status::condition::ConditionStatus;
    use crate::test_support::group;

    /// As Kubernetes 1.37 begins the message of the condition.
    const HEAD: &str = "the HPA was unable to compute the replica count: unable to get metric kafka_consumer_fetch_manager_records_lag_pod_sum: ";

    fn value_of(reason: &str, message: &str, ready: i32) -> ConditionValue {
        let signal =
            Signal { status: false, reason: reason.into(), message: format!("{HEAD}{message}").into() };
        read(&group("{}"), Some(signal), None, ready)
    }

    fn read(
        group: &ValidGroup,
        scaling_active: Option<Signal>,
        lag_milli: Option<i64>,
        ready: i32,
    ) -> ConditionValue {
        let facts = AutoscalerFacts {
            pods_metrics: lag(group, lag_milli),
            scaling_active,
            ..AutoscalerFacts::default()
        };
        value(group, &facts, ready).expect("it has reported")
    }

    fn lag(group: &ValidGroup, average_milli: Option<i64>) -> Box<[PodsMetric]> {
        [PodsMetric { name: (&*group.metrics.lag_metric).into(), average_milli }].into()
    }

    fn active() -> Signal {
        Signal { status: true, reason: "ValidMetricFound".into(), message: "".into() }
    }

    const UNKNOWN: &str =
        "the server could not find the metric kafka_consumer_fetch_manager_records_lag_pod_sum for pods";
    const FORBIDDEN: &str = "pods.custom.metrics.k8s.io \"*\" is forbidden: User \"system:serviceaccount:kube-system:horizontal-pod-autoscaler\" cannot get";
    const UNHANDLED: &str =
        "the server is currently unable to handle the request (get pods.custom.metrics.k8s.io *)";
    const NO_RESOURCE: &str =
        "the server could not find the requested resource (get pods.custom.metrics.k8s.io *)";

    #[test]
    fn each_error_of_the_metrics_api_has_its_own_cure() {
        use Reason::{MetricsApiUnavailable, MetricsMissing, PodsNotReady};
        for (answer, ready, reason, cure) in [
            (
                "no custom metrics API (custom.metrics.k8s.io) registered",
                1,
                MetricsApiUnavailable,
                "install one",
            ),
            (NO_RESOURCE, 1, MetricsApiUnavailable, "install one"),
            (UNHANDLED, 1, MetricsApiUnavailable, "the adapter's log"),
            (
                "Internal error occurred: unable to fetch metrics",
                0,
                MetricsApiUnavailable,
                "reaches Prometheus",
            ),
            (FORBIDDEN, 1, MetricsApiUnavailable, "ClusterRoleBinding"),
            (UNKNOWN, 1, MetricsMissing, "a rule for it as in deploy/prometheus-adapter/rules.yaml"),
            (UNKNOWN, 0, PodsNotReady, "see condition Ready"),
        ] {
            let fetch = format!("unable to fetch metrics from custom metrics API: {answer}");
            expect(&fetch, ready, reason, cure);
        }
    }

    #[test]
    fn pods_without_metrics_have_their_own_cure() {
        use Reason::{MetricsMissing, PodsNotReady};
        const NOTHING: &str = "no metrics returned from custom metrics API";
        const UNREADY: &str = "did not receive metrics for targeted pods (pods might be unready)";
        const NO_PODS: &str = "no pods returned by selector while calculating replica count";
        const SCRAPED: &str = "on port 8085 at /actuator/prometheus, and that Prometheus scrapes them (up{namespace=\"default\",service=\"kconsumer\"} is 1";
        expect(NOTHING, 2, MetricsMissing, SCRAPED);
        expect(NOTHING, 0, PodsNotReady, "see condition Ready");
        expect(NOTHING, 2, MetricsMissing, "for none of this group's pods, of which 2 are ready (NaN");
        expect(
            UNREADY,
            1,
            PodsNotReady,
            "for none of the 1 ready ones: wait for the HorizontalPodAutoscaler's next sync",
        );
        expect(NO_PODS, 0, PodsNotReady, "see condition Ready");
    }

    #[test]
    fn a_number_that_is_no_lag_is_reported_and_neither_shown_nor_a_reason_to_add_partitions() {
        let of = |lag_milli, status| AutoscalerFacts {
            pods_metrics: lag(&group("{}"), Some(lag_milli)),
            scaling_active: Some(Signal { status, ..active() }),
            ..AutoscalerFacts::default()
        };
        // What is left of NaN and of an infinite value, and the average with a negative one.
        for (milli, records) in
            [(i64::MIN, "-9223372036854776"), (i64::MAX, "9223372036854775"), (-500, "-1")]
        {
            let value = read(&group("{}"), Some(active()), Some(milli), 1);
            assert_eq!((value.status, value.reason), (ConditionStatus::False, Reason::LagImpossible));
            assert!(
                value.message.contains(&format!("as {records} records, which is no lag")),
                "{}",
                value.message
            );
            assert_eq!(of(milli, true).shown_lag(&LagMetrics::default()), None);
        }
        for milli in [0, 1, 1_000_000_000_000_000] {
            assert_eq!(read(&group("{}"), Some(active()), Some(milli), 1).reason, Reason::MetricsRead);
            assert!(of(milli, true).shown_lag(&LagMetrics::default()).is_some());
        }
        // The autoscaler keeps a value that it does not read any more.
        assert_eq!(of(-1, false).impossible_lag(&LagMetrics::default()), None);
    }

    #[test]
    fn an_unknown_message_is_passed_on() {
        let cure = "the moon is in the way; see kubectl describe hpa kconsumer";
        expect("the moon is in the way", 1, Reason::ScalingInactive, cure);
    }

    #[test]
    fn a_missing_rule_of_the_adapter_is_named_while_the_former_metric_is_read() {
        let mut group = group("{}");
        group.metrics.lag_metric = group.metrics.preset.client_metrics().former_lag.to_owned();
        let value = read(&group, Some(active()), Some(1), 1);
        assert_eq!((value.status, value.reason), (ConditionStatus::True, Reason::RuleMissing));
        let missing = "does not serve kafka_consumer_fetch_manager_records_lag_pod_sum: add the rules of deploy/prometheus-adapter/rules.yaml";
        assert!(value.message.contains(missing), "{}", value.message);
    }

    #[test]
    fn a_metric_of_the_user_s_that_cannot_be_read_is_not_taken_for_the_lag() {
        for (reason, message) in [
            ("FailedGetResourceMetric", "failed to get cpu utilization: missing request for cpu"),
            ("FailedGetPodsMetric", "unable to get metric rate: no metrics returned from custom metrics API"),
            ("FailedGetExternalMetric", "no metrics returned from external metrics API"),
        ] {
            let message = format!("the HPA was unable to compute the replica count: {message}");
            let signal = Signal { status: false, reason: reason.into(), message: message.as_str().into() };
            let group = group("{}");
            let value = read(&group, Some(signal), Some(5), 1);
            assert_eq!((value.status, value.reason), (ConditionStatus::False, Reason::ScalingInactive));
            assert!(
                value
                    .message
                    .contains("reads kafka_consumer_fetch_manager_records_lag_pod_sum, but not another"),
                "{}",
                value.message
            );
            assert!(value.message.contains(&message), "{}", value.message);
        }
    }

    fn expect(message: &str, ready: i32, reason: Reason, cure: &str) {
        let value = value_of("FailedGetPodsMetric", message, ready);
        assert_eq!((value.status, value.reason), (ConditionStatus::False, reason), "{message}");
        assert!(value.message.contains(cure), "{message}: {}", value.message);
    }

    #[test]
    fn only_the_message_of_a_failed_metric_is_interpreted() {
        let value = value_of("ScalingDisabled", "no metrics returned from custom metrics API", 1);
        assert_eq!((value.status, value.reason), (ConditionStatus::Unknown, Reason::ScaledToZero));
        let value = value_of("AmbiguousSelector", "pods by selector are controlled by multiple HPAs", 1);
        assert_eq!(value.reason, Reason::OtherAutoscaler);
    }
}
