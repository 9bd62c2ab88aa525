//! What to follow: a kind, where, and which of its objects; and what to keep of each.

use std::{collections::BTreeSet, fmt, time::Duration};

use kube::core::{ApiResource, Resource};
use serde::de::DeserializeOwned;

use super::WATCH_TIMEOUT;
use crate::discovery::OptionalKind;

/// Where the objects are that a follower looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All namespaces, in one watch. Needs a ClusterRole.
    All,
    /// These namespaces, with one watch each that no other can hold up; synced when all of them are.
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

/// A kind that is there, or one that may be.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Known(ApiResource),
    Optional(OptionalKind),
}

/// What a follower watches.
#[derive(Debug, Clone)]
pub struct WatchSpec {
    pub(super) kind: Kind,
    pub(super) scope: Scope,
    pub(super) labels: Option<String>,
    pub(super) fields: Option<String>,
    pub(super) page: u32,
    pub(super) timeout: Duration,
}

/// Objects in one page of a list: a page is held as text until its objects are projected, so this bounds the
/// memory that a list takes for a moment.
const PAGE: u32 = 50;

impl WatchSpec {
    /// A kind with a Rust type.
    pub fn typed<K: Resource<DynamicType = ()>>(scope: Scope) -> Self {
        Self::dynamic(ApiResource::erase::<K>(&()), scope)
    }

    /// A kind known at run time.
    pub fn dynamic(resource: ApiResource, scope: Scope) -> Self {
        Self::new(Kind::Known(resource), scope)
    }

    /// A kind that the cluster may lack, get and lose while we run.
    pub fn optional(kind: OptionalKind, scope: Scope) -> Self {
        Self::new(Kind::Optional(kind), scope)
    }

    fn new(kind: Kind, scope: Scope) -> Self {
        Self { kind, scope, labels: None, fields: None, page: PAGE, timeout: WATCH_TIMEOUT }
    }

    /// Only objects that this label selector matches.
    #[must_use]
    pub fn labels(mut self, selector: &str) -> Self {
        self.labels = Some(selector.to_owned());
        self
    }

    /// Only objects that this field selector matches.
    #[must_use]
    pub fn fields(mut self, selector: &str) -> Self {
        self.fields = Some(selector.to_owned());
        self
    }

    /// Objects in one page of a list.
    #[must_use]
    pub fn page(mut self, objects: u32) -> Self {
        self.page = objects;
        self
    }

    /// How long the server keeps a watch open, instead of [`WATCH_TIMEOUT`]; it counts in whole seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Turns an object's JSON text into the fact that is kept of it. The text is dropped afterwards.
pub struct Transform<F>(Box<Project<F>>);

type Project<F> = dyn Fn(&str) -> Result<F, String> + Send + Sync;

impl<F> Transform<F> {
    /// Parses the object as a `T` and keeps what `keep` takes from it. The error of an object that is no `T`
    /// names the field: `spec.minReplicas: invalid type: string "3", expected i32`.
    pub fn new<T: DeserializeOwned>(keep: impl Fn(T) -> F + Send + Sync + 'static) -> Self {
        Self(Box::new(move |text| parse::<T>(text).map(&keep)))
    }

    /// Parses the object as a `T`; `keep` may still refuse it with a sentence.
    pub fn try_new<T: DeserializeOwned>(
        keep: impl Fn(T) -> Result<F, String> + Send + Sync + 'static,
    ) -> Self {
        Self(Box::new(move |text| parse::<T>(text).and_then(&keep)))
    }

    pub(super) fn apply(&self, text: &str) -> Result<F, String> {
        (self.0)(text)
    }
}

impl<F> fmt::Debug for Transform<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Transform")
    }
}

/// The path of a bad field is worked out only once the plain parse has failed: it costs time on every object.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|plain| {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let located = serde_path_to_error::deserialize::<_, T>(&mut deserializer).err();
        located.map_or_else(|| plain.to_string(), |error| error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Topic {
        spec: Spec,
    }

    #[derive(Deserialize)]
    struct Spec {
        partitions: i32,
    }

    #[test]
    fn an_object_that_does_not_parse_says_which_field_and_why() {
        let projection = Transform::new(|topic: Topic| topic.spec.partitions);
        assert_eq!(projection.apply(r#"{"spec":{"partitions":3}}"#), Ok(3));
        let said = projection.apply(r#"{"spec":{"partitions":"3"}}"#).unwrap_err();
        assert!(said.starts_with("spec.partitions: invalid type: string \"3\", expected i32"), "{said}");
    }

    #[test]
    fn a_projection_may_refuse_what_parses() {
        let projection = Transform::<i32>::try_new(|_: Topic| Err("too many".to_owned()));
        assert_eq!(projection.apply(r#"{"spec":{"partitions":3}}"#), Err("too many".to_owned()));
    }

    #[test]
    fn a_list_of_namespaces_is_one_watch_each() {
        assert_eq!(Scope::All.namespaces(), [None]);
        let scope = Scope::Namespaces(["b", "a"].map(str::to_owned).into());
        assert_eq!(scope.namespaces(), [Some("a".to_owned()), Some("b".to_owned())]);
    }
}
