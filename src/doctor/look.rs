//! Looking at a cluster: every finding by as few requests as it takes, nothing kept and nothing changed. Floor 2.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use http::Request;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIResourceList};
use kcg_api::{KconsumerGroup, names, topic};
use kcg_runtime::client::{DEADLINE, RequestError, with_deadline};
use kcg_runtime::discovery::OptionalKind;
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::client::Body;
use kube::core::ApiResource;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::{
    Answer, Autoscaler, Findings, Found, Group, Lead, Monitor, Prometheus, Registration, Right, Trial,
};
use crate::cluster::{crd_version, optional_kind};
use crate::rbac;
use kcg_core::children::ChildKind;
use kcg_core::lag::LagSource;

/// How long a new object may be without a word of whoever looks after it.
const GRACE: Duration = Duration::from_mins(5);
const CUSTOM_METRICS: &str = "custom.metrics.k8s.io";

/// Looks at all of it. `namespace` is the operator's.
pub async fn look(client: &Client, namespace: &str) -> Findings {
    let now = clock(client).await;
    let flags = flags(client, namespace).await;
    let scope = flags.as_ref().map_or(&[][..], |flags| &flags.namespaces);
    let looking = Looking { client, namespace, scope, now };
    let served = |kind: OptionalKind| async move { looking.served(&kind).await };
    Findings {
        namespace: namespace.to_owned(),
        now,
        crd: said(crd_version::skew(client).await),
        registrations: [looking.mutating().await, looking.validating().await],
        secret: looking.secret().await,
        trial: looking.trial(scope.first().map_or("default", String::as_str)).await,
        lease: looking.lease().await,
        rights: match &flags {
            Ok(flags) => looking.rights(flags).await,
            Err(why) => ["controller", "webhook"]
                .map(|who| Right { who, what: String::new(), allowed: Err(why.clone()) })
                .into(),
        },
        kafka_topics: served(OptionalKind::new(topic::GROUP, topic::KIND, &topic::VERSIONS)).await,
        service_monitors: served(optional_kind(ChildKind::ServiceMonitor)).await,
        prometheus_rules: served(optional_kind(ChildKind::PrometheusRule)).await,
        metrics: looking.metrics().await,
        groups: looking.groups().await,
        autoscalers: looking.autoscalers().await,
        monitors: looking.monitors().await,
        prometheuses: looking.prometheuses().await,
    }
}

fn said<T>(answer: Result<T, RequestError>) -> Found<T> {
    answer.map_err(|error| error.to_string())
}

/// What the controller's Deployment tells its process.
#[derive(Debug, Default)]
struct Flags {
    /// Empty: all of the cluster.
    namespaces: Vec<String>,
    topic_namespaces: Vec<String>,
    keeps_certificates: bool,
}

impl Flags {
    fn read(args: &[String]) -> Self {
        let values = |flag: &'static str| {
            let named = args.iter().filter_map(move |arg| arg.strip_prefix(flag)?.strip_prefix('='));
            let named = named.flat_map(|value| value.split(','));
            named.filter(|value| !value.is_empty() && *value != "*").map(str::to_owned)
        };
        Self {
            namespaces: values("--namespaces").collect(),
            topic_namespaces: values("--topic-namespaces").collect(),
            keeps_certificates: values("--certificates").any(|who| who == "self-managed"),
        }
    }
}

/// None where there is no such Deployment: the rights of the usual installation are looked at then.
async fn flags(client: &Client, namespace: &str) -> Found<Flags> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let found = said(with_deadline("get the controller's Deployment", api.get_opt(names::CONTROLLER)).await)?;
    let pod = found.and_then(|deployment| deployment.spec.template.spec);
    let container = pod.and_then(|pod| pod.containers.into_iter().next());
    Ok(Flags::read(&container.and_then(|container| container.args).unwrap_or_default()))
}

/// The API server's clock, which judges certificates and renews Leases; where it does not say, this computer's.
async fn clock(client: &Client) -> SystemTime {
    let told = async {
        let request = Request::get("/version").body(Body::empty()).ok()?;
        let answer = client.send(request).await.ok()?;
        let date = answer.headers().get(http::header::DATE)?.to_str().ok()?;
        let date = k8s_openapi::jiff::fmt::rfc2822::parse(date).ok()?;
        Some(SystemTime::from(date.timestamp()))
    };
    let told = tokio::time::timeout(DEADLINE, told).await.ok().flatten();
    told.unwrap_or_else(SystemTime::now)
}

#[derive(Clone, Copy)]
struct Looking<'a> {
    client: &'a Client,
    namespace: &'a str,
    /// The namespaces that are looked after; empty: all.
    scope: &'a [String],
    now: SystemTime,
}

