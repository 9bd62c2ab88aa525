//! The cached facts of a child, and the fields needed to judge its next event.

use std::sync::Arc;

use kcg_core::ceiling::Held;
use kcg_core::drift::Drift;
use kcg_core::facts::{AutoscalerFacts, Child, Detail};

/// A child as it was last seen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CachedChild {
    /// Without the held partitions of an autoscaler.
    child: Child,
    /// The held partitions as annotation text, which takes a tenth of the memory of the parsed map.
    held: Option<Box<str>>,
    /// Of everything that its drift was computed from.
    fingerprint: u64,
    source: ChildSource,
    /// Whether the watch has reported an object of this uid.
    reported: bool,
}

/// Where the version of a child is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildSource {
    /// A list or an event.
    Watch,
    /// The response to a request of the controller, which the watch has not reached yet.
    Response,
}

impl CachedChild {
    pub(super) fn new(mut child: Child, fingerprint: u64, source: ChildSource) -> Self {
        let held = match &mut child.detail {
            Detail::Autoscaler(facts) => facts.held.take().map(|held| held.annotation().into()),
            _ => None,
        };
        Self { child, held, fingerprint, source, reported: source == ChildSource::Watch }
    }

    /// The facts.
    pub(super) fn child(&self) -> Child {
        let mut child = self.child.clone();
        if let (Detail::Autoscaler(facts), Some(held)) = (&mut child.detail, &self.held) {
            facts.held = Held::parse(held);
        }
        child
    }

    /// Shares the uid of its group, if the group controls it.
    pub(super) fn share_controller(&mut self, group_uid: &Arc<str>) {
        let controller = self.child.controller.as_mut();
        if let Some(controller) = controller.filter(|controller| *controller == group_uid) {
            controller.clone_from(group_uid);
        }
    }

    pub(super) fn uid(&self) -> &str {
        &self.child.uid
    }

    /// The held partitions of an autoscaler.
    pub(super) fn held(&self) -> Option<Held> {
        self.held.as_deref().and_then(Held::parse)
    }

    pub(super) fn is_from_response(&self) -> bool {
        self.source == ChildSource::Response
    }

    /// Whether the watch has reported an object of this uid.
    pub(super) fn is_reported(&self) -> bool {
        self.reported
    }

    /// The watch has reported it, in an older version or in one that cannot be read.
    pub(super) fn set_reported(&mut self) {
        self.reported = true;
    }

    /// Whether `known` is newer, and the response to a request of the controller is involved: the
    /// watch lags behind it. An older version from a list alone is accepted: the cluster may
    /// have been restored from a backup.
    pub(super) fn is_outdated(&self, known: &Self) -> bool {
        self.child.uid == known.child.uid
            && self.child.resource_version < known.child.resource_version
            && (known.is_from_response() || self.is_from_response())
    }

    /// The watch has reported what it has reported before. It may have been faster than the response, and it
    /// reports each version once.
    pub(super) fn keep_reports(&mut self, known: &Self) {
        if self.child.uid == known.child.uid {
            self.reported |= known.reported;
            if self.child.resource_version == known.child.resource_version && !known.is_from_response() {
                self.source = ChildSource::Watch;
            }
        }
    }

    /// If another field manager changed the held partitions, the change is reverted and ignored
    /// until then.
    pub(super) fn keep_held_partitions(&mut self, known: &Self) {
        let is_foreign = matches!(&self.child.detail, Detail::Autoscaler(facts) if facts.held_is_foreign);
        if is_foreign && known.child.uid == self.child.uid && known.held.is_some() {
            self.held.clone_from(&known.held);
        }
    }

    /// Its current state could not be read, so it is read before it is written. Returns whether that is
    /// news.
    pub(super) fn forget_drift(&mut self) -> bool {
        self.child.resource_version = 0;
        std::mem::take(&mut self.child.drift) != Drift::Unknown
    }

    /// Whether it is an autoscaler that the group of this uid controls.
    pub(super) fn is_autoscaler_of(&self, group_uid: Option<&str>) -> bool {
        self.autoscaler().is_some() && group_uid.is_some() && self.child.controller.as_deref() == group_uid
    }

    /// The facts of an autoscaler, without the held partitions.
    pub(super) fn autoscaler(&self) -> Option<&AutoscalerFacts> {
        match &self.child.detail {
            Detail::Autoscaler(facts) => Some(facts),
            _ => None,
        }
    }

    /// Its drift, if it was compared when it had this fingerprint.
    pub(super) fn known_drift(&self, fingerprint: u64) -> Option<Drift> {
        let drift = self.child.drift;
        (self.fingerprint == fingerprint && drift != Drift::Unknown).then_some(drift)
    }
}

#[cfg(test)]
mod tests {
    use kcg_core::facts::DeploymentFacts;

    use super::*;

    #[test]
    fn a_cached_child_takes_few_bytes() {
        // Ten thousand groups have 50,000 of them. Their texts come on top.
        assert!(size_of::<CachedChild>() <= 144, "{}", size_of::<CachedChild>());
        assert!(size_of::<DeploymentFacts>() <= 144, "{}", size_of::<DeploymentFacts>());
        assert!(size_of::<AutoscalerFacts>() <= 144, "{}", size_of::<AutoscalerFacts>());
    }
}
