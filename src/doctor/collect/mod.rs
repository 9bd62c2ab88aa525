//! Reads the findings from a cluster. Writes nothing: the two groups are created with dry-run.

mod defaults;
pub(crate) mod flags;
mod groups;
mod installer;
mod integrations;
mod permissions;
mod process;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use http::Request;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kcg_api::{KconsumerGroup, names};
use kcg_core::children::ChildKind;
use kcg_runtime::client::{DEADLINE, RequestError, with_deadline};
use kcg_runtime::discovery::OptionalKind;
use kcg_webhook::topics;
use kube::api::PostParams;
use kube::client::Body;
use kube::{Api, Client};
use serde_json::{Value, json};

use flags::Flags;
use process::OperatorProcess;

use super::findings::{ConfigurationFinding, DryRun, DryRunError, Findings, Found, LeaseFinding};
use crate::cluster::{crd_version, optional_kind};
use crate::webhook_configurations::{WebhookConfiguration, WebhookConfigurationKind};

/// How long a new object may lack a report of its controller.
const REPORT_GRACE: Duration = Duration::from_mins(5);

/// Checks that the API server responds.
pub(crate) async fn reach(client: &Client) -> Result<(), RequestError> {
    with_deadline("reach the cluster", client.apiserver_version()).await.map(drop)
}

/// Reads all findings. `namespace` is the operator's.
pub async fn collect(client: &Client, namespace: &str) -> Findings {
    let now = server_time(client).await;
    let controller = OperatorProcess::read(client, namespace, ("controller", names::CONTROLLER)).await;
    let webhook = OperatorProcess::read(client, namespace, ("webhook", names::WEBHOOK)).await;
    let defaults = Flags::of(None, "controller", namespace);
    let flags = controller.as_ref().map_or(&defaults, |controller| &controller.flags);
    let scope = flags.namespaces();
    let collector = Collector { client, namespace, scope: &scope, now };
    let served = |kind: OptionalKind| async move { collector.served_version(&kind).await };
    let [mutating, validating] = WebhookConfigurationKind::ALL;
    let name = flags.webhook_configuration();
    let namespaces = collector.namespace_labels().await;
    Findings {
        namespace: namespace.to_owned(),
        now,
        installer: installer::find(client, [&controller, &webhook]).await,
        crd: found(crd_version::skew(client).await),
        configurations: [
            collector.configurations(mutating, name).await,
            collector.configurations(validating, name).await,
        ],
        written_configuration: flags.written_configuration(),
        secret: collector.secret().await,
        dry_run: collector.dry_run(scope.first().map_or("default", String::as_str)).await,
        elects_a_leader: flags.elects_a_leader(),
        lease: collector.lease(flags.lease()).await,
        permissions: collector.permissions(&controller, &webhook).await,
        flag_differences: flag_differences(&controller, &webhook),
        defaults: collector.defaults([&controller, &webhook]).await,
        defaults_file: None,
        other_namespaces: collector.other_namespaces([&controller, &webhook]).await,
        controller_pods: controller.as_ref().map(OperatorProcess::finding).map_err(Clone::clone),
        webhook_pods: webhook.as_ref().map(OperatorProcess::finding).map_err(Clone::clone),
        kafka_topics: served(topics::kind()).await,
        service_monitors: served(optional_kind(ChildKind::ServiceMonitor)).await,
        prometheus_rules: served(optional_kind(ChildKind::PrometheusRule)).await,
        pod_metrics: collector.pod_metrics().await,
        groups: collector.groups().await,
        autoscalers: collector.autoscalers().await,
        service_monitor_objects: collector.labeled(ChildKind::ServiceMonitor, &namespaces).await,
        rule_objects: collector.labeled(ChildKind::PrometheusRule, &namespaces).await,
        own_monitors: collector.own("PodMonitor", &namespaces).await,
        own_rules: collector.own("PrometheusRule", &namespaces).await,
        prometheuses: collector.prometheuses().await,
    }
}

fn flag_differences(
    controller: &Found<OperatorProcess>,
    webhook: &Found<OperatorProcess>,
) -> Option<Vec<String>> {
    let deployed = |process: &OperatorProcess| process.is_deployed();
    let controller = controller.as_ref().ok().filter(|process| deployed(process))?;
    let webhook = webhook.as_ref().ok().filter(|process| deployed(process))?;
    Some(Flags::differences(&controller.flags, &webhook.flags))
}

