//! The facts about a group's surroundings. A live object is reduced to these facts when its watch
//! delivers it, and then dropped: memory grows with the number of groups, not with the size of
//! their objects.

mod conflicting_groups;
pub mod predicate;
pub mod project;

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kcg_api::ValidGroup;
use kcg_api::preset::LagMetrics;
use kcg_api::topic::TopicLookups;

use crate::ceiling::Held;
use crate::children::{ChildKind, DefaultsVersion, Inherited, PerChild, TemplateOrigin};
use crate::creation::Creation;
use crate::drift::Drift;
use crate::lag::{self, Cause, ServedMetrics, Tolerance};
use crate::shown_lag;

pub use conflicting_groups::ConflictingGroups;

/// A live object of a child's kind and name.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// metadata.uid.
    pub uid: Box<str>,
    /// metadata.resourceVersion as a number: an event with a lower one than the known one is
    /// dropped.
    pub resource_version: u64,
    /// The uid of the owner that controls it.
    pub controller: Option<Arc<str>>,
    /// It has a deletionTimestamp: it is not modified until it is gone.
    pub deleting: bool,
    /// How it compares with the desired object.
    pub drift: Drift,
    /// What is left of its creation in managedFields.
    pub creation: Option<Creation>,
    /// The facts that the status needs.
    pub detail: Detail,
}

/// The facts of one child that the status needs. Boxed where they are many: the three kinds with few of
/// them take less memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    /// Of the Service.
    Service {
        /// It has an address of its own, or will get one.
        has_cluster_ip: bool,
    },
    /// Of the Deployment.
    Deployment(Box<DeploymentFacts>),
    /// Of the HorizontalPodAutoscaler.
    Autoscaler(Box<AutoscalerFacts>),
    /// Of the ServiceMonitor and the PrometheusRule.
    Monitor(Acceptance),
}

/// The facts of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentFacts {
    /// How its pod template was built.
    pub template: TemplateOrigin,
    /// status.observedGeneration is metadata.generation: the rest of the status is of this spec.
    pub is_observed: bool,
    /// spec.replicas, which the autoscaler sets.
    pub wanted: i32,
    /// spec.paused: the Deployment controller scales, but rolls out nothing.
    pub paused: bool,
    /// status.replicas.
    pub replicas: i32,
    /// status.updatedReplicas: those of the current pod template.
    pub updated: i32,
    /// status.readyReplicas.
    pub ready: i32,
    /// status.availableReplicas.
    pub available: i32,
    /// Its condition Progressing.
    pub progress: Progress,
    /// Why its condition ReplicaFailure is True: the API server refuses its pods.
    pub refused: Option<Box<str>>,
    /// spec.progressDeadlineSeconds; 0 if it is missing.
    pub progress_deadline: i32,
    /// When the operator last changed it.
    pub applied: Option<Timestamp>,
    /// spec.selector.matchLabels is the one that the operator writes.
    pub selector_is_ours: bool,
}

/// The condition Progressing of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// True while a rollout proceeds, Unknown while the Deployment is paused, or not reported.
    #[default]
    Other,
    /// True with the reason NewReplicaSetAvailable: the last rollout was completed. It stays so
    /// while the Deployment is scaled.
    Completed,
    /// False, and why.
    Stuck(Box<str>),
}

/// The facts of a HorizontalPodAutoscaler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AutoscalerFacts {
    /// The held partitions of its annotation; `None` if it is missing or does not parse.
    pub held: Option<Held>,
    /// Another field manager wrote the annotation: the counts that were held before still apply.
    pub held_is_foreign: bool,
    /// status.currentReplicas.
    pub current_replicas: i32,
    /// spec.minReplicas.
    pub min_replicas: i32,
    /// spec.maxReplicas.
    pub max_replicas: i32,
    /// By how much the lag may exceed its limit before it adds consumers. It need not be that of the
    /// group: a version of Kubernetes may drop the field, and another manager may set it.
    pub tolerance: Tolerance,
    /// The Pods metrics of spec.metrics. Which of them is the lag is known by its name.
    pub pods_metrics: Box<[PodsMetric]>,
    /// One of its metrics could not be read at its last sync.
    pub has_unread_metric: bool,
    /// The condition ScalingActive.
    pub scaling_active: Option<Signal>,
    /// Why its condition AbleToScale is False: it can set spec.replicas neither up nor down.
    pub unable: Option<Box<str>>,
}

/// A Pods metric of a HorizontalPodAutoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodsMetric {
    /// Its name.
    pub name: Box<str>,
    /// Its current average in thousandths, if it is in the status.
    pub average_milli: Option<i64>,
}

impl AutoscalerFacts {
    /// The metric by which it reads the group's lag; `None` if it has none.
    pub fn lag(&self, metrics: &LagMetrics) -> Option<&PodsMetric> {
        self.pods_metrics.iter().find(|metric| metrics.contain(&metric.name))
    }

    /// The lag in its status, in thousandths of a record.
    pub fn lag_milli(&self, metrics: &LagMetrics) -> Option<i64> {
        self.lag(metrics)?.average_milli
    }

    /// Why it does or does not scale by the lag; `None` if it has not reported yet.
    pub fn cause(&self, metrics: &LagMetrics) -> Option<Cause> {
        let signal = self.scaling_active.as_ref()?;
        Some(match signal.status {
            true if self.has_unread_metric && self.lag_milli(metrics).is_none() => Cause::OnlyOthersRead,
            true => Cause::Read,
            false => Cause::of_inactive(&signal.reason, &signal.message, metrics),
        })
    }

