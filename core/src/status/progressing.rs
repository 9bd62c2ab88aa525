//! The condition Progressing: whether the Deployment is rolling out or scaling.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kcg_api::ValidGroup;
use kcg_api::condition::Reason;

use super::condition::{ConditionStatus, ConditionValue, no, no_quoting, unknown, yes};
use crate::child_error::ChildError;
use crate::children::{ChildKind, PerChild};
use crate::facts::DeploymentFacts;
use crate::refusal::Refusal;
use crate::rollout::Rollout;

/// The group's Deployment, and how far it has rolled out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deployed<'a> {
    pub(super) facts: &'a DeploymentFacts,
    pub(super) rollout: Rollout<'a>,
}

pub(super) fn progressing(
    group: &ValidGroup,
    deployed: Option<Deployed<'_>>,
    errors: &PerChild<Option<ChildError>>,
) -> ConditionValue {
    if group.paused {
        return no(Reason::PausedBySpec, "spec.paused is true: the operator does not roll out the spec");
    }
    let error = errors[ChildKind::Deployment].as_ref();
    if let Some(reason) = error.and_then(ChildError::reason) {
        return no(reason, "the Deployment cannot be written: see condition Ready");
    }
    of_deployment(&group.name, deployed)
}

/// The same without the group's spec.
pub(super) fn of_deployment(name: &str, deployed: Option<Deployed<'_>>) -> ConditionValue {
    let Some(Deployed { facts, rollout }) = deployed else {
        return unknown(Reason::RollingOut, "the Deployment does not exist yet");
    };
    match rollout {
        Rollout::ScaledToZero => no(Reason::ScaledToZero, format!("Deployment {name} is scaled to 0")),
        Rollout::Unobserved => {
            yes(Reason::RollingOut, "waiting for the Deployment controller to see the current pod template")
        }
        Rollout::Paused { .. } => no(
            Reason::RolloutPaused,
            format!("Deployment {name} is paused; to resume it: kubectl rollout resume deployment/{name}"),
        ),
        Rollout::Refused(why) => no_quoting(refusal(why), why),
        Rollout::Delayed(why) => {
            ConditionValue { status: ConditionStatus::True, ..no_quoting(Reason::ReplicaFailure, why) }
        }
        Rollout::Stuck(why) => no_quoting(Reason::RolloutStuck, why),
        Rollout::RollingOut => yes(Reason::RollingOut, rolling_out(facts)),
        Rollout::Scaling => yes(
            Reason::Scaling,
            format!("{} of {} pods are available, {} exist", facts.available, facts.wanted, facts.replicas),
        ),
        Rollout::Complete => no(
            Reason::RolloutComplete,
            format!("all pods ({}) are of the current pod template and available", facts.wanted),
        ),
    }
}

/// Whether the last rollout was over by this condition.
pub(super) fn is_over(progressing: Option<&Condition>) -> bool {
    let reason = progressing.and_then(|progressing| Reason::named(&progressing.reason));
    matches!(reason, Some(Reason::RolloutComplete | Reason::Scaling | Reason::ScaledToZero))
}

/// What is missing until `kubectl rollout status` ends.
pub(super) fn rolling_out(facts: &DeploymentFacts) -> String {
    format!(
        "{} of {} pods are of the current pod template, {} of an earlier one are left, {} pods are available",
        facts.updated,
        facts.wanted,
        facts.replicas.saturating_sub(facts.updated),
        facts.available
    )
}

/// The reason for a refusal of the API server.
pub(super) fn refusal(why: &str) -> Reason {
    match Refusal::of(why) {
        Refusal::Quota => Reason::QuotaExceeded,
        Refusal::Passing | Refusal::Verdict => Reason::ReplicaFailure,
    }
}
