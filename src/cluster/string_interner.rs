//! Strings that many groups share, stored once.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// Texts of conditions: most groups have the same ones.
#[derive(Debug, Default)]
pub(super) struct StringInterner(Mutex<Strings>);

#[derive(Debug, Default)]
struct Strings {
    strings: HashSet<Arc<str>>,
    /// Unused strings are removed when there are this many.
    limit: usize,
}

/// The limit is never lower than this.
pub(super) const MIN_LIMIT: usize = 256;

impl StringInterner {
    pub(super) fn intern(&self, text: &str) -> Arc<str> {
        let mut interned = self.0.lock();
        if let Some(known) = interned.strings.get(text) {
            return known.clone();
        }
        if interned.strings.len() >= interned.limit.max(MIN_LIMIT) {
            interned.strings.retain(|text| Arc::strong_count(text) > 1);
            interned.limit = interned.strings.len() * 2;
        }
        let text: Arc<str> = text.into();
        interned.strings.insert(text.clone());
        text
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().strings.len()
    }
}
