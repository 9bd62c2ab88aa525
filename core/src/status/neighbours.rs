//! The conditions that speak of what lies around the group: topics, monitoring, partitions.

use kcg_api::ValidGroup;
use kcg_api::ceiling::consumers;
use kcg_api::condition::Reason;

use super::trouble::in_words;
use super::verdict::{Verdict, no, unknown, yes};
use crate::ceiling::Ceiling;
use crate::children::ChildKind;
use crate::observed::{Acceptance, AutoscalerFacts, Detail, Observed, Trouble};

pub(super) fn topics_resolved(ceiling: &Ceiling) -> Verdict {
    let problems: Vec<&(Reason, String)> =
        ceiling.counts.iter().filter_map(|count| count.problem.as_ref()).collect();
    if let Some((reason, _)) = problems.first() {
        let sentences: Vec<&str> = problems.iter().map(|(_, sentence)| sentence.as_str()).collect();
        return no(*reason, sentences.join("; "));
    }
    let partitions = ceiling.partitions.unwrap_or_default();
    let topics = ceiling.counts.len();
    let of = if topics == 1 { "the topic has".to_owned() } else { format!("of {topics} topics count") };
    let sentence = if topics == 1 {
        format!("{of} {partitions} partitions")
    } else {
        format!("{partitions} partitions {of}")
    };
    yes(Reason::Resolved, sentence)
}

pub(super) fn monitoring_accepted(group: &ValidGroup, observed: &Observed) -> Verdict {
    let kinds = [ChildKind::ServiceMonitor, ChildKind::PrometheusRule];
    if let Some(kind) =
        kinds.into_iter().find(|kind| observed.troubles[kind.index()] == Some(Trouble::NotServed))
    {
        return no(Reason::KindNotServed, in_words(kind, group, &Trouble::NotServed));
    }
    let acceptance = |kind| match observed.own(kind, &group.uid).map(|child| &child.detail) {
        Some(Detail::Monitor(acceptance)) => acceptance.clone(),
        _ => Acceptance::NotReported,
    };
    let monitors = kinds.map(|kind| (kind, acceptance(kind)));
    for (kind, acceptance) in &monitors {
        if let Acceptance::Rejected(why) = acceptance {
            return no(Reason::Rejected, format!("a Prometheus refused the {}: {why}", kind.kind()));
        }
    }
    // Of a PrometheusRule older prometheus-operators report nothing: that it is not refused has to be enough.
    match monitors.each_ref().map(|(_, acceptance)| *acceptance == Acceptance::Accepted) {
        [true, true] => {
            return yes(
                Reason::Accepted,
                "a Prometheus has taken up the ServiceMonitor and the PrometheusRule",
            );
        }
        [true, false] => return yes(Reason::Accepted, "a Prometheus has taken up the ServiceMonitor"),
        [false, _] => {}
    }
    unknown(
        Reason::NotReported,
        "nobody reports whether a Prometheus selects the ServiceMonitor (prometheus-operator does behind its feature gate StatusForConfigurationResources); if its metrics are missing, compare spec.metrics.labels with the Prometheus' serviceMonitorSelector",
    )
}

pub(super) fn partition_bound(group: &ValidGroup, observed: &Observed, ceiling: &Ceiling) -> Verdict {
    if ceiling.partitions.is_none() {
        return unknown(Reason::Pending, "no topic's partitions are known");
    }
    let Some((facts, lag)) =
        observed.autoscaler(&group.uid).and_then(|facts| Some((facts, facts.lag_milli?)))
    else {
        return unknown(Reason::Pending, "the lag is not known yet");
    };
    let max = in_force(group, observed, ceiling);
    if !is_bound(facts, lag, group.lag_limit, max) {
        return no(Reason::RoomToScale, "there is room to scale, or no need");
    }
    if max != ceiling.max {
        return yes(
            Reason::AtCeiling,
            format!(
                "{max} consumers run, the lag is above {} records, and the paused group stays at that: set spec.paused to false",
                group.lag_limit
            ),
        );
    }
    let per_consumer = group.consumer.partitions_per_consumer;
    let busy = ceiling.partitions.map(|partitions| consumers(partitions, per_consumer));
    let cure = if group.cap == Some(ceiling.max) && busy > Some(ceiling.max) {
        "raise spec.maxReplicas"
    } else {
        "add partitions to the topic, or make the consumer faster"
    };
    yes(
        Reason::AtCeiling,
        format!(
            "{} consumers run, no more can help, and the lag is above {} records: {cure}",
            ceiling.max, group.lag_limit
        ),
    )
}

/// The HorizontalPodAutoscaler's maxReplicas: what the ceiling says, or what a paused group was left with.
pub(super) fn in_force(group: &ValidGroup, observed: &Observed, ceiling: &Ceiling) -> i32 {
    let left = observed.autoscaler(&group.uid).filter(|_| group.paused);
    left.map_or(ceiling.max, |facts| facts.max_replicas)
}

/// At the ceiling and the lag is above the limit (both per pod, on average).
pub fn is_bound(facts: &AutoscalerFacts, lag_milli: i64, lag_limit: i64, max: i32) -> bool {
    facts.current_replicas >= max && lag_milli > lag_limit.saturating_mul(1000)
}

pub(super) fn paused(group: &ValidGroup, ceiling: &Ceiling) -> Verdict {
    if group.paused {
        let (min, max) = (ceiling.min, ceiling.max);
        return yes(
            Reason::PausedBySpec,
            format!(
                "spec.paused is true: the children are left as they are; a HorizontalPodAutoscaler that exists goes on scaling (it would be {min} to {max} now)"
            ),
        );
    }
    no(Reason::Running, "the operator keeps the children as they should be")
}
