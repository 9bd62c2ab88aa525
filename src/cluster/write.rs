//! Carries out one planned write. What is there is looked at before anything is created, nothing that
//! another owner controls is touched, and every later apply names the uid that it means.

use kcg_api::{ValidGroup, names};
use kcg_runtime::lease::Leadership;
use kcg_runtime::watch::ObjectKey;
use serde_json::{Value, json};

use super::{Cluster, Fault, ports};
use kcg_core::ceiling::Held;
use kcg_core::children::{ChildKind, Desired};
use kcg_core::observed::{Child, Detail, Digest, Standing, projection};
use kcg_core::plan::Write;

/// Something that was done to the cluster, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deed {
    pub verb: &'static str,
    pub kind: ChildKind,
}

/// How often one write may start over because the object changed under it.
const ROUNDS: usize = 5;

/// Where a write stands.
enum Step {
    Look,
    Create,
    Repair(Box<str>),
    Reset(Box<str>),
    Done,
}

/// One child on its way to what it should be.
struct Job<'a> {
    cluster: &'a Cluster,
    leadership: &'a Leadership,
    key: &'a ObjectKey,
    group_uid: &'a str,
    /// The group's lower bound, for a fresh Deployment.
    min: i32,
    desired: &'a Desired,
    digest: Digest,
    deeds: Vec<Deed>,
}

impl Cluster {
    /// Carries out one write; returns what was done, which is nothing where the object turned out to be in order.
    /// `min` is the HPA's minReplicas, for a Deployment that is created.
    pub async fn write(
        &self,
        group: &ValidGroup,
        min: i32,
        write: &Write,
        leadership: &Leadership,
    ) -> Result<Vec<Deed>, Fault> {
        let key = ObjectKey::new(&group.namespace, &group.name);
        let (desired, digest, first) = match write {
            Write::Create { desired, digest } | Write::Repair { desired, digest, unjudged: true, .. } => {
                (desired, *digest, Step::Look)
            }
            Write::Repair { desired, digest, uid, unjudged: false } => {
                (desired, *digest, Step::Repair(uid.clone()))
            }
            Write::Delete { kind, uid } => return self.delete(&key, *kind, uid, leadership).await,
        };
        let job = Job {
            cluster: self,
            leadership,
            key: &key,
            group_uid: &group.uid,
            min,
            desired,
            digest,
            deeds: Vec::new(),
        };
        job.run(first).await
    }

    async fn delete(
        &self,
        key: &ObjectKey,
        kind: ChildKind,
        uid: &str,
        leadership: &Leadership,
    ) -> Result<Vec<Deed>, Fault> {
        may_write(leadership)?;
        match self.requests.delete(kind, key, uid).await {
            Ok(()) => Ok(vec![Deed { verb: "delete", kind }]),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(Fault::of(kind, &error)),
        }
    }
}

