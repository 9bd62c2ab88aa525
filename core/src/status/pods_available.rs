//! Condition Ready, as far as the pods decide it: at least minReplicas pods of the current pod
//! template must be available. More pods than that, which the autoscaler adds, make no difference.

use kcg_api::condition::Reason;
use kcg_api::{ValidGroup, names};

use super::before::Before;
use super::condition::{ConditionStatus, ConditionValue, no, no_quoting, unknown, yes};
use super::progressing::{Deployed, refusal, rolling_out};
use crate::ceiling::Ceiling;
use crate::children::{ChildKind, desired_after};
use crate::drift::Drift;
use crate::facts::{DeploymentFacts, Observed};
use crate::refusal::Refusal;
use crate::rollout::{Rollout, is_rolled_out};

/// What a rollout without a single available pod is reported with.
const CRASHING: &str = "No pod of the current pod template became available within progressDeadlineSeconds and minReadySeconds: the new pods crash again and again, or never become ready.";

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
    let trusted = group.paused || before.was_rolled_out(group.generation, facts);
    let too_few = facts.available < min_in_force(group, observed, ceiling);
    let is_late = || {
        let lost = is_rolled_out(facts, trusted) && too_few;
        before.is_out_of_time(group, facts) || (lost && before.has_waited(group, facts))
    };
    let rollout = match Rollout::of(facts, trusted) {
        Rollout::RollingOut if is_late() => Rollout::Stuck(CRASHING),
        Rollout::Delayed(why) if is_late() => Rollout::Stuck(why),
        rollout => rollout,
    };
    let is_current = trusted || (facts.is_observed && is_written(group, observed, ceiling));
    let still_fails = || before.had_failed(group.generation) && is_written(group, observed, ceiling);
    let rollout = match rollout {
        Rollout::ScaledToZero => Rollout::ScaledToZero,
        rollout if is_current => rollout,
        // What was scaled, or written again, may still fail, but does not run before it is observed.
        Rollout::Stuck(_) | Rollout::Refused(_) if still_fails() => rollout,
        _ => Rollout::Unobserved,
    };
    Some(Deployed { facts, rollout })
}

/// Whether the Deployment is the one that the group's spec describes.
fn is_written(group: &ValidGroup, observed: &Observed, ceiling: &Ceiling) -> bool {
    let inherited = observed.inherited(&group.uid);
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
        Rollout::Delayed(why) => Some(delayed(facts, why, enough)),
        Rollout::Paused { .. } => Some(paused(name, facts, min)),
    }
}

/// If only pods above the minimum are refused, the group is ready.
fn refused(facts: &DeploymentFacts, why: &str, enough: bool) -> ConditionValue {
    let sentence =
        format!("{} of {} pods exist, the API server refuses more: {why}", facts.replicas, facts.wanted);
    let refused = no_quoting(refusal(why), sentence);
    let status = if enough && is_rolled_out(facts, false) { ConditionStatus::True } else { refused.status };
    ConditionValue { status, ..refused }
}

/// The refusal may pass: until its deadline the pods are only late.
fn delayed(facts: &DeploymentFacts, why: &str, enough: bool) -> ConditionValue {
    let value = refused(facts, why, enough);
    let status = match value.status {
        ConditionStatus::False => ConditionStatus::Unknown,
        status => status,
    };
    ConditionValue { status, ..value }
}

/// A paused rollout that has too few pods, or pods of an earlier template.
fn paused(name: &str, facts: &DeploymentFacts, min: i32) -> ConditionValue {
    let command = format!("kubectl rollout resume deployment/{name}");
    if facts.available < min {
        let pods = format!("{} of at least {min} pods are available", facts.available);
        let sentence = format!("{pods}, and Deployment {name} is paused: {command}");
        // A paused Deployment still replaces the pods that it loses.
        return match &facts.refused {
            Some(why) => {
                let passes = Refusal::of(why) == Refusal::Passing;
                let reason = if passes { Reason::PodsNotReady } else { refusal(why) };
                no_quoting(reason, format!("{sentence}; the API server refuses more pods: {why}"))
            }
            None => no(Reason::PodsNotReady, sentence),
        };
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
