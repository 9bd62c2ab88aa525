//! What the controller knows of a group's world, as small values. Floor 1. A live object is projected
//! to these facts when its watch delivers it, and dropped: memory follows the number of groups, not the size of
//! their objects.

pub mod churn;
pub mod projection;

use kcg_api::topic::TopicLookups;

use crate::ceiling::Held;
use crate::children::ChildKind;

/// A 128-bit digest of a child as it should be.
pub type Digest = u128;

/// How a live child compares with what it should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has compared it yet: its group was not known when it was seen. Read it before writing.
    #[default]
    Unjudged,
    /// Every field that we own is as this desired object says, and we own no other.
    Matches(Digest),
    /// Some field that we own is otherwise, or was taken from us.
    Differs,
}

/// A live object of a child's kind and name.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    pub uid: Box<str>,
    /// As the API server numbers it; events older than the one known are dropped.
    pub resource_version: u64,
    /// The uid of the owner that controls it.
    pub controller: Option<Box<str>>,
    /// It has a deletionTimestamp: it is left alone until it is gone.
    pub deleting: bool,
    pub standing: Standing,
    pub detail: Detail,
}

/// What status needs of one child.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    Plain,
    Deployment(DeploymentFacts),
    Autoscaler(AutoscalerFacts),
    Monitor(Acceptance),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentFacts {
    /// spec.replicas, which the autoscaler sets.
    pub wanted: i32,
    /// status.replicas and status.readyReplicas.
    pub replicas: i32,
    pub ready: i32,
    /// Its condition Available; `None` until the Deployment controller has set it.
    pub available: Option<bool>,
    /// Why its condition Progressing is False.
    pub stuck: Option<Box<str>>,
    /// spec.selector.matchLabels is the one that we write.
    pub selector_is_ours: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct AutoscalerFacts {
    /// Our annotation, parsed; `None` where it is missing or not ours to read.
    pub held: Option<Held>,
    /// The annotation is there, but somebody else wrote it: what we held before still counts.
    pub held_is_foreign: bool,
    pub current_replicas: i32,
    pub max_replicas: i32,
    /// The lag metric's current average, in thousandths of a record.
    pub lag_milli: Option<i64>,
    /// The condition ScalingActive.
    pub scaling_active: Option<Signal>,
    /// Why its condition AbleToScale is False: it cannot set spec.replicas, neither up nor down.
    pub unable: Option<Box<str>>,
}

/// A condition of another object, as that object puts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    pub status: bool,
    pub reason: Box<str>,
    pub message: Box<str>,
}

impl Signal {
    /// Its message; its reason where there is none.
    pub fn words(self) -> Box<str> {
        if self.message.is_empty() { self.reason } else { self.message }
    }
}

/// What prometheus-operator reports of a ServiceMonitor or PrometheusRule in status.bindings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Acceptance {
    /// No bindings: the feature gate is off, or no Prometheus selects it.
    #[default]
    NotReported,
    Accepted,
    Rejected(Box<str>),
}

/// What went wrong with one child at the last try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The object of that name is controlled by somebody else, or by nobody.
    NameConflict { owner: String },
    /// The Deployment of that name is ours but its selector is another.
    SelectorImmutable,
    /// The cluster does not serve the kind.
    NotServed,
    /// The API server's answer was a refusal (400, 403, 422): trying again changes nothing.
    Refused { message: String },
    /// The API server could not be asked, or failed: it may pass.
    Failed { message: String },
}

/// Everything that the decisions about one group look at beside its spec.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// By [`ChildKind::index`].
    pub children: [Option<Child>; 5],
    pub troubles: [Option<Trouble>; 5],
    /// Sorted names of the group's running pods that are not terminating.
    pub active_pods: Vec<String>,
    pub topics: TopicLookups,
    /// Names of other groups of the namespace with the same groupId and a topic in common, sorted.
    pub rivals: Vec<String>,
    /// The last good counts, kept in memory for when the HPA is gone.
    pub remembered: Option<Held>,
}

impl Observed {
    pub fn child(&self, kind: ChildKind) -> Option<&Child> {
        self.children[kind.index()].as_ref()
    }

    /// The child, where it is the group's own.
    pub fn own(&self, kind: ChildKind, group_uid: &str) -> Option<&Child> {
        self.child(kind).filter(|child| child.controller.as_deref() == Some(group_uid))
    }

    pub fn deployment(&self, group_uid: &str) -> Option<&DeploymentFacts> {
        match &self.own(ChildKind::Deployment, group_uid)?.detail {
            Detail::Deployment(facts) => Some(facts),
            _ => None,
        }
    }

    pub fn autoscaler(&self, group_uid: &str) -> Option<&AutoscalerFacts> {
        match &self.own(ChildKind::HorizontalPodAutoscaler, group_uid)?.detail {
            Detail::Autoscaler(facts) => Some(facts),
            _ => None,
        }
    }

    /// What is held: the HPA's annotation is the authority; memory counts only where the HPA is gone.
    pub fn held(&self, group_uid: &str) -> Option<&Held> {
        match self.autoscaler(group_uid) {
            Some(autoscaler) => autoscaler.held.as_ref(),
            None => self.remembered.as_ref(),
        }
    }
}
