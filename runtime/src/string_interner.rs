//! Strings that many objects share, stored once.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// Gives equal strings one allocation.
#[derive(Debug, Default)]
pub struct StringInterner(Mutex<Strings>);

#[derive(Debug, Default)]
struct Strings {
    strings: HashSet<Arc<str>>,
    /// Unused strings are removed when there are this many.
    limit: usize,
}

/// The limit is never lower than this.
const MIN_LIMIT: usize = 256;

impl StringInterner {
    /// The one allocation of this text.
    pub fn intern(&self, text: &str) -> Arc<str> {
        let mut interned = self.0.lock();
        if let Some(known) = interned.strings.get(text) {
            return known.clone();
        }
        if interned.strings.len() >= interned.limit.max(MIN_LIMIT) {
            interned.remove_unused();
        }
        let text: Arc<str> = text.into();
        interned.strings.insert(text.clone());
        text
    }

    /// Removes the strings that nothing else uses. This also happens whenever their number has doubled.
    pub fn remove_unused(&self) {
        self.0.lock().remove_unused();
    }
}

impl Strings {
    fn remove_unused(&mut self) {
        self.strings.retain(|text| Arc::strong_count(text) > 1);
        self.strings.shrink_to(self.strings.len() * 2);
        self.limit = self.strings.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_are_stored_once_and_unused_ones_are_removed() {
        let strings = StringInterner::default();
        let kept: Vec<Arc<str>> = (0..1000).map(|_| strings.intern("the same")).collect();
        let count = || strings.0.lock().strings.len();
        assert_eq!(count(), 1);
        for number in 0..1000 {
            strings.intern(&number.to_string());
        }
        assert!(count() <= MIN_LIMIT, "{} strings", count());
        assert!(Arc::ptr_eq(&kept[7], &strings.intern("the same")));
        strings.remove_unused();
        assert_eq!(count(), 1);
        drop(kept);
        strings.remove_unused();
        assert_eq!(count(), 0);
    }
}
