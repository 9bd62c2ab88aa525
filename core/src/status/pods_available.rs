//! Condition Ready, as far as the pods decide it: at least minReplicas pods of the current pod
//! template must be available. More pods than that, which the autoscaler adds, make no difference.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kcg_api::condition::{ConditionType, Reason};
use kcg_api::{KconsumerGroupStatus, ValidGroup, names};

use super::condition::{ConditionStatus, ConditionValue, find, no, no_quoting, unknown, yes};
use super::progressing::{Deployed, refusal, rolling_out};
use crate::ceiling::Ceiling;
use crate::children::{ChildKind, Inherited, desired_after};
use crate::drift::Drift;
use crate::facts::{DeploymentFacts, Observed};
use crate::rollout::{Rollout, is_rolled_out};

/// How long pods that were added may take to become available before the group counts as not
/// ready, as the default of a Deployment's progressDeadlineSeconds. The Deployment controller has
/// no deadline for them.
const DEADLINE: SignedDuration = SignedDuration::from_secs(600);

/// What a rollout without a single available pod is reported with.
const CRASHING: &str = "No pod of the current pod template became available within progressDeadlineSeconds and minReadySeconds: the new pods crash again and again, or never become ready.";

/// What the last status reported about readiness.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before<'a> {
    pub(super) ready: Option<&'a Condition>,
    pub(super) now: Timestamp,
}

impl<'a> Before<'a> {
    pub(super) fn of(status: &'a KconsumerGroupStatus, now: Timestamp) -> Self {
        Self { ready: find(&status.conditions, ConditionType::Ready), now }
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
    fn is_out_of_time(self, group: &ValidGroup, facts: &DeploymentFacts) -> bool {
        let earlier = facts.replicas.saturating_sub(facts.updated);
        let Some(ready) = self.ready.filter(|_| self.is_of(group.generation)) else { return false };
        if facts.available > earlier {
            return false;
        }
        match (self.status(), Reason::named(&ready.reason)) {
            (Some(ConditionStatus::Unknown), Some(Reason::RollingOut)) => {
                self.now.duration_since(end_of_rollout(group, facts, ready)) >= SignedDuration::ZERO
            }
            (Some(ConditionStatus::False), reason) => reason == Some(Reason::RolloutStuck),
            _ => false,
        }
    }

    /// Whether the pods of the current template were available once for this generation. Ready is
    /// Unknown with the reason Scaling only after that.
    fn was_rolled_out(self, generation: i64) -> bool {
        let scales = self.ready.is_some_and(|ready| ready.reason == Reason::Scaling.as_str());
        self.is_of(generation) && (self.status() != Some(ConditionStatus::Unknown) || scales)
    }

    /// Whether the pods of this generation may still be on their way up.
    fn may_wait(self, generation: i64) -> bool {
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
            Reason::RollingOut => {
                let end = end_of_rollout(group, observed.deployment(&group.uid)?, ready);
                Some(now.duration_until(end)).filter(|left| *left > SignedDuration::ZERO)?
            }
            _ => return None,
        };
    Duration::try_from(left).ok()
}

/// The group's Deployment; `None` if it does not exist.
pub(super) fn deployed<'a>(
    group: &ValidGroup,
    observed: &'a Observed,
    ceiling: &Ceiling,
    before: Before<'_>,
) -> Option<Deployed<'a>> {
    let facts = observed.deployment(&group.uid)?;
    // A Deployment that was only scaled since has the same pods, and the controller sees it within
    // milliseconds. After a change of the group, its old status says nothing about the new spec.
    let trusted = group.paused || before.was_rolled_out(group.generation);
    let rollout = match Rollout::of(facts, trusted) {
        Rollout::ScaledToZero => Rollout::ScaledToZero,
        _ if !trusted && !is_written(group, observed, ceiling) => Rollout::Unobserved,
        Rollout::RollingOut if before.is_out_of_time(group, facts) => Rollout::Stuck(CRASHING),
        rollout => rollout,
    };
    Some(Deployed { facts, rollout })
}

/// Whether the Deployment is the one that the group's spec describes.
fn is_written(group: &ValidGroup, observed: &Observed, ceiling: &Ceiling) -> bool {
    let inherited = Inherited::from(observed, &group.uid);
    let desired = desired_after(ChildKind::Deployment, group, ceiling, &inherited);
    let child = observed.own(ChildKind::Deployment, &group.uid);
    child.zip(desired).is_some_and(|(child, desired)| child.drift == Drift::InSync(desired.digest()))
}