impl Looking<'_> {
    fn ours<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    async fn mutating(&self) -> Found<Option<Registration>> {
        let api: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let found = said(with_deadline("get the mutating registration", api.get_opt(self.namespace)).await)?;
        let webhooks = found.map(|found| found.webhooks.unwrap_or_default());
        Ok(webhooks.map(|webhooks| registration(webhooks.into_iter().map(|webhook| webhook.client_config))))
    }

    async fn validating(&self) -> Found<Option<Registration>> {
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.client.clone());
        let found =
            said(with_deadline("get the validating registration", api.get_opt(self.namespace)).await)?;
        let webhooks = found.map(|found| found.webhooks.unwrap_or_default());
        Ok(webhooks.map(|webhooks| registration(webhooks.into_iter().map(|webhook| webhook.client_config))))
    }

    async fn secret(&self) -> Found<Option<BTreeMap<String, Vec<u8>>>> {
        let what = format!("get Secret {}/{}", self.namespace, names::CERTIFICATE_SECRET);
        let found =
            said(with_deadline(what, self.ours::<Secret>().get_opt(names::CERTIFICATE_SECRET)).await)?;
        let data = found.map(|secret| secret.data.unwrap_or_default());
        Ok(data.map(|data| data.into_iter().map(|(name, content)| (name, content.0)).collect()))
    }

    /// Creates two groups without keeping them.
    async fn trial(&self, namespace: &str) -> Trial {
        let api: Api<KconsumerGroup> = Api::namespaced(self.client.clone(), namespace);
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let try_group = async |template: Value| {
            let group = trial_group(&template).map_err(|error| Answer::Failed(error.to_string()))?;
            let tried = with_deadline("create a group without keeping it", api.create(&dry, &group)).await;
            tried.map_err(|error| {
                let said = error.to_string();
                match error.code() {
                    Some(422) => Answer::Refused(said),
                    Some(401 | 403) => Answer::Forbidden(said),
                    _ => Answer::Failed(said),
                }
            })
        };
        let good = try_group(json!({})).await.map(|group| group.spec.consumer_spec.group_id.is_some());
        // The CRD leaves a pod template's rules to the webhook.
        let bad = try_group(json!({"spec": {"hostNetwork": true}})).await.map(|_| ());
        Trial { good, bad }
    }

    async fn lease(&self) -> Found<Option<Lead>> {
        let what = format!("get Lease {}/{}", self.namespace, names::LEASE);
        let found = said(with_deadline(what, self.ours::<Lease>().get_opt(names::LEASE)).await)?;
        let Some(spec) = found.and_then(|lease| lease.spec) else { return Ok(None) };
        let renewed = spec.renew_time.map_or(SystemTime::UNIX_EPOCH, |time| time.0.into());
        Ok(Some(Lead {
            holder: spec.holder_identity.unwrap_or_default(),
            seconds_ago: self.now.duration_since(renewed).unwrap_or_default().as_secs(),
            lease_seconds: u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default(),
        }))
    }

    /// Asks for every right that the shipped roles grant, in the name of the ServiceAccount that needs it.
    async fn rights(&self, flags: &Flags) -> Vec<Right> {
        let everywhere = [String::new()];
        let places = if flags.namespaces.is_empty() { &everywhere[..] } else { &flags.namespaces };
        let beyond = if flags.namespaces.is_empty() { &[][..] } else { &flags.topic_namespaces };
        let mut wanted: Vec<(&str, String, Value)> = Vec::new();
        for place in places {
            wanted.extend(rbac::controller().into_iter().map(|rule| ("controller", place.clone(), rule)));
            wanted.extend(rbac::topics().into_iter().map(|rule| ("webhook", place.clone(), rule)));
        }
        for place in beyond {
            for who in ["controller", "webhook"] {
                wanted.extend(rbac::topics().into_iter().map(|rule| (who, place.clone(), rule)));
            }
        }
        let mut own = |place: &str, rules: Vec<Value>| {
            wanted.extend(rules.into_iter().map(|rule| ("controller", place.to_owned(), rule)));
        };
        own(self.namespace, rbac::lease());
        if flags.keeps_certificates {
            own(self.namespace, rbac::certificate_secret());
            own("", rbac::webhook_configurations(self.namespace));
        }
        let mut rights = Vec::new();
        for (who, place, rule) in wanted {
            for asked in asked(&place, &rule) {
                rights.push(Right { who, what: in_words(&asked), allowed: self.may(who, asked).await });
            }
        }
        rights
    }

    async fn may(&self, who: &str, asked: ResourceAttributes) -> Found<bool> {
        let account = if who == "webhook" { names::WEBHOOK } else { names::CONTROLLER };
        let groups = [
            "system:serviceaccounts",
            &format!("system:serviceaccounts:{}", self.namespace),
            "system:authenticated",
        ];
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{}:{account}", self.namespace)),
                groups: Some(groups.map(str::to_owned).into()),
                resource_attributes: Some(asked),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer =
            said(with_deadline("ask for a right", api.create(&PostParams::default(), &review)).await)?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    async fn served(&self, kind: &OptionalKind) -> Found<Option<String>> {
        Ok(said(kind.find(self.client).await)?.map(|found| found.api_version))
    }

    /// An API that is registered and does not answer is as good as none.
    async fn metrics(&self) -> Found<Option<Vec<String>>> {
        let absent = |error: &RequestError| matches!(error.code(), Some(404 | 503));
        let group: APIGroup = match self.get(&format!("/apis/{CUSTOM_METRICS}")).await {
            Err(error) if absent(&error) => return Ok(None),
            answer => said(answer)?,
        };
        let Some(version) = group.preferred_version.or_else(|| group.versions.into_iter().next()) else {
            return Ok(None);
        };
        let list: APIResourceList = match self.get(&format!("/apis/{}", version.group_version)).await {
            Err(error) if absent(&error) => return Ok(None),
            answer => said(answer)?,
        };
        let of_pods = |resource: k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource| {
            Some(resource.name.strip_prefix("pods/")?.to_owned())
        };
        Ok(Some(list.resources.into_iter().filter_map(of_pods).collect()))
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, RequestError> {
        with_deadline(format!("get {path}"), async {
            let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
            self.client.request(request).await
        })
        .await
    }

    async fn groups(&self) -> Found<Vec<Group>> {
        let resource = ApiResource {
            group: names::GROUP.into(),
            version: names::VERSION.into(),
            api_version: format!("{}/{}", names::GROUP, names::VERSION),
            kind: names::KIND.into(),
            plural: names::PLURAL.into(),
        };
        let groups = match self.list(&resource, &ListParams::default()).await {
            // That the kind is not served has a check of its own.
            Err(error) if error.is_not_found() => Vec::new(),
            answer => said(answer)?,
        };
        let group = |group: DynamicObject| Group {
            namespace: group.namespace().unwrap_or_default(),
            name: group.name_any(),
            trouble: condition(&group.data, "Ready", |status| status == "False")
                .or_else(|| self.unseen(&group)),
        };
        Ok(groups.into_iter().map(group).collect())
    }

    /// A group's spec that nobody has looked at, though there was time.
    fn unseen(&self, group: &DynamicObject) -> Option<String> {
        let seen = group.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
        let looked_at = seen.is_some() && seen >= group.metadata.generation;
        (!looked_at && self.is_old(group))
            .then(|| "nobody has looked at its spec: is its namespace among the operator's?".to_owned())
    }

    fn is_old(&self, object: &DynamicObject) -> bool {
        let created = object.metadata.creation_timestamp.as_ref().map(|time| SystemTime::from(time.0));
        created.and_then(|created| self.now.duration_since(created).ok()).is_some_and(|age| age > GRACE)
    }

    /// In the namespaces that are looked after.
    async fn list(
        &self,
        resource: &ApiResource,
        params: &ListParams,
    ) -> Result<Vec<DynamicObject>, RequestError> {
        if self.scope.is_empty() {
            return self.list_all(resource, params).await;
        }
        let mut found = Vec::new();
        for namespace in self.scope {
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, resource);
            let what = format!("list {} in namespace {namespace}", resource.plural);
            found.extend(with_deadline(what, api.list(params)).await?.items);
        }
        Ok(found)
    }

    async fn list_all(
        &self,
        resource: &ApiResource,
        params: &ListParams,
    ) -> Result<Vec<DynamicObject>, RequestError> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), resource);
        Ok(with_deadline(format!("list {}", resource.plural), api.list(params)).await?.items)
    }

    async fn autoscalers(&self) -> Found<Vec<Autoscaler>> {
        let resource = ApiResource::erase::<HorizontalPodAutoscaler>(&());
        let list = said(self.list(&resource, &managed()).await)?;
        let scaler = |scaler: DynamicObject| {
            let reported = condition(&scaler.data, "ScalingActive", |_| true).is_some();
            let silent = || (!reported && self.is_old(&scaler)).then(|| "it has not reported".to_owned());
            let metric = LagSource::OURS.name_in(&scaler.data);
            Autoscaler {
                namespace: scaler.namespace().unwrap_or_default(),
                name: scaler.name_any(),
                metric: metric.unwrap_or_default().to_owned(),
                trouble: condition(&scaler.data, "ScalingActive", |status| status != "True").or_else(silent),
            }
        };
        Ok(list.into_iter().map(scaler).collect())
    }

    async fn monitors(&self) -> Found<Vec<Monitor>> {
        let Some(resource) = said(optional_kind(ChildKind::ServiceMonitor).find(self.client).await)? else {
            return Ok(Vec::new());
        };
        let monitors = said(self.list(&resource, &managed()).await)?;
        let api: Api<Namespace> = Api::all(self.client.clone());
        let list = said(with_deadline("list namespaces", api.list(&ListParams::default())).await)?;
        let mut labels: BTreeMap<String, BTreeMap<String, String>> = list
            .items
            .into_iter()
            .map(|namespace| (namespace.name_any(), namespace.metadata.labels.unwrap_or_default()))
            .collect();
        let monitor = |monitor: DynamicObject| {
            let namespace = monitor.namespace().unwrap_or_default();
            Monitor {
                name: monitor.name_any(),
                labels: monitor.labels().clone(),
                namespace_labels: labels.entry(namespace.clone()).or_default().clone(),
                namespace,
            }
        };
        Ok(monitors.into_iter().map(monitor).collect())
    }

    async fn prometheuses(&self) -> Found<Option<Vec<Prometheus>>> {
        let kind = OptionalKind::new("monitoring.coreos.com", "Prometheus", &["v1"]);
        let Some(resource) = said(kind.find(self.client).await)? else { return Ok(None) };
        let found = said(self.list_all(&resource, &ListParams::default()).await)?;
        let prometheus = |prometheus: DynamicObject| {
            let selector =
                |name: &str| serde_json::from_value(prometheus.data["spec"].get(name)?.clone()).ok();
            Prometheus {
                namespace: prometheus.namespace().unwrap_or_default(),
                name: prometheus.name_any(),
                monitors: selector("serviceMonitorSelector"),
                namespaces: selector("serviceMonitorNamespaceSelector"),
            }
        };
        Ok(Some(found.into_iter().map(prometheus).collect()))
    }
}

