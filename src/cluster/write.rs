//! Carries out one planned write. It creates an object only if none of the name exists, never modifies
//! an object of another owner, and names the uid of the object in every later request.

use kcg_api::{ValidGroup, names};
use kcg_core::ceiling::Held;
use kcg_core::child_error::ChildError;
use kcg_core::children::{ChildKind, Desired, Digest, TemplateOrigin};
use kcg_core::creation::{self, Creation};
use kcg_core::drift::{self, Drift};
use kcg_core::facts::{Child, Detail, project};
use kcg_core::plan::{Target, Write};
use kcg_core::takeover;
use kcg_runtime::client::RequestError;
use kcg_runtime::lease::Leadership;
use kcg_runtime::watch::ObjectKey;
use serde_json::{Value, json};

use super::rejection::{causes, is_failed_test};
use super::{Cluster, WriteError};

/// A request that changed the cluster, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AppliedWrite {
    pub(crate) verb: &'static str,
    pub(crate) kind: ChildKind,
}

/// How often one write reads the object: a Deployment whose pods crash changes several times a second.
pub(super) const MAX_LOOKUPS: usize = 6;

/// What the log calls a change of managedFields.
const TAKE_OVER: &str = "take over";

/// The next request of a write.
enum Step {
    Lookup,
    Create,
    Repair(Target),
    /// The apply of the object with this uid was rejected for this.
    TakeOver(Box<str>, RequestError),
    Done,
}

/// The write of one child.
struct ChildWrite<'a> {
    cluster: &'a Cluster,
    leadership: &'a Leadership,
    key: &'a ObjectKey,
    group_uid: &'a str,
    /// The autoscaler's minReplicas, for a new Deployment.
    min: i32,
    desired: &'a Desired,
    digest: Digest,
    lookups: usize,
    /// How many lists of its kind were complete when the write began.
    lists: u64,
    applied: Vec<AppliedWrite>,
}

impl Cluster {
    /// Carries out one write. Returns the requests that changed something. `min` is the autoscaler's.
    pub(crate) async fn write(
        &self,
        group: &ValidGroup,
        min: i32,
        write: &Write,
        leadership: &Leadership,
    ) -> Result<Vec<AppliedWrite>, WriteError> {
        let key = ObjectKey::new(&group.namespace, &group.name);
        let (desired, digest, first) = match write {
            Write::Create { desired, digest, look_up_first } => {
                let is_listed = self.cache().has_listed(desired.kind);
                (desired, *digest, if *look_up_first || !is_listed { Step::Lookup } else { Step::Create })
            }
            Write::Repair { desired, digest, target, compare_first } => {
                (desired, *digest, if *compare_first { Step::Lookup } else { Step::Repair(target.clone()) })
            }
            Write::Delete { kind, uid, version } => {
                return self.delete(&key, *kind, uid, *version, leadership).await;
            }
        };
        let write = ChildWrite {
            cluster: self,
            leadership,
            key: &key,
            group_uid: &group.uid,
            min,
            desired,
            digest,
            lookups: 0,
            lists: self.cache().lists(desired.kind),
            applied: Vec::new(),
        };
        write.run(first).await
    }
}

