//! Reads what Strimzi, prometheus-operator and the custom metrics API provide.

use std::collections::BTreeMap;

use http::Request;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIResource, APIResourceList};
use kcg_core::children::ChildKind;
use kcg_runtime::client::{RequestError, with_deadline};
use kcg_runtime::discovery::OptionalKind;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, ResourceExt as _};

use super::groups::owned;
use super::{Collector, found};
use crate::cluster::optional_kind;
use crate::doctor::findings::{Found, PrometheusFinding, ServiceMonitorFinding};

const CUSTOM_METRICS: &str = "custom.metrics.k8s.io";

impl Collector<'_> {
    pub(super) async fn served_version(&self, kind: &OptionalKind) -> Found<Option<String>> {
        Ok(found(kind.find(self.client).await)?.map(|resource| resource.api_version))
    }

    /// The names of the served metrics of pods. An API that is registered but does not respond
    /// counts as not served.
    pub(super) async fn pod_metrics(&self) -> Found<Option<Vec<String>>> {
        let is_absent = |error: &RequestError| matches!(error.code(), Some(404 | 503));
        let group: APIGroup = match self.get(&format!("/apis/{CUSTOM_METRICS}")).await {
            Err(error) if is_absent(&error) => return Ok(None),
            response => found(response)?,
        };
        let Some(version) = group.preferred_version.or_else(|| group.versions.into_iter().next()) else {
            return Ok(None);
        };
        let list: APIResourceList = match self.get(&format!("/apis/{}", version.group_version)).await {
            Err(error) if is_absent(&error) => return Ok(None),
            response => found(response)?,
        };
        let of_pods = |resource: APIResource| Some(resource.name.strip_prefix("pods/")?.to_owned());
        Ok(Some(list.resources.into_iter().filter_map(of_pods).collect()))
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, RequestError> {
        with_deadline(format!("get {path}"), async {
            let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
            self.client.request(request).await
        })
        .await
    }

    pub(super) async fn service_monitors(&self) -> Found<Vec<ServiceMonitorFinding>> {
        let Some(resource) = found(optional_kind(ChildKind::ServiceMonitor).find(self.client).await)? else {
            return Ok(Vec::new());
        };
        let monitors = found(self.list(&resource, &owned()).await)?;
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespaces = found(with_deadline("list namespaces", api.list(&ListParams::default())).await)?;
        let mut labels: BTreeMap<String, BTreeMap<String, String>> = namespaces
            .items
            .into_iter()
            .map(|namespace| (namespace.name_any(), namespace.metadata.labels.unwrap_or_default()))
            .collect();
        let finding = |monitor: DynamicObject| {
            let namespace = monitor.namespace().unwrap_or_default();
            ServiceMonitorFinding {
                name: monitor.name_any(),
                labels: monitor.labels().clone(),
                namespace_labels: labels.entry(namespace.clone()).or_default().clone(),
                namespace,
            }
        };
        Ok(monitors.into_iter().map(finding).collect())
    }

    pub(super) async fn prometheuses(&self) -> Found<Option<Vec<PrometheusFinding>>> {
        let kind = OptionalKind::new("monitoring.coreos.com", "Prometheus", &["v1"]);
        let Some(resource) = found(kind.find(self.client).await)? else { return Ok(None) };
        let objects = found(self.list_all(&resource, &ListParams::default()).await)?;
        let finding = |prometheus: DynamicObject| {
            let selector =
                |name: &str| serde_json::from_value(prometheus.data["spec"].get(name)?.clone()).ok();
            PrometheusFinding {
                namespace: prometheus.namespace().unwrap_or_default(),
                name: prometheus.name_any(),
                monitors: selector("serviceMonitorSelector"),
                namespaces: selector("serviceMonitorNamespaceSelector"),
            }
        };
        Ok(Some(objects.into_iter().map(finding).collect()))
    }
}