fn managed() -> ListParams {
    ListParams::default().labels(&format!("{}={}", names::LABEL_MANAGED_BY, names::OPERATOR))
}

fn registration(webhooks: impl Iterator<Item = WebhookClientConfig>) -> Registration {
    Registration { bundles: webhooks.map(|webhook| webhook.ca_bundle.unwrap_or_default().0).collect() }
}

fn trial_group(template: &Value) -> serde_json::Result<KconsumerGroup> {
    serde_json::from_value(json!({
        "metadata": {"name": "doctor-trial"},
        "spec": {"consumerSpec": {"image": "trial", "topic": "trial", "podTemplate": template}},
    }))
}

/// Reason and message of a condition whose status is such a one.
fn condition(object: &Value, type_: &str, is: impl Fn(&str) -> bool) -> Option<String> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == type_)?;
    let text = |key: &str| found[key].as_str().unwrap_or_default();
    is(text("status")).then(|| format!("{}: {}", text("reason"), text("message")))
}

/// Each verb on each resource of a rule; an empty place is all namespaces.
fn asked(place: &str, rule: &Value) -> Vec<ResourceAttributes> {
    let texts = |key: &str| {
        let texts = rule[key].as_array().into_iter().flatten();
        texts.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let (groups, names) = (texts("apiGroups"), texts("resourceNames"));
    let mut all = Vec::new();
    for resource in texts("resources") {
        let (resource, subresource) = match resource.split_once('/') {
            Some((resource, subresource)) => (resource.to_owned(), Some(subresource.to_owned())),
            None => (resource, None),
        };
        for verb in texts("verbs") {
            all.push(ResourceAttributes {
                group: groups.first().cloned(),
                resource: Some(resource.clone()),
                subresource: subresource.clone(),
                verb: Some(verb),
                name: names.first().cloned(),
                namespace: (!place.is_empty()).then(|| place.to_owned()),
                ..ResourceAttributes::default()
            });
        }
    }
    all
}

fn in_words(asked: &ResourceAttributes) -> String {
    let mut words = format!(
        "{} {}",
        asked.verb.as_deref().unwrap_or_default(),
        asked.resource.as_deref().unwrap_or_default()
    );
    if let Some(subresource) = &asked.subresource {
        words = format!("{words}/{subresource}");
    }
    if let Some(group) = asked.group.as_ref().filter(|group| !group.is_empty()) {
        words = format!("{words}.{group}");
    }
    if let Some(name) = &asked.name {
        words = format!("{words} {name}");
    }
    match &asked.namespace {
        Some(namespace) => format!("{words} in namespace {namespace}"),
        None => words,
    }
}
