//! The cluster, as the controller sees it: what is known of it without a request
//! ([`Cluster::observe`]), and what can be done to it ([`Cluster::write`],
//! [`Cluster::write_status`]). I/O.
//!
//! *Invariant:* the controller reads and writes groups and their children only through this module.

mod cache;
mod cached_child;
mod cached_group;
mod cached_status;
pub(crate) mod crd_version;
mod delete;
pub(crate) mod group_defaults;
mod handlers;
mod live;
mod rejection;
mod report;
mod requests;
pub(crate) mod served_metrics;
mod stored_group;
#[cfg(test)]
mod tests;
mod watches;
mod write;
mod write_error;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kcg_api::Violation;
use kcg_api::valid::{ParsedGroup, TopicGrants};
use kcg_core::ceiling::Held;
use kcg_core::children::{ChildKind, Digest};
use kcg_core::desired::{DesiredState, desired_state};
use kcg_core::drift::Drift;
use kcg_core::facts::{Child, Observed, project};
use kcg_runtime::string_interner::StringInterner;
use kcg_runtime::watch::ObjectKey;
use kcg_webhook::group_defaults::DefaultsFile;
use kube::Client;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

pub(crate) use cache::{Affected, Snapshot};
pub(crate) use cached_group::CachedGroup;
pub(crate) use live::{LiveGroup, LiveReader};
pub(crate) use requests::optional_kind;
pub use watches::Scopes;
pub(crate) use watches::Watches;
pub(crate) use write::AppliedWrite;
pub(crate) use write_error::WriteError;

use crate::events::EventRecorder;
use cache::ClusterCache;
use cached_child::{CachedChild, ChildSource};
use cached_group::SharedStrings;
use requests::ChildRequests;
use stored_group::StoredGroup;

/// One cluster: the facts that the watches reported, and the client for the writes.
pub(crate) struct Cluster {
    cache: Mutex<ClusterCache>,
    strings: SharedStrings,
    grants: TopicGrants,
    max_spec_bytes: usize,
    defaults: Arc<DefaultsFile>,
    requests: ChildRequests,
    events: EventRecorder,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// A cluster of which nothing is known yet.
    pub(crate) fn new(
        client: Client,
        grants: TopicGrants,
        max_spec_bytes: usize,
        defaults: Arc<DefaultsFile>,
        events: EventRecorder,
    ) -> Self {
        Self {
            cache: Mutex::default(),
            strings: SharedStrings::default(),
            grants,
            max_spec_bytes,
            defaults,
            requests: ChildRequests::new(client),
            events,
        }
    }

    /// What the watches share the keys of their objects by.
    pub(crate) fn shared_keys(&self) -> &Arc<StringInterner> {
        &self.strings.keys
    }

    /// Forgets the strings of objects that are gone.
    pub(crate) fn forget_unused_strings(&self) {
        self.strings.remove_unused();
    }

    /// A group as its types, with the bounds that its spec exceeds.
    pub(crate) fn parse(&self, key: &ObjectKey, group: &CachedGroup) -> ParsedGroup {
        group.parse(key, self.max_spec_bytes)
    }

    /// The state that a stored group should have now.
    pub(crate) fn desired_state(
        &self,
        stored: &ParsedGroup,
        observed: &Observed,
    ) -> Result<DesiredState, Vec<Violation>> {
        desired_state(stored, observed, &self.grants, &self.defaults.settings())
    }

    /// The facts that the decisions about one group depend on, without a request; `None` if there
    /// is no such group.
    pub(crate) fn observe(&self, key: &ObjectKey) -> Option<Snapshot> {
        self.cache().snapshot(key)
    }

    /// Whether the cluster serves this kind of child.
    pub(crate) fn serves(&self, kind: ChildKind) -> bool {
        self.cache().serves(kind)
    }

    /// Remembers the held partitions of a group that has no autoscaler to store them.
    pub(crate) fn remember(&self, key: &ObjectKey, held: Held) {
        self.cache().remember(key, held);
    }

    /// The keys of all groups.
    pub(crate) fn keys(&self) -> Affected {
        self.cache().keys()
    }

