//! Whether the lag reaches the autoscaler and, where it does not, which part of its way is broken, as far as the
//! autoscaler's own words tell. The words are those of Kubernetes (pkg/controller/podautoscaler), of its client of the
//! custom metrics API, and of the library that such an API is built on.

use kcg_api::ValidGroup;
use kcg_api::condition::Reason;

use super::verdict::{Verdict, no, no_quoting, unknown, yes};
use crate::lag::LagSource;
use crate::observed::{Observed, Signal};

/// The rules by which an adapter serves the lag, as they are shipped.
const RULES: &str = "deploy/prometheus-adapter/rules.yaml";

/// What the condition ScalingActive of an autoscaler comes down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It reads the lag.
    Read,
    /// Another autoscaler scales the same pods.
    Contended,
    /// Nobody has registered the custom metrics API.
    NotRegistered,
    /// It is registered, and does not answer or fails.
    NotAnswering,
    /// The autoscaler may not ask it.
    Forbidden,
    /// It does not know the metric.
    NotKnown,
    /// It knows the metric, and none of the group's pods has it.
    NotShown,
    /// There is no pod, or those that have the metric are starting or ending.
    NoPods,
    /// Something else.
    Other,
}

/// What the autoscaler says, by what its words contain; the first that fits counts.
const WORDS: [(&str, Cause); 13] = [
    ("no custom metrics API", Cause::NotRegistered),
    ("no known available metric versions", Cause::NotRegistered),
    ("could not find the requested resource", Cause::NotRegistered),
    ("could not find the metric", Cause::NotKnown),
    ("no metrics returned from custom metrics API", Cause::NotShown),
    ("did not receive metrics for targeted pods", Cause::NoPods),
    ("no pods returned by selector", Cause::NoPods),
    (r#"custom.metrics.k8s.io "*" is forbidden"#, Cause::Forbidden),
    ("unable to handle the request", Cause::NotAnswering),
    ("Internal error occurred", Cause::NotAnswering),
    ("an error on the server", Cause::NotAnswering),
    ("connection refused", Cause::NotAnswering),
    ("deadline exceeded", Cause::NotAnswering),
];

impl Cause {
    pub fn of(signal: &Signal) -> Self {
        match &*signal.reason {
            _ if signal.status => Self::Read,
            "AmbiguousSelector" => Self::Contended,
            reason if reason == LagSource::OURS.unread() => {
                let found = WORDS.iter().find(|(words, _)| signal.message.contains(words));
                found.map_or(Self::Other, |(_, cause)| *cause)
            }
            _ => Self::Other,
        }
    }
}

pub(super) fn metrics_available(group: &ValidGroup, observed: &Observed) -> Verdict {
    let Some(signal) = observed.autoscaler(&group.uid).and_then(|facts| facts.scaling_active.as_ref()) else {
        return unknown(Reason::Pending, "the HorizontalPodAutoscaler has not reported yet");
    };
    let ready = observed.deployment(&group.uid).map_or(0, |facts| facts.ready);
    verdict(group, signal, ready)
}

/// The condition, from what the autoscaler says and the number of pods that are ready.
fn verdict(group: &ValidGroup, signal: &Signal, ready: i32) -> Verdict {
    let cause = Cause::of(signal);
    let metric = &group.metrics.lag_metric;
    let missing = |message: String| no(Reason::MetricsMissing, message);
    let unavailable = |message: &str| no(Reason::MetricsApiUnavailable, message);
    match cause {
        Cause::Read => yes(Reason::MetricsRead, format!("the HorizontalPodAutoscaler reads {metric}")),
        Cause::Contended => no_quoting(Reason::OtherAutoscaler, &*signal.message),
        Cause::NotKnown | Cause::NotShown | Cause::NoPods if ready == 0 => no(
            Reason::PodsNotReady,
            format!("no consumer is ready, so none shows {metric}: see condition Ready"),
        ),
        Cause::NoPods => no(
            Reason::PodsNotReady,
            format!(
                "the pods that show {metric} are starting or ending: wait for the HorizontalPodAutoscaler's next sync"
            ),
        ),
        Cause::NotKnown => missing(format!(
            "the custom metrics API does not know {metric}: {}, and that the adapter has a rule for it as in {RULES}; an adapter shows a new metric after its relist interval, up to 10 minutes",
            exported(group)
        )),
        Cause::NotShown => missing(format!(
            "the custom metrics API knows {metric}, but of none of this group's pods: {}, and that Prometheus scrapes them (up{{namespace=\"{}\",service=\"{}\"}} is 1; condition MonitoringAccepted)",
            exported(group),
            group.namespace,
            group.name
        )),
        Cause::NotRegistered => unavailable(&format!(
            "the cluster has no custom metrics API: install one, for instance prometheus-adapter with the rules of {RULES}"
        )),
        Cause::NotAnswering => unavailable(
            "the custom metrics API does not answer, or fails: see kubectl get apiservices | grep custom.metrics, the adapter's log, and whether it reaches Prometheus",
        ),
        Cause::Forbidden => unavailable(
            "the HorizontalPodAutoscaler may not ask the custom metrics API: let the ServiceAccount kube-system/horizontal-pod-autoscaler get custom.metrics.k8s.io, as the adapter's own ClusterRoleBinding does",
        ),
        Cause::Other => no_quoting(
            Reason::ScalingInactive,
            format!("{}; see kubectl describe hpa {}", signal.message, group.name),
        ),
    }
}

/// What to check of the consumers themselves.
fn exported(group: &ValidGroup) -> String {
    let metrics = &group.metrics;
    format!(
        "check that the consumers export {} on port {} at {}",
        metrics.lag_metric, metrics.port, metrics.path
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::verdict::Status;
    use crate::test_support::group;

    /// As Kubernetes 1.37 puts them into the condition.
    const HEAD: &str = "the HPA was unable to compute the replica count: unable to get metric kafka_consumer_fetch_manager_records_lag_max: ";

    fn told(reason: &str, message: &str, ready: i32) -> Verdict {
        let signal =
            Signal { status: false, reason: reason.into(), message: format!("{HEAD}{message}").into() };
        verdict(&group("{}"), &signal, ready)
    }

    const UNKNOWN: &str =
        "the server could not find the metric kafka_consumer_fetch_manager_records_lag_max for pods";
    const FORBIDDEN: &str = "pods.custom.metrics.k8s.io \"*\" is forbidden: User \"system:serviceaccount:kube-system:horizontal-pod-autoscaler\" cannot get";
    const UNHANDLED: &str =
        "the server is currently unable to handle the request (get pods.custom.metrics.k8s.io *)";
    const NO_RESOURCE: &str =
        "the server could not find the requested resource (get pods.custom.metrics.k8s.io *)";

    #[test]
    fn what_the_metrics_api_answers_is_told_with_its_own_cure() {
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
    fn pods_of_which_the_metrics_api_shows_nothing_are_told_with_their_own_cure() {
        use Reason::{MetricsMissing, PodsNotReady};
        const NOTHING: &str = "no metrics returned from custom metrics API";
        const UNREADY: &str = "did not receive metrics for targeted pods (pods might be unready)";
        const NO_PODS: &str = "no pods returned by selector while calculating replica count";
        const SCRAPED: &str = "on port 8085 at /actuator/prometheus, and that Prometheus scrapes them (up{namespace=\"default\",service=\"kconsumer\"} is 1";
        expect(NOTHING, 2, MetricsMissing, SCRAPED);
        expect(NOTHING, 0, PodsNotReady, "see condition Ready");
        expect(UNREADY, 1, PodsNotReady, "next sync");
        expect(NO_PODS, 0, PodsNotReady, "see condition Ready");
    }

    #[test]
    fn words_that_nobody_knows_are_passed_on() {
        let cure = "the moon is in the way; see kubectl describe hpa kconsumer";
        expect("the moon is in the way", 1, Reason::ScalingInactive, cure);
    }

    fn expect(message: &str, ready: i32, reason: Reason, cure: &str) {
        let verdict = told("FailedGetPodsMetric", message, ready);
        assert_eq!((verdict.status, verdict.reason), (Status::False, reason), "{message}");
        assert!(verdict.message.contains(cure), "{message}: {}", verdict.message);
    }

    #[test]
    fn what_is_said_for_another_reason_than_the_metric_stands_as_it_is() {
        let verdict = told("ScalingDisabled", "no metrics returned from custom metrics API", 1);
        assert_eq!(verdict.reason, Reason::ScalingInactive);
        let verdict = told("AmbiguousSelector", "pods by selector are controlled by multiple HPAs", 1);
        assert_eq!(verdict.reason, Reason::OtherAutoscaler);
    }
}
