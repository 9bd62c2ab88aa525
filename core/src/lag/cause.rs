//! Why an autoscaler does or does not scale, from its condition and its current metrics.

use kcg_api::preset::LagMetrics;

use super::LagSource;

/// Why an autoscaler does or does not scale by the lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It reads the lag.
    Read,
    /// It scales up by another metric and does not read the lag.
    OnlyOthersRead,
    /// It reads the lag, but not another metric, so it does not scale down.
    OtherNotRead,
    /// Another autoscaler scales the same pods.
    Contended,
    /// It is off, because the Deployment was scaled to 0.
    Off,
    /// The custom metrics API is not registered.
    NotRegistered,
    /// The custom metrics API is registered, but does not respond or fails.
    NotAnswering,
    /// The autoscaler is not authorized to query it.
    Forbidden,
    /// It does not know the metric.
    NotKnown,
    /// It knows the metric, but for none of the group's pods.
    NotShown,
    /// There is no pod, or the pods that have the metric are starting or terminating.
    NoPods,
    /// Another cause.
    Other,
}

/// Parts of the message, and their causes; the first match counts. The messages are those of
/// Kubernetes (pkg/controller/podautoscaler), of its client of the custom metrics API, and of the
/// library that such an API is built with.
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

/// The reasons if a metric of another type could not be read.
const OTHER_UNREAD: [&str; 4] = [
    "FailedGetContainerResourceMetric",
    "FailedGetExternalMetric",
    "FailedGetObjectMetric",
    "FailedGetResourceMetric",
];

impl Cause {
    /// Why an autoscaler does not scale. It states the first of its metrics that it could not read,
    /// and the lag is the first one.
    pub fn of_inactive(reason: &str, message: &str, lag: &LagMetrics) -> Self {
        match reason {
            "AmbiguousSelector" => Self::Contended,
            "ScalingDisabled" => Self::Off,
            reason if reason == LagSource::OURS.unread() => {
                if names_another(message, lag) {
                    return Self::OtherNotRead;
                }
                let found = WORDS.iter().find(|(words, _)| message.contains(words));
                found.map_or(Self::Other, |(_, cause)| *cause)
            }
            reason if OTHER_UNREAD.contains(&reason) => Self::OtherNotRead,
            _ => Self::Other,
        }
    }
}

/// Whether the message is about another Pods metric than the lag.
fn names_another(message: &str, lag: &LagMetrics) -> bool {
    let named = message.split_once("unable to get metric ").and_then(|(_, rest)| rest.split_once(':'));
    named.is_some_and(|(name, _)| !lag.contain(name))
}
