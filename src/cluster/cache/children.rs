//! The children of the cache.

use kcg_core::ceiling::Held;
use kcg_core::children::ChildKind;
use kcg_core::drift::Drift;
use kcg_core::facts::{Child, predicate};
use kcg_runtime::watch::ObjectKey;

use super::{Affected, ClusterCache, GroupEntry};
use crate::cluster::cached_child::CachedChild;

impl ClusterCache {
    /// Stores a child.
    pub(in crate::cluster) fn set_child(
        &mut self,
        key: &ObjectKey,
        kind: ChildKind,
        mut child: CachedChild,
    ) -> Affected {
        let entry = self.entries.entry(key.clone()).or_default();
        if child.is_from_own_write() && entry.tombstones.iter().any(|uid| **uid == *child.uid()) {
            return vec![key.clone()];
        }
        let shown = entry.group.as_ref().map(|group| group.shown_lag()).unwrap_or_default();
        let is_relevant = match entry.children[kind].as_deref() {
            Some(known) if child.is_outdated(known) => return Vec::new(),
            Some(known) => {
                child.keep_source(known);
                child.keep_held_partitions(known);
                predicate::is_relevant(&known.child(), &child.child(), &shown)
            }
            None => true,
        };
        if child.is_autoscaler_of(entry.group_uid()) {
            entry.remembered = None;
        }
        if let Some(group) = &entry.group {
            child.share_controller(&group.uid);
        }
        entry.children[kind] = Some(Box::new(child));
        if is_relevant { vec![key.clone()] } else { Vec::new() }
    }

    /// The watch reported a child that is not read, because it is too large. The write that reads it
    /// reports why.
    pub(in crate::cluster) fn set_unreadable(&mut self, key: &ObjectKey, kind: ChildKind) -> Affected {
        let known = self.entries.get_mut(key).and_then(|entry| entry.children[kind].as_mut());
        if known.is_some_and(|known| known.forget_drift()) { vec![key.clone()] } else { Vec::new() }
    }

    /// The child was read from the API server. The watch reports a child as deleted, too, if it
    /// loses the label that the watch selects.
    pub(in crate::cluster) fn remove_tombstone(&mut self, key: &ObjectKey, uid: &str) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.tombstones.retain(|tombstone| **tombstone != *uid);
        }
    }

    /// The child as it was last seen.
    pub(in crate::cluster) fn child(&self, key: &ObjectKey, kind: ChildKind) -> Option<Child> {
        Some(self.entries.get(key)?.children[kind].as_ref()?.child())
    }

    /// The known drift of the child, if it was compared when it had this fingerprint.
    pub(in crate::cluster) fn known_drift(
        &self,
        key: &ObjectKey,
        kind: ChildKind,
        fingerprint: u64,
    ) -> Option<Drift> {
        self.entries.get(key)?.children[kind].as_ref()?.known_drift(fingerprint)
    }

    /// Removes a deleted child.
    pub(in crate::cluster) fn remove_child(&mut self, key: &ObjectKey, kind: ChildKind) -> Affected {
        let Some(entry) = self.entries.get_mut(key) else {
            return Vec::new();
        };
        let Some(child) = entry.children[kind].take() else {
            return Vec::new();
        };
        if child.is_autoscaler_of(entry.group_uid()) {
            entry.remembered = child.held();
        }
        // As many as a group has children.
        entry.tombstones.truncate(ChildKind::COUNT - 1);
        entry.tombstones.push_front(child.uid().into());
        self.drop_if_empty(key);
        vec![key.clone()]
    }

    /// All objects of a kind were listed again, and so each child that the watch reports was reported. One that
    /// only the response to an own write has reported may have been deleted before the list. If it exists
    /// nevertheless, its creation is refused, and it is read.
    pub(in crate::cluster) fn remove_unreported(&mut self, kind: ChildKind) -> Affected {
        let is_unreported =
            |entry: &GroupEntry| entry.children[kind].as_ref().is_some_and(|child| child.is_from_own_write());
        let entries = self.entries.iter().filter(|(_, entry)| is_unreported(entry));
        let keys: Vec<ObjectKey> = entries.map(|(key, _)| key.clone()).collect();
        keys.iter().flat_map(|key| self.remove_child(key, kind)).collect()
    }

    /// Sets whether the cluster serves a kind of child.
    pub(in crate::cluster) fn set_served(&mut self, kind: ChildKind, served: bool) -> Affected {
        let not_served = std::mem::replace(&mut self.not_served[kind], !served);
        if not_served != served {
            return Vec::new();
        }
        if !served {
            self.entries.values_mut().for_each(|entry| entry.children[kind] = None);
            self.entries.retain(|_, entry| !entry.is_empty());
        }
        self.keys()
    }

    /// Whether the cluster serves a kind of child.
    pub(in crate::cluster) fn serves(&self, kind: ChildKind) -> bool {
        !self.not_served[kind]
    }

    /// All objects of a kind of child have been listed.
    pub(in crate::cluster) fn set_listed(&mut self, kind: ChildKind) {
        self.listed[kind] = true;
    }

    /// Whether all objects of a kind of child have been listed once.
    pub(in crate::cluster) fn has_listed(&self, kind: ChildKind) -> bool {
        self.listed[kind]
    }

    /// Remembers the held partitions of a group that has no autoscaler to store them.
    pub(in crate::cluster) fn remember(&mut self, key: &ObjectKey, held: Held) {
        if let Some(entry) = self.entries.get_mut(key) {
            let is_needed = entry.own_autoscaler().is_none() && !held.0.is_empty();
            entry.remembered = is_needed.then_some(held);
        }
    }

    /// The average lag in thousandths of a record, as the group's autoscaler last read it.
    pub(in crate::cluster) fn lag_milli(&self, key: &ObjectKey) -> Option<i64> {
        let entry = self.entries.get(key)?;
        entry.own_autoscaler()?.autoscaler()?.lag_milli(&entry.group.as_ref()?.lag_metrics)
    }
}