    /// The lag as the status shows it; `None` if the autoscaler does not read it, or reads a number
    /// that is no lag.
    pub fn shown_lag(&self, metrics: &LagMetrics) -> Option<i64> {
        self.read_lag(metrics).filter(|milli| lag::is_possible(*milli)).map(shown_lag::rounded)
    }

    /// The last average that it read, in thousandths of a record, if that can be a lag.
    pub fn possible_lag(&self, metrics: &LagMetrics) -> Option<i64> {
        self.lag_milli(metrics).filter(|milli| lag::is_possible(*milli))
    }

    /// Whether `max` consumers run and the lag still asks for more; `None` while the lag is not known.
    /// `lag_limit` is in records.
    pub fn is_bound(&self, max: i32, metrics: &LagMetrics, lag_limit: i64) -> Option<bool> {
        let is_behind = self.tolerance.is_exceeded(self.possible_lag(metrics)?.into(), lag_limit);
        Some(is_behind && self.current_replicas >= max)
    }

    /// What the autoscaler reads for the lag although it cannot be one, in thousandths of a record.
    pub fn impossible_lag(&self, metrics: &LagMetrics) -> Option<i64> {
        self.read_lag(metrics).filter(|milli| !lag::is_possible(*milli))
    }

    /// `None` if the autoscaler does not read it. It keeps the last value in its own status then.
    fn read_lag(&self, metrics: &LagMetrics) -> Option<i64> {
        let reads = matches!(self.cause(metrics)?, Cause::Read | Cause::OtherNotRead);
        self.lag_milli(metrics).filter(|_| reads)
    }
}

/// A condition of another object, in that object's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Whether its status is True.
    pub status: bool,
    /// Its reason.
    pub reason: Box<str>,
    /// Its message.
    pub message: Box<str>,
}

impl Signal {
    /// Its message, or its reason if it has no message.
    pub fn words(self) -> Box<str> {
        if self.message.is_empty() { self.reason } else { self.message }
    }
}

/// What prometheus-operator reports about a ServiceMonitor or PrometheusRule in status.bindings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Acceptance {
    /// No bindings: the feature gate is off, or no Prometheus selects it.
    #[default]
    NotReported,
    /// Every Prometheus that selects it accepted it.
    Accepted,
    /// A Prometheus rejected it; why.
    Rejected(Box<str>),
}

/// All facts that the decisions about one group depend on, apart from its spec.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The live objects with the children's names, whichever owner they have.
    pub children: PerChild<Option<Child>>,
    /// Sorted names of the group's running pods that are not terminating.
    pub active_pods: Vec<String>,
    /// The known facts of the group's topics.
    pub topics: TopicLookups,
    /// Other groups with the same consumer group in Kafka and a topic in common.
    pub conflicting_groups: ConflictingGroups,
    /// The lag metrics that the custom metrics API serves.
    pub served_metrics: ServedMetrics,
    /// The version of the defaults that the group's status records; `None` for a new group.
    pub recorded_defaults: Option<DefaultsVersion>,
    /// The last good counts, kept in memory while the autoscaler is gone.
    pub remembered: Option<Held>,
}

impl Observed {
    /// The live object of a kind.
    pub fn child(&self, kind: ChildKind) -> Option<&Child> {
        self.children[kind].as_ref()
    }

    /// The live object of a kind, if the group controls it.
    pub fn own(&self, kind: ChildKind, group_uid: &str) -> Option<&Child> {
        self.child(kind).filter(|child| child.controller.as_deref() == Some(group_uid))
    }

    /// The group's Deployment.
    pub fn deployment(&self, group_uid: &str) -> Option<&DeploymentFacts> {
        match &self.own(ChildKind::Deployment, group_uid)?.detail {
            Detail::Deployment(facts) => Some(facts),
            _ => None,
        }
    }

    /// What the children take over from the live objects that the group controls.
    pub fn inherited(&self, group_uid: &str) -> Inherited {
        Inherited {
            template: self.deployment(group_uid).map(|facts| facts.template.clone()),
            recorded_defaults: self.recorded_defaults,
            tolerance: self.autoscaler(group_uid).map(|facts| facts.tolerance),
            has_cluster_ip: self.has_cluster_ip(group_uid),
        }
    }

    /// Whether the group's Service has an address.
    fn has_cluster_ip(&self, group_uid: &str) -> bool {
        let service = self.own(ChildKind::Service, group_uid);
        service.is_some_and(|service| matches!(service.detail, Detail::Service { has_cluster_ip: true }))
    }

    /// The group's HorizontalPodAutoscaler.
    pub fn autoscaler(&self, group_uid: &str) -> Option<&AutoscalerFacts> {
        match &self.own(ChildKind::HorizontalPodAutoscaler, group_uid)?.detail {
            Detail::Autoscaler(facts) => Some(facts),
            _ => None,
        }
    }

    /// The tolerance of the group's HorizontalPodAutoscaler, or the one that it will be created with.
    pub fn tolerance(&self, group: &ValidGroup) -> Tolerance {
        self.autoscaler(&group.uid).map_or_else(|| Tolerance::of_group(group), |facts| facts.tolerance)
    }

    /// The held partitions: those of the autoscaler's annotation, or those in memory if the
    /// autoscaler is gone.
    pub fn held(&self, group_uid: &str) -> Option<&Held> {
        match self.autoscaler(group_uid) {
            Some(autoscaler) => autoscaler.held.as_ref(),
            None => self.remembered.as_ref(),
        }
    }
}
