//! The keys of the objects that exist, so that objects which vanished unseen can be reported as
//! deleted. Pure.

use std::collections::HashSet;

use super::ObjectKey;

/// The keys that were passed to the handler and not yet reported as deleted.
#[derive(Debug, Default)]
pub(super) struct KnownKeys {
    known: HashSet<ObjectKey>,
    /// During a list: known before it, and not seen in it yet.
    unconfirmed: HashSet<ObjectKey>,
}

impl KnownKeys {
    /// A list begins. If the last one did not finish, it is ignored.
    pub(super) fn begin_list(&mut self) {
        let earlier = std::mem::take(&mut self.unconfirmed);
        self.known.extend(earlier);
        std::mem::swap(&mut self.known, &mut self.unconfirmed);
    }

    /// An object was seen, in a list or in an event.
    pub(super) fn insert(&mut self, key: &ObjectKey) {
        let key = self.unconfirmed.take(key.as_str()).unwrap_or_else(|| key.clone());
        self.known.insert(key);
    }

    /// The list is complete. Returns the keys that it does not contain: these objects are gone.
    pub(super) fn finish_list(&mut self) -> HashSet<ObjectKey> {
        self.known.shrink_to_fit();
        std::mem::take(&mut self.unconfirmed)
    }

    /// An object was deleted. Returns whether it was known.
    pub(super) fn remove(&mut self, key: &ObjectKey) -> bool {
        self.unconfirmed.remove(key) | self.known.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("default", name)
    }

    fn listed(keys: &mut KnownKeys, names: &[&str]) -> Vec<String> {
        keys.begin_list();
        for name in names {
            keys.insert(&key(name));
        }
        let mut gone: Vec<_> = keys.finish_list().iter().map(|key| key.name().to_owned()).collect();
        gone.sort();
        gone
    }

    #[test]
    fn an_object_that_a_later_list_lacks_is_gone() {
        let mut keys = KnownKeys::default();
        assert!(listed(&mut keys, &["a", "b", "c"]).is_empty());
        assert_eq!(listed(&mut keys, &["b", "d"]), ["a", "c"]);
        assert_eq!(listed(&mut keys, &["b", "d"]), Vec::<String>::new());
    }

    #[test]
    fn an_incomplete_list_removes_nothing() {
        let mut keys = KnownKeys::default();
        listed(&mut keys, &["a", "b", "c"]);
        keys.begin_list();
        keys.insert(&key("a"));
        keys.begin_list();
        keys.insert(&key("b"));
        assert_eq!(listed(&mut keys, &["b"]), ["a", "c"]);
    }

    #[test]
    fn events_between_lists_count() {
        let mut keys = KnownKeys::default();
        listed(&mut keys, &["a"]);
        keys.insert(&key("b"));
        assert!(keys.remove(&key("a")));
        assert!(!keys.remove(&key("a")));
        assert_eq!(listed(&mut keys, &[]), ["b"]);
    }
}
