//! Which objects of a watch are known, so that those which vanished unseen can be told. Pure.

use std::collections::HashSet;

use super::ObjectKey;

/// The keys that were told to the follower's owner and not yet taken back.
#[derive(Debug, Default)]
pub(super) struct KnownKeys {
    known: HashSet<ObjectKey>,
    /// While a list runs: known before, not met in this list yet.
    unconfirmed: HashSet<ObjectKey>,
}

impl KnownKeys {
    /// A list begins. One that began and did not end is forgotten.
    pub fn begin_list(&mut self) {
        let earlier = std::mem::take(&mut self.unconfirmed);
        self.known.extend(earlier);
        std::mem::swap(&mut self.known, &mut self.unconfirmed);
    }

    /// An object was met, in a list or in an event.
    pub fn saw(&mut self, key: &ObjectKey) {
        let key = self.unconfirmed.take(key.as_str()).unwrap_or_else(|| key.clone());
        self.known.insert(key);
    }

    /// The list is complete: what it did not name is gone.
    pub fn end_list(&mut self) -> HashSet<ObjectKey> {
        self.known.shrink_to_fit();
        std::mem::take(&mut self.unconfirmed)
    }

    /// An event said that it is gone. False where nobody knew of it.
    pub fn lost(&mut self, key: &ObjectKey) -> bool {
        self.unconfirmed.remove(key) | self.known.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("default", name)
    }

    fn listed(known_keys: &mut KnownKeys, names: &[&str]) -> Vec<String> {
        known_keys.begin_list();
        for name in names {
            known_keys.saw(&key(name));
        }
        let mut gone: Vec<_> = known_keys.end_list().iter().map(|key| key.name().to_owned()).collect();
        gone.sort();
        gone
    }

    #[test]
    fn what_a_second_list_does_not_name_is_gone() {
        let mut known_keys = KnownKeys::default();
        assert!(listed(&mut known_keys, &["a", "b", "c"]).is_empty());
        assert_eq!(listed(&mut known_keys, &["b", "d"]), ["a", "c"]);
        assert_eq!(listed(&mut known_keys, &["b", "d"]), Vec::<String>::new());
    }

    #[test]
    fn a_list_that_broke_off_takes_nothing_away() {
        let mut known_keys = KnownKeys::default();
        listed(&mut known_keys, &["a", "b", "c"]);
        known_keys.begin_list();
        known_keys.saw(&key("a"));
        known_keys.begin_list();
        known_keys.saw(&key("b"));
        assert_eq!(listed(&mut known_keys, &["b"]), ["a", "c"]);
    }

    #[test]
    fn events_count_between_lists() {
        let mut known_keys = KnownKeys::default();
        listed(&mut known_keys, &["a"]);
        known_keys.saw(&key("b"));
        assert!(known_keys.lost(&key("a")));
        assert!(!known_keys.lost(&key("a")));
        assert_eq!(listed(&mut known_keys, &[]), ["b"]);
    }
}
