//! How far a Deployment has rolled out its pod template, as `kubectl rollout status` decides it.

use crate::facts::{DeploymentFacts, Progress};
use crate::refusal::Refusal;

/// What the Deployment controller is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollout<'a> {
    /// spec.replicas is 0.
    ScaledToZero,
    /// It is not known to have reported about the current spec yet.
    Unobserved,
    /// spec.paused: it scales, but rolls out nothing.
    Paused {
        /// The pods are of an earlier pod template.
        outdated: bool,
    },
    /// The API server refuses the pods, and that is why.
    Refused(&'a str),
    /// The API server refuses the pods for a reason that may pass, and that is why.
    Delayed(&'a str),
    /// It makes no progress, and that is why.
    Stuck(&'a str),
    /// The pods of the current template are not all available yet.
    RollingOut,
    /// The pods of the current template were available once. Now their number changes, or some are
    /// not available.
    Scaling,
    /// All pods are of the current template and available.
    Complete,
}

impl<'a> Rollout<'a> {
    /// The state of a Deployment by its status, of whatever generation that is. `was_rolled_out`: the
    /// pods of the current pod template are known to have been available before.
    pub fn of(facts: &'a DeploymentFacts, was_rolled_out: bool) -> Self {
        if facts.wanted == 0 {
            return Self::ScaledToZero;
        }
        if facts.paused {
            let outdated = facts.updated < facts.replicas || facts.replicas == 0;
            return Self::Paused { outdated };
        }
        let rolled_out = is_rolled_out(facts, was_rolled_out);
        if rolled_out && facts.replicas == facts.wanted && facts.available >= facts.wanted {
            return Self::Complete;
        }
        match (&facts.refused, &facts.progress) {
            (Some(why), Progress::Stuck(_)) if Refusal::of(why) != Refusal::Verdict => Self::Stuck(why),
            (Some(why), _) if Refusal::of(why) == Refusal::Passing => Self::Delayed(why),
            (Some(why), _) => Self::Refused(why),
            (None, Progress::Stuck(why)) => Self::Stuck(why),
            (None, _) if rolled_out => Self::Scaling,
            (None, _) => Self::RollingOut,
        }
    }
}

/// Whether only pods of the current template exist, and all of them were available at some moment
/// since that template was applied. A scale-up does not change it.
///
/// With the strategy Recreate there are no pods at all for a while, and the Deployment still has
/// the reason NewReplicaSetAvailable of the rollout before. So that reason counts only if a pod is
/// available, or if the rollout is known to be over.
pub fn is_rolled_out(facts: &DeploymentFacts, was_rolled_out: bool) -> bool {
    let all_available =
        facts.updated > 0 && facts.updated >= facts.wanted && facts.available >= facts.updated;
    let completed = facts.progress == Progress::Completed && (facts.available > 0 || was_rolled_out);
    facts.updated == facts.replicas && (completed || all_available)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// spec.replicas, status.replicas, updatedReplicas, availableReplicas, and whether the reason
    /// of Progressing is NewReplicaSetAvailable.
    fn facts(counts: [i32; 4], completed: bool) -> DeploymentFacts {
        let [wanted, replicas, updated, available] = counts;
        DeploymentFacts {
            is_observed: true,
            wanted,
            replicas,
            updated,
            ready: available,
            available,
            progress: if completed { Progress::Completed } else { Progress::Other },
            ..DeploymentFacts::default()
        }
    }

    #[test]
    fn a_rollout_is_complete_when_kubectl_rollout_status_says_so() {
        for (what, counts, completed, want) in [
            ("settled", [3, 3, 3, 3], true, Rollout::Complete),
            ("settled, without a progress deadline", [3, 3, 3, 3], false, Rollout::Complete),
            ("the first pods are created", [3, 0, 0, 0], false, Rollout::RollingOut),
            ("the first pods start", [3, 3, 3, 1], false, Rollout::RollingOut),
            ("new pods surge", [3, 5, 2, 3], false, Rollout::RollingOut),
            ("an old pod is left", [3, 4, 3, 4], false, Rollout::RollingOut),
            ("the same, just after a rollback", [3, 4, 3, 4], true, Rollout::RollingOut),
            ("old pods are left only", [3, 3, 0, 3], true, Rollout::RollingOut),
            ("scaled up, nothing created yet", [12, 1, 1, 1], true, Rollout::Scaling),
            ("scaled up, pods start", [12, 12, 12, 1], true, Rollout::Scaling),
            ("scaled down", [1, 3, 3, 3], true, Rollout::Scaling),
            ("a pod was lost", [3, 3, 3, 2], true, Rollout::Scaling),
            ("Recreate: the old pods are gone", [1, 0, 0, 0], true, Rollout::RollingOut),
            (
                "Recreate, back to an earlier template: the pod starts",
                [1, 1, 1, 0],
                true,
                Rollout::RollingOut,
            ),
            ("scaled to zero", [0, 0, 0, 0], true, Rollout::ScaledToZero),
        ] {
            assert_eq!(Rollout::of(&facts(counts, completed), false), want, "{what}");
        }
    }

    #[test]
    fn pods_that_are_all_gone_are_scaling_once_their_template_was_rolled_out() {
        for counts in [[2, 0, 0, 0], [2, 2, 2, 0]] {
            assert_eq!(Rollout::of(&facts(counts, true), true), Rollout::Scaling, "{counts:?}");
        }
        assert_eq!(Rollout::of(&facts([2, 1, 0, 1], true), true), Rollout::RollingOut);
    }

    #[test]
    fn a_paused_deployment_is_outdated_if_its_pods_are_of_another_template() {
        let paused = |counts| DeploymentFacts { paused: true, ..facts(counts, false) };
        for (counts, outdated) in [([2, 2, 2, 2], false), ([2, 2, 0, 2], true), ([2, 0, 0, 0], true)] {
            assert_eq!(Rollout::of(&paused(counts), false), Rollout::Paused { outdated }, "{counts:?}");
        }
    }

    #[test]
    fn a_refusal_is_quoted_and_becomes_stuck_at_the_deadline_unless_it_is_a_verdict() {
        let (quota, policy) = ("exceeded quota: pods", "violates PodSecurity");
        let webhook = "failed calling webhook \"w\": connection refused";
        for (refused, stuck, want) in [
            (Some(quota), None, Rollout::Refused(quota)),
            (Some(quota), Some("timed out"), Rollout::Stuck(quota)),
            (Some(policy), Some("timed out"), Rollout::Refused(policy)),
            (Some(policy), None, Rollout::Refused(policy)),
            (Some(webhook), None, Rollout::Delayed(webhook)),
            (Some(webhook), Some("timed out"), Rollout::Stuck(webhook)),
            (None, Some("timed out"), Rollout::Stuck("timed out")),
        ] {
            let facts = DeploymentFacts {
                refused: refused.map(Into::into),
                progress: stuck.map_or(Progress::Other, |why| Progress::Stuck(why.into())),
                ..facts([2, 1, 0, 1], false)
            };
            assert_eq!(Rollout::of(&facts, false), want);
        }
        // What is left of an earlier refusal does not matter once all pods are there.
        let facts = DeploymentFacts { refused: Some(quota.into()), ..facts([1, 1, 1, 1], true) };
        assert_eq!(Rollout::of(&facts, false), Rollout::Complete);
    }
}
