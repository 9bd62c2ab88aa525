//! Reads the groups and their HorizontalPodAutoscalers.

use std::time::SystemTime;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::jiff::Timestamp;
use kcg_api::names;
use kcg_core::lag::LagSource;
use kcg_runtime::client::{RequestError, with_deadline};
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use kube::{Api, ResourceExt as _};
use serde_json::Value;

use super::{Collector, REPORT_GRACE, found};
use crate::doctor::findings::{AutoscalerFinding, Found, GroupFinding, UnreadMetrics};

impl Collector<'_> {
    pub(super) async fn groups(&self) -> Found<Vec<GroupFinding>> {
        let resource = ApiResource {
            group: names::GROUP.into(),
            version: names::VERSION.into(),
            api_version: format!("{}/{}", names::GROUP, names::VERSION),
            kind: names::KIND.into(),
            plural: names::PLURAL.into(),
        };
        let groups = match self.list(&resource, &ListParams::default()).await {
            // A CRD that does not exist has a check of its own.
            Err(error) if error.is_not_found() => Vec::new(),
            response => found(response)?,
        };
        let finding = |group: DynamicObject| GroupFinding {
            namespace: group.namespace().unwrap_or_default(),
            name: group.name_any(),
            problem: condition(&group.data, "Ready", |status| status == "False")
                .or_else(|| self.unprocessed(&group)),
            unread_metrics: self.unread_metrics(&group.data),
        };
        Ok(groups.into_iter().map(finding).collect())
    }

    /// Reports a spec that the controller has not processed although it had time.
    fn unprocessed(&self, group: &DynamicObject) -> Option<String> {
        let observed = group.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
        let is_processed = observed.is_some() && observed >= group.metadata.generation;
        (!is_processed && self.is_old(group)).then(|| {
            "the controller has not processed its spec: check that --namespaces includes its namespace"
                .to_owned()
        })
    }

    fn unread_metrics(&self, group: &Value) -> Option<UnreadMetrics> {
        let why = condition(group, "MetricsAvailable", |status| status == "False")?;
        let since = transition_time(group, "MetricsAvailable")?;
        let duration = self.now.duration_since(since).ok().filter(|duration| *duration > REPORT_GRACE)?;
        Some(UnreadMetrics { why, duration })
    }

    fn is_old(&self, object: &DynamicObject) -> bool {
        let created = object.metadata.creation_timestamp.as_ref().map(|time| SystemTime::from(time.0));
        created
            .and_then(|created| self.now.duration_since(created).ok())
            .is_some_and(|age| age > REPORT_GRACE)
    }

    pub(super) async fn autoscalers(&self) -> Found<Vec<AutoscalerFinding>> {
        let resource = ApiResource::erase::<HorizontalPodAutoscaler>(&());
        let autoscalers = found(self.list(&resource, &owned()).await)?;
        let finding = |scaler: DynamicObject| {
            let has_reported = condition(&scaler.data, "ScalingActive", |_| true).is_some();
            let silent = || (!has_reported && self.is_old(&scaler)).then(|| "it has not reported".to_owned());
            AutoscalerFinding {
                namespace: scaler.namespace().unwrap_or_default(),
                name: scaler.name_any(),
                metrics: LagSource::OURS.names_in(&scaler.data).map(str::to_owned).collect(),
                problem: condition(&scaler.data, "ScalingActive", |status| status != "True").or_else(silent),
                has_read_lag: LagSource::OURS
                    .names_in(&scaler.data)
                    .any(|name| LagSource::OURS.average_in(&scaler.data["status"], name).is_some()),
            }
        };
        Ok(autoscalers.into_iter().map(finding).collect())
    }

    /// Lists objects in the namespaces that the operator watches.
    pub(super) async fn list(
        &self,
        resource: &ApiResource,
        params: &ListParams,
    ) -> Result<Vec<DynamicObject>, RequestError> {
        if self.scope.is_empty() {
            return self.list_all(resource, params).await;
        }
        let mut objects = Vec::new();
        for namespace in self.scope {
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, resource);
            let what = format!("list {} in namespace {namespace}", resource.plural);
            objects.extend(with_deadline(what, api.list(params)).await?.items);
        }
        Ok(objects)
    }

    pub(super) async fn list_all(
        &self,
        resource: &ApiResource,
        params: &ListParams,
    ) -> Result<Vec<DynamicObject>, RequestError> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), resource);
        Ok(with_deadline(format!("list {}", resource.plural), api.list(params)).await?.items)
    }
}

/// Selects the resources that the operator owns.
pub(super) fn owned() -> ListParams {
    ListParams::default().labels(&format!("{}={}", names::LABEL_MANAGED_BY, names::OPERATOR))
}

fn condition_of<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition["type"] == type_)
}

/// When the status of a condition changed last.
fn transition_time(object: &Value, type_: &str) -> Option<SystemTime> {
    let time: Timestamp = condition_of(object, type_)?["lastTransitionTime"].as_str()?.parse().ok()?;
    Some(time.into())
}

/// Reason and message of a condition if its status matches.
fn condition(object: &Value, type_: &str, matches: impl Fn(&str) -> bool) -> Option<String> {
    let found = condition_of(object, type_)?;
    let text = |key: &str| found[key].as_str().unwrap_or_default();
    matches(text("status")).then(|| format!("{}: {}", text("reason"), text("message")))
}
