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
        if child.is_from_response() && entry.tombstones.iter().any(|uid| **uid == *child.uid()) {
            return vec![key.clone()];
        }
        let shown = entry.group.as_ref().map(|group| group.shown_lag()).unwrap_or_default();
        let is_relevant = match entry.children[kind].as_deref_mut() {
            Some(known) if child.is_outdated(known) => {
                if !child.is_from_response() {
                    known.set_reported();
                }
                return Vec::new();
            }
            Some(known) => {
                child.keep_reports(known);
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

    /// Stores a child from the response to a request that was sent after so many lists. Returns whether it did:
    /// if there was another list meanwhile, a child that is not known may have been deleted before it.
    pub(in crate::cluster) fn set_child_of_response(
        &mut self,
        key: &ObjectKey,
        kind: ChildKind,
        child: CachedChild,
        lists: u64,
    ) -> bool {
        let known = self.entries.get(key).and_then(|entry| entry.children[kind].as_ref());
        let is_certain = self.lists[kind] == lists || known.is_some_and(|known| known.uid() == child.uid());
        if is_certain {
            self.set_child(key, kind, child);
        }
        is_certain
    }

    /// The watch reported a child that is not read, because it is too large. The write that reads it
    /// reports why.
    pub(in crate::cluster) fn set_unreadable(&mut self, key: &ObjectKey, kind: ChildKind) -> Affected {
        let Some(known) = self.entries.get_mut(key).and_then(|entry| entry.children[kind].as_mut()) else {
            return Vec::new();
        };
        known.set_reported();
        if known.forget_drift() { vec![key.clone()] } else { Vec::new() }
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
        let Some(child) = self.take_child(key, kind) else {
            return Vec::new();
        };
        if let Some(entry) = self.entries.get_mut(key) {
            // As many as a group has children.
            entry.tombstones.truncate(ChildKind::COUNT - 1);
            entry.tombstones.push_front(child.uid().into());
        }
        self.drop_if_empty(key);
        vec![key.clone()]
    }

    fn take_child(&mut self, key: &ObjectKey, kind: ChildKind) -> Option<Box<CachedChild>> {
        let entry = self.entries.get_mut(key)?;
        let child = entry.children[kind].take()?;
        if child.is_autoscaler_of(entry.group_uid()) {
            entry.remembered = child.held();
        }
        Some(child)
    }

    /// All objects of a kind were listed again, in a namespace or in all. A child that no list and no event has
    /// reported was perhaps created and deleted before the list. If it exists nevertheless, its creation is refused,
    /// and it is read.
    pub(in crate::cluster) fn remove_unreported(
        &mut self,
        kind: ChildKind,
        namespace: Option<&str>,
    ) -> Affected {
        self.lists[kind] += 1;
        let is_unreported =
            |entry: &GroupEntry| entry.children[kind].as_ref().is_some_and(|child| !child.is_reported());
        let is_listed = |key: &ObjectKey| namespace.is_none_or(|namespace| key.namespace() == namespace);
        let unreported = self.entries.iter().filter(|(key, entry)| is_listed(key) && is_unreported(entry));
        let keys: Affected = unreported.map(|(key, _)| key.clone()).collect();
        for key in &keys {
            self.take_child(key, kind);
            self.drop_if_empty(key);
        }
        keys
    }

    /// How many lists of a kind were complete so far.
    pub(in crate::cluster) fn lists(&self, kind: ChildKind) -> u64 {
        self.lists[kind]
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
