//! The other groups that take partitions from a group, in words of a bounded length that are the
//! same for thousands of them.

use std::fmt;

use crate::text;

/// Other groups with the same consumer group in Kafka and a topic in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictingGroups {
    /// The first groups of the namespace, sorted by name; at most [`text::MAX_LISTED`].
    pub named: Vec<String>,
    /// The namespace has further ones.
    pub more: bool,
    /// Another namespace has one. It is not named: who may read this group may not read that one.
    pub elsewhere: bool,
}

impl ConflictingGroups {
    /// From the sorted names in the namespace.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>, elsewhere: bool) -> Self {
        let mut names = names.into_iter();
        let named = names.by_ref().take(text::MAX_LISTED).map(str::to_owned).collect();
        Self { named, more: names.next().is_some(), elsewhere }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && !self.elsewhere
    }

    /// Whether it is exactly one.
    pub fn is_one(&self) -> bool {
        self.named.len() + usize::from(self.elsewhere) == 1
    }
}

impl fmt::Display for ConflictingGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.named.len() {
            0 => {}
            1 => write!(f, "group {}", self.named[0])?,
            _ => write!(f, "groups {}", self.named.join(", "))?,
        }
        if self.more {
            f.write_str(text::OTHERS)?;
        }
        match (self.named.is_empty(), self.elsewhere) {
            (_, false) => Ok(()),
            (true, true) => f.write_str("a group in another namespace"),
            (false, true) => f.write_str(" and a group in another namespace"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_groups_are_named_and_none_of_another_namespace() {
        let words = |names: &[&str], elsewhere| {
            let found = ConflictingGroups::new(names.iter().copied(), elsewhere);
            assert_eq!(found.is_empty(), names.is_empty() && !elsewhere);
            found.to_string()
        };
        assert_eq!(words(&["a"], false), "group a");
        assert_eq!(words(&["a", "b", "c"], false), "groups a, b, c");
        assert_eq!(words(&["a", "b", "c", "d"], false), "groups a, b, c and others");
        assert_eq!(words(&["a", "b", "c", "d", "e"], false), "groups a, b, c and others");
        assert_eq!(words(&[], true), "a group in another namespace");
        assert_eq!(words(&["a"], true), "group a and a group in another namespace");
        assert!(ConflictingGroups::new([], true).is_one() && ConflictingGroups::new(["a"], false).is_one());
        assert!(!ConflictingGroups::new(["a"], true).is_one() && !ConflictingGroups::default().is_one());
    }
}
