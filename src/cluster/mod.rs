//! The cluster, as the driver sees it: what is known of it without asking ([`Cluster::observe`]), and what can
//! be done to it ([`Cluster::write`], [`Cluster::report`]). Floor 2 (I/O shell); the only module of its crate that
//! speaks to the API server.

mod fault;
mod group;
mod index;
mod kept_child;
mod kept_status;
mod ports;
mod report;
mod requests;
pub mod schema;
mod state;
mod watches;
mod write;

use kcg_api::ValidGroup;
use kcg_api::valid::TopicGrants;
use kcg_runtime::watch::ObjectKey;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use fault::Fault;
pub use group::{ConditionStatus, Group};
use requests::Requests;
pub(crate) use requests::optional_kind;
pub use state::{Snapshot, Touched};
pub use watches::{Scopes, Watches};
pub use write::Deed;

use kcg_core::ceiling::{self, Held};
use kcg_core::children::{self, ChildKind};
use kcg_core::observed::{Child, Detail, Digest, Observed, Standing, projection};
use kept_child::SeenChild;
use kept_status::Texts;
use state::State;

/// One cluster: the facts that the watches keep, and the client for the writes.
pub struct Cluster {
    state: Mutex<State>,
    texts: Texts,
    grants: TopicGrants,
    requests: Requests,
    recorder: Recorder,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// `instance` names this process in the Events that it records.
    pub fn new(client: Client, grants: TopicGrants, instance: &str) -> Self {
        let reporter =
            Reporter { controller: kcg_api::names::OPERATOR.into(), instance: Some(instance.into()) };
        Self {
            state: Mutex::default(),
            texts: Texts::default(),
            grants,
            requests: Requests::new(client.clone()),
            recorder: Recorder::new(client, reporter),
        }
    }

    /// The namespaces that groups may look for topics in.
    pub fn grants(&self) -> &TopicGrants {
        &self.grants
    }

    /// One group and all that is decided by, without a request; `None` where there is no such group.
    pub fn observe(&self, key: &ObjectKey) -> Option<Snapshot> {
        self.state().snapshot(key)
    }

    /// Whether the cluster serves this kind of child.
    pub fn serves(&self, kind: ChildKind) -> bool {
        self.state().serves(kind)
    }

    /// Keeps what counts for a group whose HPA is not there to hold it.
    pub fn remember(&self, key: &ObjectKey, held: Held) {
        self.state().remember(key, held);
    }

    /// Whether this very group is still there, and is to stay.
    fn wants_children(&self, key: &ObjectKey, uid: &str) -> bool {
        self.state().group(key).is_some_and(|group| *group.uid == *uid && !group.deleting)
    }

    /// Every group that is known.
    pub fn keys(&self) -> Touched {
        self.state().keys()
    }

    /// Calls `tell` for each group and the lag that its autoscaler last read, in thousandths of a record; it must not
    /// take long.
    pub fn for_each_group(&self, mut tell: impl FnMut(&ObjectKey, &Group, Option<i64>)) {
        let state = self.state();
        state.groups().for_each(|(key, group)| tell(key, group, state.lag_milli(key)));
    }

    /// A panic elsewhere leaves plain values here: they are as good as before.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watch has told of a child.
    fn saw(&self, key: &ObjectKey, kind: ChildKind, live: &Value) -> Touched {
        let mut child = projection::child(kind, live);
        let fingerprint = projection::fingerprint(live);
        let judged = self.state().judged(key, kind, fingerprint);
        child.standing = judged.unwrap_or_else(|| self.judge(key, kind, &child, live));
        self.state().child_is(key, kind, SeenChild::new(child, fingerprint, false))
    }

    /// A write of ours was answered with the child as it is stored now. It counts as what was asked for even where
    /// the server stored it in a way that a comparison would not take for the same: sending it again would change
    /// nothing.
    fn wrote(&self, key: &ObjectKey, kind: ChildKind, live: &Value, digest: Digest) {
        let child = Child { standing: Standing::Matches(digest), ..projection::child(kind, live) };
        let fingerprint = projection::fingerprint(live);
        // The look that wrote goes on with what it learns here.
        self.state().child_is(key, kind, SeenChild::new(child, fingerprint, true));
    }

    /// Compares a live object with what its group wants it to be at this moment.
    fn judge(&self, key: &ObjectKey, kind: ChildKind, child: &Child, live: &Value) -> Standing {
        let Some(Snapshot { group, observed }) = self.observe(key) else {
            return Standing::Unjudged;
        };
        if child.controller.as_ref() != Some(&group.uid) {
            return Standing::Unjudged;
        }
        // One object that the code was not made for must not end the watch of all others.
        let judged =
            catch_unwind(AssertUnwindSafe(|| self.compare(key, &group, &observed, kind, child, live)));
        judged.unwrap_or_default()
    }

    fn compare(
        &self,
        key: &ObjectKey,
        group: &Group,
        observed: &Observed,
        kind: ChildKind,
        child: &Child,
        live: &Value,
    ) -> Standing {
        let written = group.read(key);
        let valid = match ValidGroup::read(&written.group, &self.grants) {
            Ok(valid) if written.violations.is_empty() => valid,
            _ => return Standing::Unjudged,
        };
        // An autoscaler is judged by what it holds itself, since the others will be by then.
        let held = match &child.detail {
            Detail::Autoscaler(facts) => facts.held.as_ref(),
            _ => observed.held(&group.uid),
        };
        let ceiling = ceiling::resolve(&valid, &observed.topics, held);
        projection::standing(children::desired_one(kind, &valid, &ceiling).as_ref(), live)
    }

    fn group_was_seen(&self, key: &ObjectKey, object: &Value, ours: bool) -> Touched {
        let group = Group::of(key, object, &self.texts);
        self.state().group_is(key, group, ours)
    }
}
