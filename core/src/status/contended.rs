//! Condition Ready, if another autoscaler or another group is in the way.

use kcg_api::ValidGroup;
use kcg_api::condition::Reason;

use super::condition::{ConditionValue, no};
use crate::facts::{Observed, Signal};
use crate::lag::Cause;
use crate::text;

/// Another autoscaler selects the same pods, or another group consumes the same partitions.
pub(super) fn contended(group: &ValidGroup, observed: &Observed) -> Option<ConditionValue> {
    let autoscaler = observed.autoscaler(&group.uid);
    // Kubernetes detects two HorizontalPodAutoscalers over the same pods, and then scales by neither.
    let metrics = group.metrics.lag_metrics();
    let contended = autoscaler.filter(|facts| facts.cause(&metrics) == Some(Cause::Contended));
    if let Some(signal) = contended.and_then(|facts| facts.scaling_active.as_ref()) {
        return Some(no(Reason::OtherAutoscaler, ambiguous(group, signal)));
    }
    if observed.conflicting_groups.is_empty() {
        return None;
    }
    let verb = if observed.conflicting_groups.is_one() { "consumes" } else { "consume" };
    let sentence = format!(
        "{} {verb} a topic of this one under the same groupId{}, so they take partitions from each other: give each its own spec.consumerSpec.groupId",
        observed.conflicting_groups,
        group.consumer.joined_group_id.as_ref().map(|id| format!(" {id}")).unwrap_or_default()
    );
    Some(no(Reason::GroupIdShared, sentence))
}

/// Two autoscalers select a pod if they scale one Deployment, or if the selector of another
/// Deployment matches labels that these pods have, too. Only the second one is cured by taking
/// labels away; to delete the autoscaler of a Deployment that is still needed would do harm.
fn ambiguous(group: &ValidGroup, signal: &Signal) -> String {
    let name = &group.name;
    let overlay = group.consumer.overlay.as_ref();
    let labels = overlay.and_then(|overlay| overlay.template().metadata.as_ref()?.labels.as_ref());
    let copied: Vec<String> =
        labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    let others = match others(&signal.message, &group.namespace, name) {
        found if found.is_empty() => "another HorizontalPodAutoscaler".to_owned(),
        found => format!("HorizontalPodAutoscaler {}", text::listed(&found)),
    };
    let cure = if copied.is_empty() {
        format!(
            "the Deployment that it scales selects app={name}, which these pods have: give one of the two another name"
        )
    } else {
        format!(
            "the selector of the Deployment that it scales matches labels that spec.consumerSpec.podTemplate.metadata.labels gives these pods ({}): take the copied ones out",
            text::listed(&copied)
        )
    };
    format!(
        "{others} selects pods of this group, so Kubernetes scales by neither. Compare its target (kubectl get hpa): if it is Deployment {name}, delete that HorizontalPodAutoscaler; otherwise {cure}. Kubernetes: {}",
        signal.message
    )
}

/// The other autoscalers that Kubernetes' sentence names: `pods by selector app=a are controlled by
/// multiple HPAs: [ns/a ns/b]`.
fn others<'a>(message: &'a str, namespace: &str, name: &str) -> Vec<&'a str> {
    let list = message.rsplit_once('[').and_then(|(_, rest)| rest.split_once(']'));
    let names = list.map(|(names, _)| names.split_whitespace()).into_iter().flatten();
    names
        .filter_map(|key| key.split_once('/'))
        .filter(|(of, other)| *of == namespace && *other != name)
        .map(|(_, other)| other)
        .take(5)
        .collect()
}