impl ChildWrite<'_> {
    async fn run(mut self, first: Step) -> Result<Vec<AppliedWrite>, WriteError> {
        let mut step = first;
        loop {
            step = match step {
                Step::Lookup => self.look_up().await?,
                Step::Create => self.create().await?,
                Step::Repair(target) => self.repair(target).await?,
                Step::TakeOver(uid, rejection) => self.take_over(uid, &rejection).await?,
                Step::Done => return Ok(self.applied),
            };
        }
    }

    fn kind(&self) -> ChildKind {
        self.desired.kind
    }

    async fn look_up(&mut self) -> Result<Step, WriteError> {
        if self.lookups == MAX_LOOKUPS {
            let (kind, key) = (self.kind().kind(), self.key);
            let message = format!("{kind} {key} changed during each of {MAX_LOOKUPS} attempts to write it");
            return Err(ChildError::Failed { message }.into());
        }
        self.lookups += 1;
        let live = self.cluster.requests.get(self.kind(), self.key).await;
        if let Some(live) = live.map_err(|error| WriteError::of(self.kind(), &error))? {
            return self.found(&live);
        }
        self.cluster.cache().remove_child(self.key, self.kind());
        Ok(Step::Create)
    }

    fn found(&self, live: &Value) -> Result<Step, WriteError> {
        let child = project::child(self.kind(), live);
        if child.controller.as_deref() != Some(self.group_uid) {
            return Err(WriteError::name_conflict(live));
        }
        if child.deleting {
            return Err(WriteError::Waiting);
        }
        if matches!(&child.detail, Detail::Deployment(facts) if !facts.selector_is_ours) {
            return Err(ChildError::SelectorImmutable.into());
        }
        self.cluster.cache().remove_tombstone(self.key, &child.uid);
        if self.is_news(&child) {
            self.cluster.observe_response(self.key, self.kind(), live, self.lists);
            return Err(WriteError::Waiting);
        }
        match drift::drift(Some(self.desired), live) {
            Drift::InSync(_) => self.done(live),
            Drift::Drifted | Drift::Unknown => Ok(Step::Repair(Target::of(&child))),
        }
    }

    /// Whether no watch had reported the child, and it has something that the plan would have taken
    /// over: held partitions, defaults, an address. The group is planned again.
    fn is_news(&self, child: &Child) -> bool {
        let annotations = &self.desired.object["metadata"]["annotations"];
        let differs = match &child.detail {
            Detail::Autoscaler(facts) => {
                let planned = annotations[names::ANNOTATION_HELD].as_str().and_then(Held::parse);
                facts.held.is_some() && facts.held != planned
            }
            Detail::Deployment(facts) => facts.template != TemplateOrigin::of(&self.desired.object),
            Detail::Service { has_cluster_ip } => {
                *has_cluster_ip && self.desired.object["spec"]["clusterIP"] == "None"
            }
            Detail::Monitor(_) => false,
        };
        differs && self.cluster.cache().child(self.key, self.kind()).is_none()
    }

    /// The API server refuses it if an object of the name exists, whichever client has created it meanwhile.
    async fn create(&mut self) -> Result<Step, WriteError> {
        may_write(self.leadership)?;
        if !self.cluster.wants_children(self.key, self.group_uid) {
            return Err(WriteError::Waiting);
        }
        let mut object = self.desired.object.clone();
        if self.kind() == ChildKind::Deployment && self.min > 1 {
            // From then on the number of pods is the autoscaler's.
            object["spec"]["replicas"] = json!(self.min);
        }
        let manager = creation::creator(&self.desired.object);
        match self.cluster.requests.create(self.kind(), self.key, &object, manager).await {
            Ok(live) => self.created(&live),
            Err(error) if error.is_already_exists() => Ok(Step::Lookup),
            Err(error) => Err(WriteError::of(self.kind(), &error)),
        }
    }

    /// What was created is as desired, unless an admission webhook changed it or a list has two items
    /// of one key: then an apply shows what the API server says to that.
    fn created(&mut self, live: &Value) -> Result<Step, WriteError> {
        self.applied.push(AppliedWrite { verb: "create", kind: self.kind() });
        if drift::matches(&self.desired.object, live) {
            return self.done(live);
        }
        self.cluster.observe_response(self.key, self.kind(), live, self.lists);
        Ok(Step::Repair(Target::of(&project::child(self.kind(), live))))
    }

    async fn repair(&mut self, mut target: Target) -> Result<Step, WriteError> {
        let kind = self.kind();
        if let Some(creation) = target.creation.filter(|creation| creation.outlives(&self.desired.object)) {
            let Some(version) = self.end_creation(&target, creation).await? else {
                return Ok(Step::Lookup);
            };
            target.version = version;
        }
        may_write(self.leadership)?;
        match self.cluster.requests.apply(kind, self.key, &target, &self.desired.object).await {
            Ok(live) => {
                self.applied.push(AppliedWrite { verb: "repair", kind });
                self.done(&live)
            }
            // It has changed, another object has the name now, or none.
            Err(error) if error.is_conflict() => Ok(Step::Lookup),
            Err(error) if error.code() == Some(422) => Ok(Step::TakeOver(target.uid, error)),
            Err(error) => Err(WriteError::of(kind, &error)),
        }
    }

    /// Returns the object's new version; `None` if it is not as it was.
    async fn end_creation(&mut self, target: &Target, creation: Creation) -> Result<Option<u64>, WriteError> {
        may_write(self.leadership)?;
        let kind = self.kind();
        let patch = creation.end(&target.uid, kind);
        match self.cluster.requests.end_creation(kind, self.key, target.version, patch).await {
            Ok(version) => {
                self.applied.push(AppliedWrite { verb: "end creation", kind });
                Ok(Some(version))
            }
            Err(error) if error.is_conflict() || error.is_not_found() || is_failed_test(&error) => Ok(None),
            Err(error) => Err(WriteError::of(kind, &error)),
        }
    }

    /// Claims what blocks the apply, so that the next one removes it: see [`takeover`]. Once a
    /// write: if the next apply is rejected, too, the desired object is at fault.
    async fn take_over(&mut self, uid: Box<str>, rejection: &RequestError) -> Result<Step, WriteError> {
        let kind = self.kind();
        let live = self.cluster.requests.get(kind, self.key).await;
        let live = live.map_err(|error| WriteError::of(kind, &error))?;
        let Some(mut live) = live.filter(|live| live["metadata"]["uid"] == *uid) else {
            return Ok(Step::Lookup);
        };
        let was_created = Creation::of(&live).is_some_and(|creation| end_locally(creation, &mut live, kind));
        let again = self.applied.iter().any(|write| write.verb == TAKE_OVER);
        let claimed = takeover::take_over(&self.desired.object, &live, &causes(rejection))
            .or_else(|| was_created.then(|| live["metadata"]["managedFields"].clone()))
            .filter(|_| !again);
        let Some(claimed) = claimed else {
            let managers = takeover::other_managers(&live);
            return Err(WriteError::rejected_among_managers(rejection, kind, self.key, &managers));
        };
        may_write(self.leadership)?;
        let version = project::version(&live);
        match self.cluster.requests.set_managed_fields(kind, self.key, version, claimed).await {
            Ok(version) => {
                self.applied.push(AppliedWrite { verb: TAKE_OVER, kind });
                Ok(Step::Repair(Target { uid, version, creation: None }))
            }
            Err(error) if error.is_conflict() => Ok(Step::Lookup),
            Err(error) => Err(WriteError::of(kind, &error)),
        }
    }

    /// The object is as desired. It is looked up again if a list has overtaken the response.
    fn done(&self, live: &Value) -> Result<Step, WriteError> {
        let (digest, lists) = (self.digest, self.lists);
        let is_stored = self.cluster.observe_own_write(self.key, self.kind(), live, digest, lists);
        if is_stored { Ok(Step::Done) } else { Err(WriteError::Waiting) }
    }
}

/// Ends a creation in the copy of the object. Returns whether the object allows it.
fn end_locally(creation: Creation, live: &mut Value, kind: ChildKind) -> bool {
    let uid = live["metadata"]["uid"].as_str().unwrap_or_default();
    let patch = serde_json::from_value::<json_patch::Patch>(creation.end(uid, kind));
    patch.is_ok_and(|patch| json_patch::patch(live, &patch).is_ok())
}

pub(super) fn may_write(leadership: &Leadership) -> Result<(), WriteError> {
    if leadership.still_held() { Ok(()) } else { Err(WriteError::NotLeading) }
}
