//! What to watch: a kind, in which namespaces, and which of its objects.

use std::{collections::BTreeSet, time::Duration};

use kube::core::{ApiResource, Resource};

use super::WATCH_TIMEOUT;
use crate::discovery::OptionalKind;

/// The namespaces to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All namespaces, in one watch. Needs a ClusterRole.
    All,
    /// These namespaces, each in a separate watch, so that one cannot hold up another.
    Namespaces(BTreeSet<String>),
}

impl Scope {
    /// One entry for each watch to open; `None` is the whole cluster.
    pub(super) fn namespaces(&self) -> Vec<Option<String>> {
        match self {
            Self::All => vec![None],
            Self::Namespaces(names) => names.iter().cloned().map(Some).collect(),
        }
    }
}

/// The kind to watch.
#[derive(Debug, Clone)]
pub(super) enum WatchedKind {
    /// Served by every cluster.
    Required(ApiResource),
    /// Possibly not served.
    Optional(OptionalKind),
}

/// What a [`super::Watcher`] watches.
#[derive(Debug, Clone)]
pub struct WatchSpec {
    pub(super) kind: WatchedKind,
    pub(super) scope: Scope,
    pub(super) labels: Option<String>,
    pub(super) fields: Option<String>,
    pub(super) page_size: u32,
    pub(super) timeout: Duration,
}

/// The most objects of a page of a list, as client-go asks for. The first page has fewer, and pages of large
/// objects, too, so that a list needs little memory.
const PAGE_SIZE: u32 = 500;

impl WatchSpec {
    /// A kind with a Rust type.
    pub fn typed<K: Resource<DynamicType = ()>>(scope: Scope) -> Self {
        Self::dynamic(ApiResource::erase::<K>(&()), scope)
    }

    /// A kind known at run time.
    pub fn dynamic(resource: ApiResource, scope: Scope) -> Self {
        Self::new(WatchedKind::Required(resource), scope)
    }

    /// A kind that the cluster may not serve, or may start or stop serving at any time.
    pub fn optional(kind: OptionalKind, scope: Scope) -> Self {
        Self::new(WatchedKind::Optional(kind), scope)
    }

    fn new(kind: WatchedKind, scope: Scope) -> Self {
        Self { kind, scope, labels: None, fields: None, page_size: PAGE_SIZE, timeout: WATCH_TIMEOUT }
    }

    /// Watches only objects that match this label selector.
    #[must_use]
    pub fn labels(mut self, selector: &str) -> Self {
        self.labels = Some(selector.to_owned());
        self
    }

    /// Watches only objects that match this field selector.
    #[must_use]
    pub fn fields(mut self, selector: &str) -> Self {
        self.fields = Some(selector.to_owned());
        self
    }

    /// Sets how many objects a page of a list has at most.
    #[must_use]
    pub fn page_size(mut self, objects: u32) -> Self {
        self.page_size = objects;
        self
    }

    /// Sets how long the server keeps a watch open, in whole seconds; the default is
    /// [`WATCH_TIMEOUT`].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_namespace_of_a_list_has_a_watch() {
        assert_eq!(Scope::All.namespaces(), [None]);
        let scope = Scope::Namespaces(["b", "a"].map(str::to_owned).into());
        assert_eq!(scope.namespaces(), [Some("a".to_owned()), Some("b".to_owned())]);
    }
}
