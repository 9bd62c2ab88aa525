//! What the last status says about the readiness of a group: whether its pods have run, how long
//! they have been awaited, and when that has to be looked at again.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kcg_api::condition::{ConditionType, Reason};
use kcg_api::{KconsumerGroupStatus, ValidGroup};

use super::condition::{ConditionStatus, find};
use super::progressing::is_over;
use crate::facts::{DeploymentFacts, Observed};

/// How long pods that were added may take to become available before the group counts as not
/// ready, as the default of a Deployment's progressDeadlineSeconds. The Deployment controller has
/// no deadline for them.
const DEADLINE: SignedDuration = SignedDuration::from_secs(600);

/// What the last status reported about readiness.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before<'a> {
    ready: Option<&'a Condition>,
    progressing: Option<&'a Condition>,
    now: Timestamp,
}

impl<'a> Before<'a> {
    pub(super) fn of(status: &'a KconsumerGroupStatus, now: Timestamp) -> Self {
        let [ready, progressing] =
            [ConditionType::Ready, ConditionType::Progressing].map(|type_| find(&status.conditions, type_));
        Self { ready, progressing, now }
    }

    fn status(self) -> Option<ConditionStatus> {
        Some(ConditionStatus::parse(&self.ready?.status))
    }

    fn is_of(self, generation: i64) -> bool {
        self.ready.and_then(|ready| ready.observed_generation) == Some(generation)
    }

    /// Whether a rollout has had its time, and no pod of the current template is available. For the
    /// Deployment controller each start of a container is progress, so it never gives up pods that
    /// crash and are started again.
    pub(super) fn is_out_of_time(self, group: &ValidGroup, facts: &DeploymentFacts) -> bool {
        let earlier = facts.replicas.saturating_sub(facts.updated);
        facts.available <= earlier && self.has_waited(group, facts)
    }

    /// Whether the time for a rollout has passed since Ready became Unknown for this generation.
    pub(super) fn has_waited(self, group: &ValidGroup, facts: &DeploymentFacts) -> bool {
        let Some(ready) = self.ready.filter(|_| self.is_of(group.generation)) else { return false };
        match (self.status(), self.reason()) {
            (Some(ConditionStatus::Unknown), Some(Reason::RollingOut | Reason::ReplicaFailure)) => {
                self.now.duration_since(end_of_rollout(group, facts, ready)) >= SignedDuration::ZERO
            }
            (Some(ConditionStatus::False), reason) => reason == Some(Reason::RolloutStuck),
            _ => false,
        }
    }

    fn reason(self) -> Option<Reason> {
        Reason::named(&self.ready?.reason)
    }

    /// What Progressing said of the rollout of this generation. That of an invalid spec is the
    /// rollout of an earlier one.
    fn progressing_of(self, generation: i64) -> Option<&'a Condition> {
        let is_invalid = self.reason() == Some(Reason::InvalidSpec);
        self.progressing.filter(|seen| seen.observed_generation == Some(generation) && !is_invalid)
    }

    /// Whether the pods of the current template were available once for this generation. A failed
    /// write says nothing about them.
    pub(super) fn was_rolled_out(self, generation: i64, facts: &DeploymentFacts) -> bool {
        let was_ready = self.is_of(generation) && self.status() == Some(ConditionStatus::True);
        // As long as there are pods, the Deployment's status is of the time before it was scaled to 0.
        let is_of_before = self.reason() == Some(Reason::ScaledToZero) && facts.replicas > 0;
        was_ready || (is_over(self.progressing_of(generation)) && !is_of_before)
    }

    /// Whether the rollout of this generation had failed.
    pub(super) fn had_failed(self, generation: i64) -> bool {
        let reason = self.progressing_of(generation).and_then(|seen| Reason::named(&seen.reason));
        matches!(reason, Some(Reason::RolloutStuck | Reason::ReplicaFailure | Reason::QuotaExceeded))
    }

    /// Whether the pods of this generation may still be on their way up.
    pub(super) fn may_wait(self, generation: i64) -> bool {
        match (self.ready, self.status()) {
            (Some(ready), Some(ConditionStatus::Unknown)) => {
                self.now.duration_since(ready.last_transition_time.0) < DEADLINE
            }
            (_, Some(ConditionStatus::True)) => !self.is_of(generation),
            (_, Some(ConditionStatus::False)) => false,
            (_, None | Some(ConditionStatus::Unknown)) => true,
        }
    }
}

/// When a rollout has had its time: the Deployment's own deadline, which its controller does not
/// count from one start of a crashing pod to the next.
fn end_of_rollout(group: &ValidGroup, facts: &DeploymentFacts, ready: &Condition) -> Timestamp {
    let began = facts.applied.unwrap_or_default().max(ready.last_transition_time.0);
    let deadline = match facts.progress_deadline {
        0 => DEADLINE,
        seconds => SignedDuration::from_secs(seconds.into()),
    };
    let time = deadline + SignedDuration::from_secs(group.scaling.min_ready_seconds.into());
    began.saturating_add(time).expect("invariant: seconds have no calendar units")
}

/// When to look again although nothing changes: a group whose pods do not become available has to
/// be reported. A deadline that is over has no more effect, or an event of a pod will end it.
pub(super) fn deadline(
    group: &ValidGroup,
    observed: &Observed,
    status: &KconsumerGroupStatus,
    now: Timestamp,
) -> Option<Duration> {
    let ready = Before::of(status, now).ready?;
    let left =
        match Reason::named(&ready.reason).filter(|_| ready.status == ConditionStatus::Unknown.as_str())? {
            Reason::Scaling => {
                let left = DEADLINE - now.duration_since(ready.last_transition_time.0);
                left.max(SignedDuration::from_secs(1))
            }
            Reason::RollingOut | Reason::ReplicaFailure => {
                let end = end_of_rollout(group, observed.deployment(&group.uid)?, ready);
                Some(now.duration_until(end)).filter(|left| *left > SignedDuration::ZERO)?
            }
            _ => return None,
        };
    Duration::try_from(left).ok()
}