    /// Calls `visit` for each group with the lag that its autoscaler last read, in thousandths of a
    /// record. It holds the lock of the cache, so `visit` must not take long.
    pub(crate) fn for_each_group(&self, mut visit: impl FnMut(&ObjectKey, &CachedGroup, Option<i64>)) {
        let cache = self.cache();
        cache.groups().for_each(|(key, group)| visit(key, group, cache.lag_milli(key)));
    }

    /// Whether this very group still exists and is not being deleted.
    fn wants_children(&self, key: &ObjectKey, uid: &str) -> bool {
        self.cache().group(key).is_some_and(|group| *group.uid == *uid && !group.deleting)
    }

    fn cache(&self) -> MutexGuard<'_, ClusterCache> {
        self.cache.lock()
    }

    /// Takes in a group from its watch, or from the response to the controller's own write.
    fn observe_group(&self, key: &ObjectKey, stored: StoredGroup, from_own_write: bool) -> Affected {
        let group = CachedGroup::of(key, stored, &self.strings);
        self.cache().set_group(key, group, from_own_write)
    }

    /// Takes in a child from its watch.
    fn observe_child(&self, key: &ObjectKey, kind: ChildKind, live: &Value) -> Affected {
        let child = self.compared(key, kind, live, ChildSource::Watch);
        self.cache().set_child(key, kind, child)
    }

    fn compared(&self, key: &ObjectKey, kind: ChildKind, live: &Value, source: ChildSource) -> CachedChild {
        let mut child = project::child(kind, live);
        let fingerprint = project::fingerprint(live);
        let known = self.cache().known_drift(key, kind, fingerprint);
        if let Some(known) = known {
            child.drift = known;
        } else {
            child = self.compare(key, kind, child, live);
        }
        CachedChild::new(child, fingerprint, source)
    }

    /// Takes in a child from the response to a request that was sent after so many lists of its kind. Returns
    /// whether it was stored.
    fn observe_response(&self, key: &ObjectKey, kind: ChildKind, live: &Value, lists: u64) -> bool {
        let child = self.compared(key, kind, live, ChildSource::Response);
        self.cache().set_child_of_response(key, kind, child, lists)
    }

    /// Like [`Self::observe_response`] for the controller's own write of a child. It counts as in sync even if
    /// the API server stored it in a way that a comparison takes for drift: another write of the
    /// same object would not change that.
    fn observe_own_write(
        &self,
        key: &ObjectKey,
        kind: ChildKind,
        live: &Value,
        digest: Digest,
        lists: u64,
    ) -> bool {
        let child = Child { drift: Drift::InSync(digest), ..project::child(kind, live) };
        let fingerprint = project::fingerprint(live);
        // The reconcile that wrote observes the group again, so no listener has to be notified.
        let child = CachedChild::new(child, fingerprint, ChildSource::Response);
        self.cache().set_child_of_response(key, kind, child, lists)
    }

    /// Sets the drift of a live child from its group's desired state at this moment.
    fn compare(&self, key: &ObjectKey, kind: ChildKind, child: Child, live: &Value) -> Child {
        let Some(Snapshot { group, mut observed }) = self.observe(key) else {
            return child;
        };
        if child.controller.as_ref() != Some(&group.uid) {
            return child;
        }
        // An autoscaler is compared with its own held partitions: the other children
        // will follow them.
        observed.children[kind] = Some(child);
        // One unexpected object must not end the watch of all others.
        let drift = catch_unwind(AssertUnwindSafe(|| {
            let state = self.desired_state(&self.parse(key, &group), &observed);
            state.map_or(Drift::Unknown, |state| state.drift(kind, live))
        }));
        let mut drift = drift.unwrap_or_default();
        // Which of the installation's defaults the group has taken is written on its Deployment, and the
        // alerts go by its autoscaler. Only until both are known: repairs of unknown drift have no rate
        // limit. Without the file of defaults, the object is compared with other defaults than its own.
        let is_known = self.defaults.is_loaded() && {
            let cache = self.cache();
            let knows = |kind| observed.own(kind, &group.uid).is_some() || cache.has_listed(kind);
            knows(ChildKind::Deployment)
                && (kind != ChildKind::PrometheusRule || knows(ChildKind::HorizontalPodAutoscaler))
        };
        if drift == Drift::Drifted && !is_known {
            drift = Drift::Unknown;
        }
        let child = observed.children[kind].take().expect("invariant: set above");
        Child { drift, ..child }
    }
}
