//! One namespace with a controller of its own in this process, on a control plane that all tests of the file
//! share.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kcg_api::valid::TopicGrants;
use kcg_devcluster::{ControlPlane, Crds, deploy_folder, wait};
use kcg_runtime::client::RequestMetrics;
use kcg_runtime::lease::Candidate;
use kcg_runtime::watch::Scope;
use kconsumer_group_operator::controller::{self, ControllerError, Scopes, Settings};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::ApiResource;
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::faults::{Faults, Log};

pub type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;
type Found<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub const CHILDREN: [&str; 5] =
    ["services", "servicemonitors", "prometheusrules", "horizontalpodautoscalers", "deployments"];

static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();

async fn plane() -> Found<&'static ControlPlane> {
    let start = || async {
        let crds = Crds::all(deploy_folder()?.join("crd"));
        ControlPlane::builder().controller_manager(false).scheduler(false).crds(crds).start().await
    };
    Ok(PLANE.get_or_try_init(start).await?)
}

pub struct Place {
    namespace: String,
    client: Client,
    pub faults: Faults,
    pub log: Log,
    probes: std::net::SocketAddr,
    stop: CancellationToken,
    controller: JoinHandle<Result<(), ControllerError>>,
}

impl Place {
    pub async fn open(namespace: &str) -> Found<Self> {
        let plane = plane().await?;
        let client = plane.client().await?;
        let object: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        Api::all(client.clone()).create(&PostParams::default(), &object).await?;
        let faults = Faults::default();
        let (stop, requests) = (CancellationToken::new(), RequestMetrics::default());
        let faulty = faulty_client(plane, &faults).await?;
        let probes = free_address()?;
        let scope = Scope::Namespaces([namespace.to_owned()].into());
        let settings = Settings {
            scopes: Scopes { groups: scope.clone(), topics: scope },
            grants: TopicGrants::Own,
            probes,
            candidate: Candidate::new(namespace, "controller", "test"),
            certificates: None,
        };
        let told = stop.clone();
        let controller =
            tokio::spawn(async move { controller::run(settings, faulty, &requests, told).await });
        let place = Self {
            namespace: namespace.to_owned(),
            client,
            log: faults.log.clone(),
            faults,
            probes,
            stop,
            controller,
        };
        let topic = json!({"apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic", "metadata": {"name": "t"},
            "spec": {"partitions": 3, "replicas": 1}});
        place.create("kafka.strimzi.io", "v1", "kafkatopics", &topic).await?;
        Ok(place)
    }

    /// The controller ends when it is told to, and without a fault.
    pub async fn close(self) -> Outcome {
        self.stop.cancel();
        self.controller.await??;
        Ok(())
    }

    pub async fn create_group(&self, name: &str, spec: &Value) -> Outcome {
        let mut group = json!({"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup",
            "metadata": {"name": name}, "spec": {"consumerSpec": {"image": "a/b:1", "topic": "t"}}});
        for (field, value) in spec.as_object().into_iter().flatten() {
            group["spec"][field] = value.clone();
        }
        self.create("thenextapps.com", "v1alpha1", "kconsumergroups", &group).await
    }

