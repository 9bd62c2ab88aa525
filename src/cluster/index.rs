//! Which groups belong to a place: a topic, a consumer group.

use kcg_runtime::watch::ObjectKey;
use std::collections::HashMap;

#[derive(Debug, Default)]
pub struct Index(HashMap<ObjectKey, Vec<ObjectKey>>);

impl Index {
    /// Most places have one group only: a list without room to spare is the smallest that holds it.
    pub fn put(&mut self, place: &ObjectKey, group: &ObjectKey) {
        let groups = self.0.entry(place.clone()).or_default();
        groups.reserve_exact(usize::from(groups.is_empty()));
        groups.push(group.clone());
    }

    pub fn take(&mut self, place: &ObjectKey, group: &ObjectKey) {
        if let Some(groups) = self.0.get_mut(place) {
            groups.retain(|other| other != group);
            if groups.is_empty() {
                self.0.remove(place);
            }
        }
    }

    /// In no order.
    pub fn groups(&self, place: &ObjectKey) -> &[ObjectKey] {
        self.0.get(place).map_or(&[], Vec::as_slice)
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