impl Job<'_> {
    async fn run(mut self, first: Step) -> Result<Vec<Deed>, Fault> {
        let mut step = first;
        for _ in 0..ROUNDS {
            step = match step {
                Step::Look => self.look().await?,
                Step::Create => self.create().await?,
                Step::Repair(uid) => self.repair(uid).await?,
                Step::Reset(uid) => self.reset(uid).await?,
                Step::Done => return Ok(self.deeds),
            };
        }
        if matches!(step, Step::Done) {
            return Ok(self.deeds);
        }
        let message = format!("{} {} changed as often as it was written", self.kind().kind(), self.key);
        Err(Fault::Failed { message, retry_after: None })
    }

    fn kind(&self) -> ChildKind {
        self.desired.kind
    }

    async fn look(&mut self) -> Result<Step, Fault> {
        let live = self.cluster.requests.get(self.kind(), self.key).await;
        if let Some(live) = live.map_err(|error| Fault::of(self.kind(), &error))? {
            return self.found(&live);
        }
        self.cluster.state().child_is_gone(self.key, self.kind());
        Ok(Step::Create)
    }

    fn found(&self, live: &Value) -> Result<Step, Fault> {
        let child = projection::child(self.kind(), live);
        if child.controller.as_deref() != Some(self.group_uid) {
            return Err(Fault::Conflict { owner: owner(live) });
        }
        if child.deleting {
            return Err(Fault::Waiting);
        }
        if matches!(&child.detail, Detail::Deployment(facts) if !facts.selector_is_ours) {
            return Err(Fault::SelectorImmutable);
        }
        self.cluster.state().child_lives(self.key, &child.uid);
        if self.holds_what_was_not_known(&child) {
            self.cluster.saw(self.key, self.kind(), live);
            return Err(Fault::Waiting);
        }
        match projection::standing(Some(self.desired), live) {
            Standing::Matches(_) => {
                self.cluster.wrote(self.key, self.kind(), live, self.digest);
                Ok(Step::Done)
            }
            Standing::Differs | Standing::Unjudged => Ok(Step::Repair(child.uid)),
        }
    }

    /// An autoscaler that no watch had told of holds counts that the plan could not go by: it is planned anew.
    fn holds_what_was_not_known(&self, child: &Child) -> bool {
        let Detail::Autoscaler(facts) = &child.detail else {
            return false;
        };
        let planned = self.desired.object["metadata"]["annotations"][names::ANNOTATION_HELD]
            .as_str()
            .and_then(Held::parse);
        let known = self.cluster.state().child(self.key, self.kind()).is_some();
        !known && facts.held.is_some() && facts.held != planned
    }

    /// There was no such object a moment ago. Without force, one that came since is not overwritten.
    async fn create(&mut self) -> Result<Step, Fault> {
        may_write(self.leadership)?;
        if !self.cluster.wants_children(self.key, self.group_uid) {
            return Err(Fault::Waiting);
        }
        match self.cluster.requests.apply(self.kind(), self.key, &self.desired.object, false).await {
            Ok(live) => {
                self.note("create", &live);
                self.scale(&live).await?;
                Ok(Step::Done)
            }
            Err(error) if error.is_conflict() => Ok(Step::Look),
            Err(error) => Err(Fault::of(self.kind(), &error)),
        }
    }

    async fn repair(&mut self, uid: Box<str>) -> Result<Step, Fault> {
        may_write(self.leadership)?;
        let mut object = self.desired.object.clone();
        object["metadata"]["uid"] = json!(uid);
        match self.cluster.requests.apply(self.kind(), self.key, &object, true).await {
            Ok(live) => {
                self.note("repair", &live);
                Ok(Step::Done)
            }
            // Another object has the name now, or none has.
            Err(error) if error.is_conflict() => Ok(Step::Look),
            Err(error)
                if ports::is_duplicate(&error) && !self.deeds.iter().any(|deed| deed.verb == "reset") =>
            {
                Ok(Step::Reset(uid))
            }
            Err(error) => Err(Fault::of(self.kind(), &error)),
        }
    }

    /// A port's number is its key: over one that somebody changed, an apply would add a second port of the same
    /// name. The number is set back first.
    async fn reset(&mut self, uid: Box<str>) -> Result<Step, Fault> {
        let live = self
            .cluster
            .requests
            .get(self.kind(), self.key)
            .await
            .map_err(|error| Fault::of(self.kind(), &error))?;
        let Some(live) = live.filter(|live| live["metadata"]["uid"] == *uid) else {
            return Ok(Step::Look);
        };
        may_write(self.leadership)?;
        let patch = ports::set_back(&self.desired.object, &live);
        match self.cluster.requests.reset(self.kind(), self.key, patch).await {
            Ok(_) => {
                self.deeds.push(Deed { verb: "reset", kind: self.kind() });
                Ok(Step::Repair(uid))
            }
            Err(error) if error.is_conflict() => Ok(Step::Look),
            Err(error) => Err(Fault::of(self.kind(), &error)),
        }
    }

    /// A fresh Deployment starts with one pod, unless it is told once how many the group begins with.
    async fn scale(&mut self, live: &Value) -> Result<(), Fault> {
        let fresh = self.kind() == ChildKind::Deployment && live["spec"]["replicas"] == 1;
        if !fresh || self.min <= 1 {
            return Ok(());
        }
        may_write(self.leadership)?;
        match self.cluster.requests.scale(self.key, self.min).await {
            Ok(()) => self.deeds.push(Deed { verb: "scale", kind: ChildKind::Deployment }),
            // The autoscaler raises it to its minimum all the same, some seconds later.
            Err(error) => tracing::warn!(group = %self.key, %error, "a fresh Deployment starts with one pod"),
        }
        Ok(())
    }

    fn note(&mut self, verb: &'static str, live: &Value) {
        self.deeds.push(Deed { verb, kind: self.kind() });
        self.cluster.wrote(self.key, self.kind(), live, self.digest);
    }
}

fn may_write(leadership: &Leadership) -> Result<(), Fault> {
    if leadership.still_held() { Ok(()) } else { Err(Fault::NotLeading) }
}

/// Who controls an object, in words.
fn owner(live: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match projection::controller(live) {
        Some(owner) => {
            format!("{} {} of uid {}", text(&owner["kind"]), text(&owner["name"]), text(&owner["uid"]))
        }
        None => "nobody".to_owned(),
    }
}