    pub async fn delete_namespace(&self) -> Outcome {
        Api::<Namespace>::all(self.client.clone()).delete(&self.namespace, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Somebody else changes a child.
    pub async fn spoil(&self, plural: &str, name: &str, patch: &Value) -> Outcome {
        self.child(plural).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    pub async fn has_all_children(&self, name: &str, limit: Duration) -> Outcome {
        for plural in CHILDREN {
            self.has_child(plural, name, limit).await?;
        }
        Ok(())
    }

    pub async fn has_child(&self, plural: &str, name: &str, limit: Duration) -> Outcome {
        self.has(plural, name, "is there", limit, |_| true).await
    }

    pub async fn has(
        &self,
        plural: &str,
        name: &str,
        what: &str,
        limit: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Outcome {
        let api = self.child(plural);
        wait::until(&format!("{plural} {name}: {what}"), limit, async || {
            let live = api.get_opt(name).await.ok().flatten();
            let live = live.and_then(|live| serde_json::to_value(live).ok());
            Ok(live.filter(|live| is_so(live)).map(drop).ok_or_else(|| "not so".to_owned()))
        })
        .await?;
        Ok(())
    }

    pub async fn has_status(&self, name: &str, limit: Duration) -> Outcome {
        self.says(name, "Paused", "Running", limit).await.map(drop)
    }

    /// Waits until a condition gives a reason; returns its message.
    pub async fn says(&self, name: &str, condition: &str, reason: &str, limit: Duration) -> Found<String> {
        self.condition_is(name, condition, limit, |found| found["reason"] == reason).await
    }

    /// Waits until nothing is said of a write that failed.
    pub async fn is_without_trouble(&self, name: &str, limit: Duration) -> Outcome {
        let quiet = |found: &Value| found["reason"] == "PodsNotReady";
        self.condition_is(name, "Ready", limit, quiet).await.map(drop)
    }

    async fn condition_is(
        &self,
        name: &str,
        condition: &str,
        limit: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Found<String> {
        let what = format!("{name}'s {condition}");
        let found = wait::until(&what, limit, async || {
            let found = self.condition(name, condition).await.ok().flatten();
            Ok(match found {
                Some(found) if is_so(&found) => Ok(found["message"].as_str().unwrap_or_default().to_owned()),
                other => Err(format!("{other:?}")),
            })
        });
        Ok(found.await?)
    }

    pub async fn condition(&self, name: &str, type_: &str) -> Found<Option<Value>> {
        let group = self.api("thenextapps.com", "v1alpha1", "kconsumergroups").get(name).await?;
        let conditions = group.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions.into_iter().find(|condition| condition["type"] == type_))
    }

    /// Waits until the controller says that it does not hold the Lease.
    pub async fn no_longer_leads(&self, limit: Duration) -> Outcome {
        let address = format!("http://{}/metrics", self.probes);
        wait::until("leader 0", limit, async || {
            let text = get(&address).await.unwrap_or_default();
            let leader = text.lines().find(|line| line.starts_with("kconsumer_group_operator_leader "));
            Ok(if leader.is_some_and(|line| line.ends_with(" 0")) {
                Ok(())
            } else {
                Err(format!("{leader:?}"))
            })
        })
        .await?;
        Ok(())
    }

    async fn create(&self, group: &str, version: &str, plural: &str, object: &Value) -> Outcome {
        let object: DynamicObject = serde_json::from_value(object.clone())?;
        self.api(group, version, plural).create(&PostParams::default(), &object).await?;
        Ok(())
    }

    fn child(&self, plural: &str) -> Api<DynamicObject> {
        let (group, version) = match plural {
            "services" => ("", "v1"),
            "deployments" => ("apps", "v1"),
            "horizontalpodautoscalers" => ("autoscaling", "v2"),
            _ => ("monitoring.coreos.com", "v1"),
        };
        self.api(group, version, plural)
    }

    fn api(&self, group: &str, version: &str, plural: &str) -> Api<DynamicObject> {
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version,
            kind: String::new(),
            plural: plural.to_owned(),
        };
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }
}

async fn faulty_client(plane: &ControlPlane, faults: &Faults) -> Found<Client> {
    let kubeconfig = Kubeconfig::read_from(plane.kubeconfig_path())?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(ClientBuilder::try_from(config)?.with_layer(faults).build())
}

fn free_address() -> std::io::Result<std::net::SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// A plain GET; the probes' port speaks no more than that.
async fn get(address: &str) -> Found<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (host, path) = address.trim_start_matches("http://").split_once('/').ok_or("no path")?;
    let mut stream = tokio::net::TcpStream::connect(host).await?;
    stream.write_all(format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
