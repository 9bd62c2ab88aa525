//! The reasons of the Normal Events of a group. A Warning has the reason of its condition.

use crate::condition::named;

named!(
    /// What happened to a group.
    EventReason {
        /// The ceiling is higher: more consumers may run.
        CeilingRaised,
        /// The ceiling is lower: fewer consumers may run.
        CeilingLowered,
        /// A rollout has ended: all pods are of the current pod template and were available.
        RolloutComplete,
        /// spec.paused was set: the operator does not change the owned resources.
        Paused,
        /// spec.paused was unset: the operator changes the owned resources again.
        Resumed,
    }
);
