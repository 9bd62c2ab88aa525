//! Reads what Strimzi, prometheus-operator and the custom metrics API provide.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kcg_api::names;
use kcg_core::children::ChildKind;
use kcg_runtime::client::with_deadline;
use kcg_runtime::discovery::OptionalKind;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, ResourceExt as _};

use super::groups::owned;
use super::{Collector, found};
use crate::cluster::{optional_kind, served_metrics};
use crate::doctor::findings::{Found, LabeledFinding, PrometheusFinding, SelectorPair};

/// prometheus-operator's API group.
const MONITORING: &str = "monitoring.coreos.com";

/// The labels of each namespace by its name.
pub(super) type NamespaceLabels = BTreeMap<String, BTreeMap<String, String>>;

impl Collector<'_> {
    pub(super) async fn served_version(&self, kind: &OptionalKind) -> Found<Option<String>> {
        Ok(found(kind.find(self.client).await)?.map(|resource| resource.api_version))
    }

    /// The names of the served metrics of pods.
    pub(super) async fn pod_metrics(&self) -> Found<Option<Vec<String>>> {
        found(served_metrics::pod_metrics(self.client).await)
    }

    /// The labels of each namespace.
    pub(super) async fn namespace_labels(&self) -> Found<NamespaceLabels> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespaces = found(with_deadline("list namespaces", api.list(&ListParams::default())).await)?;
        let labels =
            |namespace: Namespace| (namespace.name_any(), namespace.metadata.labels.unwrap_or_default());
        Ok(namespaces.items.into_iter().map(labels).collect())
    }

    /// The ServiceMonitors or the PrometheusRules of the groups.
    pub(super) async fn labeled(
        &self,
        kind: ChildKind,
        namespaces: &Found<NamespaceLabels>,
    ) -> Found<Vec<LabeledFinding>> {
        let Some(resource) = found(optional_kind(kind).find(self.client).await)? else {
            return Ok(Vec::new());
        };
        labeled(found(self.list(&resource, &owned()).await)?, namespaces)
    }

    /// The operator's own objects of a kind of prometheus-operator.
    pub(super) async fn own(
        &self,
        kind: &str,
        namespaces: &Found<NamespaceLabels>,
    ) -> Found<Vec<LabeledFinding>> {
        let Some(resource) = found(OptionalKind::new(MONITORING, kind, &["v1"]).find(self.client).await)?
        else {
            return Ok(Vec::new());
        };
        let ours = ListParams::default().labels(&format!("app.kubernetes.io/name={}", names::OPERATOR));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), self.namespace, &resource);
        let what = format!("list {} in namespace {}", resource.plural, self.namespace);
        labeled(found(with_deadline(what, api.list(&ours)).await)?.items, namespaces)
    }

    /// What selects monitors and PrometheusRules: an agent scrapes alone, and a ThanosRuler
    /// evaluates rules alone.
    pub(super) async fn prometheuses(&self) -> Found<Option<Vec<PrometheusFinding>>> {
        let mut selecting = None;
        for (kind, version, scrapes, evaluates) in [
            ("Prometheus", "v1", true, true),
            ("PrometheusAgent", "v1alpha1", true, false),
            ("ThanosRuler", "v1", false, true),
        ] {
            let kind = OptionalKind::new(MONITORING, kind, &[version]);
            let Some(resource) = found(kind.find(self.client).await)? else { continue };
            let objects = found(self.list_all(&resource, &ListParams::default()).await)?;
            let finding = |object: &DynamicObject| PrometheusFinding {
                namespace: object.namespace().unwrap_or_default(),
                name: object.name_any(),
                monitors: scrapes.then(|| selectors(object, "serviceMonitor")),
                pod_monitors: scrapes.then(|| selectors(object, "podMonitor")),
                rules: evaluates.then(|| selectors(object, "rule")),
            };
            selecting.get_or_insert_with(Vec::new).extend(objects.iter().map(finding));
        }
        Ok(selecting)
    }
}

/// The labels by which a Prometheus selects the objects.
fn labeled(objects: Vec<DynamicObject>, namespaces: &Found<NamespaceLabels>) -> Found<Vec<LabeledFinding>> {
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let namespaces = namespaces.as_ref().map_err(Clone::clone)?;
    let finding = |object: DynamicObject| {
        let namespace = object.namespace().unwrap_or_default();
        LabeledFinding {
            name: object.name_any(),
            labels: object.labels().clone(),
            namespace_labels: namespaces.get(&namespace).cloned().unwrap_or_default(),
            namespace,
        }
    };
    Ok(objects.into_iter().map(finding).collect())
}

/// What the object selects of a kind, which is the prefix of the fields.
fn selectors(object: &DynamicObject, kind: &str) -> SelectorPair {
    let selector = |name: String| serde_json::from_value(object.data["spec"].get(name)?.clone()).ok();
    SelectorPair {
        objects: selector(format!("{kind}Selector")),
        namespaces: selector(format!("{kind}NamespaceSelector")),
    }
}
