//! The groups of the cache.

use std::sync::Arc;

use kcg_core::children::ChildKind;
use kcg_runtime::watch::ObjectKey;

use super::{Affected, ClusterCache, GroupEntry};
use crate::cluster::cached_group::CachedGroup;

impl ClusterCache {
    /// Stores a group. `from_own_write`: it is the response to the controller's own write, which
    /// the watch may not have reached.
    pub(in crate::cluster) fn set_group(
        &mut self,
        key: &ObjectKey,
        group: CachedGroup,
        from_own_write: bool,
    ) -> Affected {
        // The watch has already reported the deletion of this group, or a new group of its name.
        if from_own_write && self.group(key).is_none_or(|known| known.uid != group.uid) {
            return Vec::new();
        }
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.has_newer_group(&group, from_own_write) {
            return Vec::new();
        }
        // The watch may have been faster than the response, and it reports each version once.
        let is_known = entry
            .group
            .as_ref()
            .is_some_and(|known| known.uid == group.uid && known.resource_version == group.resource_version);
        entry.from_own_write = from_own_write && (entry.from_own_write || !is_known);
        let group = Arc::new(group);
        let before = entry.group.replace(group.clone());
        if before.as_ref().is_some_and(|before| before.uid != group.uid) {
            entry.remembered = None;
        }
        for kind in ChildKind::ALL {
            if let Some(child) = &mut entry.children[kind] {
                child.share_controller(&group.uid);
            }
        }
        match before {
            Some(before) if group.is_equivalent_to(&before) => Vec::new(),
            // Only the status differs, and we have just written it. If the user changed the spec in
            // the meantime, this response may be the first to report it.
            Some(before) if from_own_write && group.has_same_spec_as(&before) => Vec::new(),
            Some(before) if before.is_indexed_as(&group) => vec![key.clone()],
            before => {
                let mut affected = before.map(|before| self.unindex(key, &before)).unwrap_or_default();
                affected.extend(self.index(key, &group));
                affected.push(key.clone());
                affected
            }
        }
    }

    /// Removes a deleted group.
    pub(in crate::cluster) fn remove_group(&mut self, key: &ObjectKey) -> Affected {
        let Some(entry) = self.entries.get_mut(key) else {
            return Vec::new();
        };
        entry.remembered = None;
        entry.from_own_write = false;
        let group = entry.group.take();
        self.drop_if_empty(key);
        let mut affected = group.map(|group| self.unindex(key, &group)).unwrap_or_default();
        // The controller drops the state that it keeps of the group.
        affected.push(key.clone());
        affected
    }

    /// The cluster no longer serves KconsumerGroups: their objects were deleted with the CRD.
    pub(in crate::cluster) fn remove_groups(&mut self) -> Affected {
        self.keys().iter().flat_map(|key| self.remove_group(key)).collect()
    }

    /// Returns the groups that conflict with this one.
    fn index(&mut self, key: &ObjectKey, group: &CachedGroup) -> Affected {
        for topic in &group.topics {
            self.by_topic.insert(topic, key);
        }
        self.index_conflicts(key, group)
    }

    /// Returns the groups that may have conflicted with this one.
    fn unindex(&mut self, key: &ObjectKey, group: &CachedGroup) -> Affected {
        for topic in &group.topics {
            self.by_topic.remove(topic, key);
        }
        self.unindex_conflicts(key, group)
    }

    /// One group.
    pub(in crate::cluster) fn group(&self, key: &ObjectKey) -> Option<&CachedGroup> {
        self.entries.get(key)?.group.as_deref()
    }

    /// The keys of all groups.
    pub(in crate::cluster) fn keys(&self) -> Affected {
        self.groups().map(|(key, _)| key.clone()).collect()
    }

    /// All groups.
    pub(in crate::cluster) fn groups(&self) -> impl Iterator<Item = (&ObjectKey, &CachedGroup)> {
        self.entries.iter().filter_map(|(key, entry)| Some((key, entry.group.as_deref()?)))
    }
}

impl GroupEntry {
    /// Whether the known version of the same group is newer, and the response to the controller's
    /// own write is involved. An older version from a list alone is accepted: the cluster may
    /// have been restored from a backup.
    fn has_newer_group(&self, group: &CachedGroup, from_own_write: bool) -> bool {
        self.group.as_ref().is_some_and(|known| {
            let is_older = group.resource_version < known.resource_version && group.uid == known.uid;
            is_older && (self.from_own_write || from_own_write)
        })
    }
}
