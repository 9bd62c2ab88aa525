//! The child objects of a group, one builder each: a valid group and its ceiling in, the object as
//! it is applied out.

mod autoscaler;
mod defaults_version;
mod deployment;
mod kind;
mod monitor;
mod rule;
mod service;
#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hasher};

use kcg_api::{ValidGroup, names};
use serde_json::{Value, json};

use crate::ceiling::Ceiling;
use crate::lag::Tolerance;

pub(crate) use defaults_version::hash as stable_hash;
pub use defaults_version::{DefaultsVersion, TemplateOrigin};
pub(crate) use deployment::spec_hash;
pub use kind::{ChildKind, PerChild};

/// One child as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Which child it is.
    pub kind: ChildKind,
    /// The whole object, as server-side apply sends it. A Deployment never has spec.replicas.
    pub object: Value,
}

impl Desired {
    /// The digest of the object.
    pub fn digest(&self) -> Digest {
        digest(&self.object)
    }
}

/// What the children take over from the live objects of a group. Without any they are new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inherited {
    /// How the template of the live Deployment was built.
    pub template: Option<TemplateOrigin>,
    /// The version of the defaults that the group's status records; `None` for a new group.
    pub recorded_defaults: Option<DefaultsVersion>,
    /// The tolerance of the live HorizontalPodAutoscaler, by which the alerts go.
    pub tolerance: Option<Tolerance>,
    /// The live Service has an address, which cannot be removed.
    pub has_cluster_ip: bool,
}

impl Inherited {
    /// The version of the defaults of the live pod template, or of the one that will be created. It
    /// never falls.
    pub fn defaults_version(&self) -> DefaultsVersion {
        match &self.template {
            Some(origin) => origin.version_since(self.recorded_defaults),
            None => DefaultsVersion::of_a_new_deployment(self.recorded_defaults),
        }
    }
}

/// The children that a new group should have. It has no PrometheusRule if its alerts are off.
pub fn desired(group: &ValidGroup, ceiling: &Ceiling) -> Vec<Desired> {
    ChildKind::ALL.into_iter().filter_map(|kind| desired_one(kind, group, ceiling)).collect()
}

/// One of [`desired`].
pub fn desired_one(kind: ChildKind, group: &ValidGroup, ceiling: &Ceiling) -> Option<Desired> {
    desired_after(kind, group, ceiling, &Inherited::default())
}

/// One child of a group that has live objects already.
pub fn desired_after(
    kind: ChildKind,
    group: &ValidGroup,
    ceiling: &Ceiling,
    inherited: &Inherited,
) -> Option<Desired> {
    let object = match kind {
        ChildKind::Service => service::build(group, inherited.has_cluster_ip),
        ChildKind::ServiceMonitor => monitor::build(group),
        ChildKind::PrometheusRule if group.alerts.enabled => rule::build(group, ceiling, inherited.tolerance),
        ChildKind::PrometheusRule => return None,
        ChildKind::HorizontalPodAutoscaler => autoscaler::build(group, ceiling),
        ChildKind::Deployment => deployment::build(group, ceiling, inherited),
    };
    Some(Desired { kind, object })
}

/// A 128-bit digest of a desired object. It exists in memory only and may differ between versions.
pub type Digest = u128;

/// The digest of a child that should not exist. No object has it.
pub const DELETED: Digest = 0;

fn digest(object: &Value) -> Digest {
    // serde_json's maps are sorted, so equal objects print alike.
    let text = object.to_string();
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write(text.as_bytes());
        u128::from(hasher.finish())
    };
    ((half(1) << 64) | half(2)).max(DELETED + 1)
}

/// The labels that select the group's pods and no others.
pub fn selector(name: &str) -> Value {
    json!({names::LABEL_APP: name, names::LABEL_GROUP: name})
}

/// The labels on every child. No inherited label replaces one of the operator's.
fn labels(group: &ValidGroup) -> Value {
    let mut labels = json!(group.inherited.labels);
    labels[names::LABEL_APP] = json!(group.name);
    labels[names::LABEL_GROUP] = json!(group.name);
    labels[names::LABEL_MANAGED_BY] = json!(names::OPERATOR);
    labels
}

/// Type and metadata of every child, with the group as its controlling owner.
fn head(kind: ChildKind, group: &ValidGroup) -> Value {
    let mut head = json!({
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
    });
    if !group.inherited.annotations.is_empty() {
        head["metadata"]["annotations"] = json!(group.inherited.annotations);
    }
    head
}
