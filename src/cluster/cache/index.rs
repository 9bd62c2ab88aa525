//! An index of the groups by topic.

use std::collections::HashMap;

use kcg_runtime::watch::ObjectKey;

#[derive(Debug, Default)]
pub(super) struct Index(HashMap<ObjectKey, Vec<ObjectKey>>);

impl Index {
    /// Adds a group. Most lists have one entry, so the first allocation has room for one only.
    pub(super) fn insert(&mut self, by: &ObjectKey, group: &ObjectKey) {
        let groups = self.0.entry(by.clone()).or_default();
        groups.reserve_exact(usize::from(groups.is_empty()));
        groups.push(group.clone());
    }

    pub(super) fn remove(&mut self, by: &ObjectKey, group: &ObjectKey) {
        if let Some(groups) = self.0.get_mut(by) {
            groups.retain(|other| other != group);
            if groups.is_empty() {
                self.0.remove(by);
            }
        }
    }

    /// In no particular order.
    pub(super) fn groups(&self, by: &ObjectKey) -> &[ObjectKey] {
        self.0.get(by).map_or(&[], Vec::as_slice)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
