//! The namespace and name of an object, in one small allocation that clones share.

use std::{
    borrow::{Borrow, Cow},
    fmt,
    sync::Arc,
};

use crate::string_interner::StringInterner;

/// `namespace/name`, or `name` if the object is not namespaced. Neither part can contain a slash.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(Arc<str>);

impl ObjectKey {
    /// The key of an object; `namespace` is empty if the object is not namespaced.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(text(namespace, name).into())
    }

    /// [`Self::new`], in the one allocation that `keys` has of it.
    pub fn interned(keys: &StringInterner, namespace: &str, name: &str) -> Self {
        Self(keys.intern(&text(namespace, name)))
    }

    /// The namespace; empty if the object is not namespaced.
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// `namespace/name`, or `name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn text<'a>(namespace: &str, name: &'a str) -> Cow<'a, str> {
    if namespace.is_empty() { name.into() } else { format!("{namespace}/{name}").into() }
}

/// Lets a map with ObjectKeys be queried with `"namespace/name"`.
impl Borrow<str> for ObjectKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_key_returns_its_namespace_and_name() {
        for (namespace, name, text) in [("default", "a", "default/a"), ("", "node-1", "node-1")] {
            let key = ObjectKey::new(namespace, name);
            assert_eq!((key.namespace(), key.name(), key.as_str()), (namespace, name, text));
        }
    }

    #[test]
    fn interned_keys_have_one_allocation() {
        let keys = StringInterner::default();
        let [first, second] = [(); 2].map(|()| ObjectKey::interned(&keys, "default", "a"));
        assert_eq!(first, ObjectKey::new("default", "a"));
        assert!(std::ptr::eq(first.as_str(), second.as_str()));
    }

    #[test]
    fn a_set_of_keys_can_be_queried_with_text() {
        let keys = HashSet::from([ObjectKey::new("default", "a")]);
        assert!(keys.contains("default/a") && !keys.contains("a"));
    }
}