/// What keeps the group from being ready, or what a person has to know about its pods.
pub(super) fn pods_available(
    group: &ValidGroup,
    observed: &Observed,
    ceiling: &Ceiling,
    deployed: Option<Deployed<'_>>,
    before: Before<'_>,
) -> Option<ConditionValue> {
    let Some(Deployed { facts, rollout }) = deployed else {
        return Some(if group.paused {
            no(Reason::PodsNotReady, "spec.paused is true, so no Deployment is created: set it to false")
        } else {
            unknown(Reason::RollingOut, "the Deployment does not exist yet")
        });
    };
    let name = &group.name;
    let min = min_in_force(group, observed, ceiling);
    let enough = facts.available >= min;
    match rollout {
        Rollout::Paused { outdated: false } | Rollout::Scaling | Rollout::Complete if enough => None,
        Rollout::Scaling | Rollout::Complete => Some(too_few(group, observed, facts, min, before)),
        Rollout::ScaledToZero => Some(no(
            Reason::ScaledToZero,
            format!(
                "0 consumers run, fewer than minReplicas ({min}): Deployment {name} was scaled to 0, which turns its autoscaling off; to start it again: kubectl scale deployment/{name} --replicas={min}"
            ),
        )),
        Rollout::Unobserved => Some(unknown(
            Reason::RollingOut,
            "waiting for the Deployment controller to see the current pod template",
        )),
        Rollout::RollingOut => Some(unknown(Reason::RollingOut, rolling_out(facts))),
        Rollout::Stuck(why) => Some(no_quoting(
            Reason::RolloutStuck,
            format!("{why} {} of {} pods are ready; {}", facts.ready, facts.replicas, describe(name)),
        )),
        Rollout::Refused(why) => Some(refused(facts, why, enough)),
        Rollout::Paused { .. } => Some(paused(name, facts, min)),
    }
}

/// If only pods above the minimum are refused, the group is ready.
fn refused(facts: &DeploymentFacts, why: &str, enough: bool) -> ConditionValue {
    let sentence =
        format!("{} of {} pods exist, the API server refuses more: {why}", facts.replicas, facts.wanted);
    let refused = no_quoting(refusal(why), sentence);
    let status = if enough && is_rolled_out(facts) { ConditionStatus::True } else { refused.status };
    ConditionValue { status, ..refused }
}

/// A paused rollout that has too few pods, or pods of an earlier template.
fn paused(name: &str, facts: &DeploymentFacts, min: i32) -> ConditionValue {
    let command = format!("kubectl rollout resume deployment/{name}");
    if facts.available < min {
        let pods = format!("{} of at least {min} pods are available", facts.available);
        return no(Reason::PodsNotReady, format!("{pods}, and Deployment {name} is paused: {command}"));
    }
    yes(
        Reason::RolloutPaused,
        format!(
            "the pods still run a previous pod template, because Deployment {name} is paused; to roll out the current one: {command}"
        ),
    )
}

/// The fewest consumers that the last apply asked for.
fn min_in_force(group: &ValidGroup, observed: &Observed, ceiling: &Ceiling) -> i32 {
    if !group.paused {
        return ceiling.min;
    }
    observed.autoscaler(&group.uid).map_or(1, |facts| facts.min_replicas.max(1))
}

fn too_few(
    group: &ValidGroup,
    observed: &Observed,
    facts: &DeploymentFacts,
    min: i32,
    before: Before<'_>,
) -> ConditionValue {
    let pods = format!("{} of at least {min} pods are available", facts.available);
    if facts.wanted < min {
        let name = &group.name;
        let autoscaler = observed.autoscaler(&group.uid);
        return if autoscaler.is_some_and(|facts| facts.unable.is_none()) {
            unknown(
                Reason::Scaling,
                format!(
                    "{pods}; the HorizontalPodAutoscaler raises the Deployment from {} pods",
                    facts.wanted
                ),
            )
        } else {
            no(
                Reason::PodsNotReady,
                format!(
                    "{pods}, and no HorizontalPodAutoscaler raises them: kubectl scale deployment/{name} --replicas={min}"
                ),
            )
        };
    }
    if facts.replicas < min || before.may_wait(group.generation) {
        return unknown(Reason::Scaling, pods);
    }
    no(Reason::PodsNotReady, format!("{pods}; {}", describe(&group.name)))
}

fn describe(name: &str) -> String {
    format!("see kubectl describe pods -l {}={name}", names::LABEL_GROUP)
}
