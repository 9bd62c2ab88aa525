//! The five children of a group, one builder each. Floor 1: a valid group and its ceiling in, the object
//! as it is applied out.

mod autoscaler;
mod deployment;
mod monitor;
mod rule;
mod service;
#[cfg(test)]
mod tests;

use kcg_api::{ValidGroup, names};
use serde_json::{Value, json};

use crate::ceiling::Ceiling;

/// The kinds of child, in the order in which they are listed and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChildKind {
    Service,
    ServiceMonitor,
    PrometheusRule,
    HorizontalPodAutoscaler,
    Deployment,
}

impl ChildKind {
    pub const ALL: [Self; 5] = [
        Self::Service,
        Self::ServiceMonitor,
        Self::PrometheusRule,
        Self::HorizontalPodAutoscaler,
        Self::Deployment,
    ];

    pub const fn kind(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::ServiceMonitor => "ServiceMonitor",
            Self::PrometheusRule => "PrometheusRule",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::Deployment => "Deployment",
        }
    }

    /// The API group; empty for the core.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Service => "",
            Self::ServiceMonitor | Self::PrometheusRule => "monitoring.coreos.com",
            Self::HorizontalPodAutoscaler => "autoscaling",
            Self::Deployment => "apps",
        }
    }

    pub const fn version(self) -> &'static str {
        match self {
            Self::HorizontalPodAutoscaler => "v2",
            _ => "v1",
        }
    }

    pub const fn plural(self) -> &'static str {
        match self {
            Self::Service => "services",
            Self::ServiceMonitor => "servicemonitors",
            Self::PrometheusRule => "prometheusrules",
            Self::HorizontalPodAutoscaler => "horizontalpodautoscalers",
            Self::Deployment => "deployments",
        }
    }

    pub fn api_version(self) -> String {
        match self.group() {
            "" => self.version().to_owned(),
            group => format!("{group}/{}", self.version()),
        }
    }

    /// Prometheus-operator's kinds: a cluster may do without them.
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::ServiceMonitor | Self::PrometheusRule)
    }

    /// The place of this kind in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// What the original called this child in status.message.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::ServiceMonitor => "Service Monitor",
            Self::PrometheusRule => "Prometheus Rule",
            Self::HorizontalPodAutoscaler => "HPA",
            Self::Deployment => "Deployment",
        }
    }
}

/// One child as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    pub kind: ChildKind,
    /// The whole object as it is sent by server-side apply; it never holds spec.replicas.
    pub object: Value,
}

/// The children that a group should have; the PrometheusRule is absent where alerts are off.
pub fn desired(group: &ValidGroup, ceiling: &Ceiling) -> Vec<Desired> {
    ChildKind::ALL.into_iter().filter_map(|kind| desired_one(kind, group, ceiling)).collect()
}

/// One of them.
pub fn desired_one(kind: ChildKind, group: &ValidGroup, ceiling: &Ceiling) -> Option<Desired> {
    let object = match kind {
        ChildKind::Service => service::build(group),
        ChildKind::ServiceMonitor => monitor::build(group),
        ChildKind::PrometheusRule if group.alerts.enabled => rule::build(group, ceiling),
        ChildKind::PrometheusRule => return None,
        ChildKind::HorizontalPodAutoscaler => autoscaler::build(group, ceiling),
        ChildKind::Deployment => deployment::build(group, ceiling),
    };
    Some(Desired { kind, object })
}

/// The labels that find the group's pods, and nobody else's.
pub fn selector(name: &str) -> Value {
    json!({names::LABEL_APP: name, names::LABEL_GROUP: name})
}

/// The labels on every child.
fn labels(group: &ValidGroup) -> Value {
    let mut labels = selector(&group.name);
    labels[names::LABEL_MANAGED_BY] = json!(names::OPERATOR);
    labels
}

/// The head of every child: kind, name, namespace, labels and the group as its controlling owner.
fn head(kind: ChildKind, group: &ValidGroup) -> Value {
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.kind(),
        "metadata": {
            "name": group.name,
            "namespace": group.namespace,
            "labels": labels(group),
            "ownerReferences": [{
                "apiVersion": format!("{}/{}", names::GROUP, names::VERSION),
                "kind": names::KIND,
                "name": group.name,
                "uid": group.uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
    })
}
