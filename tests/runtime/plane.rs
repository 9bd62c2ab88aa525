//! The control plane under test, and clients of it that count their requests.

use std::path::Path;

use k8s_openapi::{NamespaceResourceScope, api::core::v1::ConfigMap};
use kcg_devcluster::{ControlPlane, Crds, KafkaTopicCrd};
use kcg_runtime::client::{ClientConfig, RequestMetrics};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// etcd and the API server alone: nothing here needs more, and it starts quickest.
pub async fn bare(kafka_topic: KafkaTopicCrd) -> Result<ControlPlane, kcg_devcluster::Error> {
    let crds = Crds { kafka_topic, ..Crds::default() };
    ControlPlane::builder().controller_manager(false).scheduler(false).crds(crds).start().await
}

/// A client as the product makes it.
pub async fn counted(kubeconfig: &Path) -> Result<(Client, RequestMetrics), Box<dyn std::error::Error>> {
    let requests = RequestMetrics::default();
    Ok((ClientConfig::new(Some(kubeconfig), "kcg-runtime-tests").client(&requests).await?, requests))
}

/// How many requests of a verb were counted, whatever came of them.
pub fn count(requests: &RequestMetrics, verb: &str) -> u64 {
    let mut registry = Registry::default();
    requests.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a String cannot fail");
    let of_verb = format!("api_requests_total{{verb=\"{verb}\",");
    let lines = text.lines().filter(|line| line.starts_with(&of_verb));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

/// Creates or changes an object, as a person with kubectl would.
pub async fn put<K>(api: &Api<K>, object: Value) -> Result<K, Box<dyn std::error::Error>>
where
    K: kube::Resource + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let name = object["metadata"]["name"].as_str().ok_or("an object without a name")?.to_owned();
    Ok(api.patch(&name, &PatchParams::apply("person").force(), &Patch::Apply(object)).await?)
}

pub fn config_map(name: &str, count: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"follow": "me"}},
        "data": {"count": count},
    })
}

pub fn topic(version: &str, name: &str, partitions: i32) -> Value {
    json!({
        "apiVersion": format!("kafka.strimzi.io/{version}"),
        "kind": "KafkaTopic",
        "metadata": {"name": name, "labels": {"strimzi.io/cluster": "kafka"}},
        "spec": {"partitions": partitions, "replicas": 1},
    })
}

pub fn in_default<K>(client: &Client) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(client.clone(), "default")
}

pub async fn delete_config_map(client: &Client, name: &str) -> kube::Result<()> {
    in_default::<ConfigMap>(client).delete(name, &kube::api::DeleteParams::default()).await.map(drop)
}