fn found<T>(result: Result<T, RequestError>) -> Found<T> {
    result.map_err(|error| error.to_string())
}

/// The API server's time, by which certificates expire and Leases are renewed; the local time if
/// the API server does not send it.
async fn server_time(client: &Client) -> SystemTime {
    let date = async {
        let request = Request::get("/version").body(Body::empty()).ok()?;
        let response = client.send(request).await.ok()?;
        let date = response.headers().get(http::header::DATE)?.to_str().ok()?;
        let date = k8s_openapi::jiff::fmt::rfc2822::parse(date).ok()?;
        Some(SystemTime::from(date.timestamp()))
    };
    let date = tokio::time::timeout(DEADLINE, date).await.ok().flatten();
    date.unwrap_or_else(SystemTime::now)
}

#[derive(Clone, Copy)]
struct Collector<'a> {
    client: &'a Client,
    namespace: &'a str,
    /// The namespaces with groups; empty: all.
    scope: &'a [String],
    now: SystemTime,
}

impl Collector<'_> {
    /// The API of a kind in the operator's namespace.
    fn own_namespace<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    async fn configurations(
        &self,
        kind: WebhookConfigurationKind,
        name: &str,
    ) -> Found<Vec<ConfigurationFinding>> {
        let configurations = found(kind.of_installation(self.client, name, self.namespace).await)?;
        let finding = |configuration: WebhookConfiguration| ConfigurationFinding {
            bundles: configuration.ca_bundles().collect(),
            injected_from: configuration.injected_from,
            name: configuration.name,
        };
        Ok(configurations.into_iter().map(finding).collect())
    }

    async fn secret(&self) -> Found<Option<BTreeMap<String, Vec<u8>>>> {
        let what = format!("get Secret {}/{}", self.namespace, names::CERTIFICATE_SECRET);
        let api = self.own_namespace::<Secret>();
        let secret = found(with_deadline(what, api.get_opt(names::CERTIFICATE_SECRET)).await)?;
        let data = secret.map(|secret| secret.data.unwrap_or_default());
        Ok(data.map(|data| data.into_iter().map(|(name, content)| (name, content.0)).collect()))
    }

    /// Creates a valid and an invalid group with dry-run.
    async fn dry_run(&self, namespace: &str) -> DryRun {
        let api: Api<KconsumerGroup> = Api::namespaced(self.client.clone(), namespace);
        let parameters = PostParams { dry_run: true, ..PostParams::default() };
        let create = async |template: Value| {
            let group = dry_run_group(&template).map_err(|error| DryRunError::Failed(error.to_string()))?;
            let created = with_deadline("create a group with dry-run", api.create(&parameters, &group)).await;
            created.map_err(|error| {
                let message = error.to_string();
                match error.code() {
                    Some(422) => DryRunError::Rejected(message),
                    Some(401 | 403) => DryRunError::Forbidden(message),
                    _ => DryRunError::Failed(message),
                }
            })
        };
        let valid = create(json!({})).await.map(|group| group.spec.consumer_spec.group_id.is_some());
        // Only the webhook validates a pod template; the CRD's schema does not.
        let invalid = create(json!({"spec": {"hostNetwork": true}})).await.map(|_| ());
        DryRun { valid, invalid }
    }

    async fn lease(&self, (namespace, name): (&str, &str)) -> Found<Option<LeaseFinding>> {
        let what = format!("get Lease {namespace}/{name}");
        let api: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        let lease = found(with_deadline(what, api.get_opt(name)).await)?;
        let Some(spec) = lease.and_then(|lease| lease.spec) else { return Ok(None) };
        let renewed = spec.renew_time.map_or(SystemTime::UNIX_EPOCH, |time| time.0.into());
        Ok(Some(LeaseFinding {
            holder: spec.holder_identity.unwrap_or_default(),
            seconds_ago: self.now.duration_since(renewed).unwrap_or_default().as_secs(),
            lease_seconds: u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default(),
        }))
    }
}

fn dry_run_group(template: &Value) -> serde_json::Result<KconsumerGroup> {
    serde_json::from_value(json!({
        "metadata": {"name": "doctor-trial"},
        "spec": {"consumerSpec": {"image": "trial", "topic": "trial", "podTemplate": template}},
    }))
}
