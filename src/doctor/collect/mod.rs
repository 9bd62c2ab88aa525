//! Reads the findings from a cluster. Writes nothing: the two groups are created with dry-run.

mod defaults;
mod groups;
mod integrations;
mod permissions;
mod pods;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use http::Request;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Container, Secret};
use kcg_api::{KconsumerGroup, names, topic};
use kcg_core::children::ChildKind;
use kcg_runtime::client::{DEADLINE, RequestError, with_deadline};
use kcg_runtime::discovery::OptionalKind;
use kube::api::PostParams;
use kube::client::Body;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::findings::{DryRun, DryRunError, Findings, Found, LeaseFinding, Permission};
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
    let flags = controller_flags(client, namespace).await;
    let scope = flags.as_ref().map_or(&[][..], |flags| &flags.namespaces);
    let collector = Collector { client, namespace, scope, now };
    let served = |kind: OptionalKind| async move { collector.served_version(&kind).await };
    let [mutating, validating] = WebhookConfigurationKind::ALL;
    let name = flags.as_ref().map_or(namespace, |flags| flags.webhook_configuration(namespace));
    let [mutating, validating] =
        [collector.configurations(mutating, name).await, collector.configurations(validating, name).await];
    Findings {
        namespace: namespace.to_owned(),
        now,
        crd: found(crd_version::skew(client).await),
        configuration_names: [&mutating, &validating].map(names),
        ca_bundles: [&mutating, &validating].map(ca_bundles),
        written_configuration: flags.as_ref().ok().and_then(|flags| flags.written_configuration(namespace)),
        secret: collector.secret().await,
        dry_run: collector.dry_run(scope.first().map_or("default", String::as_str)).await,
        lease: collector.lease().await,
        permissions: match &flags {
            Ok(flags) => collector.permissions(flags).await,
            Err(why) => ["controller", "webhook"]
                .map(|process| Permission { process, what: String::new(), allowed: Err(why.clone()) })
                .into(),
        },
        defaults: collector.defaults().await,
        defaults_file: None,
        controller_pods: collector.deployed_pods(names::CONTROLLER).await,
        webhook_pods: collector.deployed_pods(names::WEBHOOK).await,
        kafka_topics: served(OptionalKind::new(topic::GROUP, topic::KIND, &topic::VERSIONS)).await,
        service_monitors: served(optional_kind(ChildKind::ServiceMonitor)).await,
        prometheus_rules: served(optional_kind(ChildKind::PrometheusRule)).await,
        pod_metrics: collector.pod_metrics().await,
        groups: collector.groups().await,
        autoscalers: collector.autoscalers().await,
        service_monitor_objects: collector.labeled(ChildKind::ServiceMonitor).await,
        rule_objects: collector.labeled(ChildKind::PrometheusRule).await,
        prometheuses: collector.prometheuses().await,
    }
}

fn found<T>(result: Result<T, RequestError>) -> Found<T> {
    result.map_err(|error| error.to_string())
}

/// The flags in the controller's Deployment.
#[derive(Debug, Default)]
struct ControllerFlags {
    /// Empty: all namespaces.
    namespaces: Vec<String>,
    topic_namespaces: Vec<String>,
    issues_certificates: bool,
    webhook_configuration: Option<String>,
}

impl ControllerFlags {
    fn parse(args: &[String]) -> Self {
        let values = |flag: &'static str| {
            let named = args.iter().filter_map(move |arg| arg.strip_prefix(flag)?.strip_prefix('='));
            let named = named.flat_map(|value| value.split(','));
            named.filter(|value| !value.is_empty() && *value != "*").map(str::to_owned)
        };
        Self {
            namespaces: values("--namespaces").collect(),
            topic_namespaces: values("--topic-namespaces").collect(),
            // The second name is that of an installation which is not upgraded yet.
            issues_certificates: ["--certificate-mode", "--certificates"]
                .into_iter()
                .flat_map(values)
                .any(|mode| mode == "self-managed"),
            webhook_configuration: values("--webhook-configuration-name").next(),
        }
    }

    /// The name of the webhook configurations. Without a flag it is the operator's namespace.
    fn webhook_configuration<'a>(&'a self, namespace: &'a str) -> &'a str {
        self.webhook_configuration.as_deref().unwrap_or(namespace)
    }

    /// The name of the webhook configurations whose CA bundle the controller writes, if it does.
    fn written_configuration(&self, namespace: &str) -> Option<String> {
        self.issues_certificates.then(|| self.webhook_configuration(namespace).to_owned())
    }
}

/// The arguments of a container, with the values of its variables that have one.
fn arguments(container: Container) -> Vec<String> {
    let variables = container.env.unwrap_or_default().into_iter();
    let variables: Vec<_> =
        variables.filter_map(|variable| Some((format!("$({})", variable.name), variable.value?))).collect();
    let expand = |arg: String| variables.iter().fold(arg, |arg, (name, value)| arg.replace(name, value));
    container.args.unwrap_or_default().into_iter().map(expand).collect()
}

/// All CA bundles; `None` if there is no configuration.
fn ca_bundles(found: &Found<Vec<WebhookConfiguration>>) -> Found<Option<Vec<Vec<u8>>>> {
    let configurations = found.as_ref().map_err(Clone::clone)?;
    let bundles = || configurations.iter().flat_map(WebhookConfiguration::ca_bundles).collect();
    Ok((!configurations.is_empty()).then(bundles))
}

fn names(configurations: &Found<Vec<WebhookConfiguration>>) -> Vec<String> {
    configurations.iter().flatten().map(|configuration| configuration.name.clone()).collect()
}

/// Defaults if there is no such Deployment: then the permissions of the default installation are
/// checked.
async fn controller_flags(client: &Client, namespace: &str) -> Found<ControllerFlags> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let deployment =
        found(with_deadline("get the controller's Deployment", api.get_opt(names::CONTROLLER)).await)?;
    let pod = deployment.and_then(|deployment| deployment.spec.template.spec);
    let container = pod.and_then(|pod| pod.containers.into_iter().next());
    Ok(ControllerFlags::parse(&container.map(arguments).unwrap_or_default()))
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
    ) -> Found<Vec<WebhookConfiguration>> {
        found(kind.of_installation(self.client, name, self.namespace).await)
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

    async fn lease(&self) -> Found<Option<LeaseFinding>> {
        let what = format!("get Lease {}/{}", self.namespace, names::LEASE);
        let lease = found(with_deadline(what, self.own_namespace::<Lease>().get_opt(names::LEASE)).await)?;
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
