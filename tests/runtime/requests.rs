//! Clients that count their requests, and the objects that the tests write.

use std::path::Path;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ConfigMap;
use kcg_devcluster::{ControlPlane, Crds, KafkaTopicCrd};
use kcg_runtime::client::{ClientConfig, RequestMetrics};
use kcg_tests::Outcome;
use kcg_tests::env::api_server;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// An API server with these versions of KafkaTopic.
pub async fn server(kafka_topic: KafkaTopicCrd) -> Outcome<ControlPlane> {
    Ok(api_server(Crds { kafka_topic, ..Crds::default() }).await?)
}

/// A client as the product builds it, and its request metrics.
pub async fn counting_client(kubeconfig: &Path) -> Outcome<(Client, RequestMetrics)> {
    let requests = RequestMetrics::default();
    Ok((ClientConfig::new(Some(kubeconfig), "kcg-runtime-tests").client(&requests).await?, requests))
}

/// The number of requests with this verb, with any result.
pub fn count(requests: &RequestMetrics, verb: &str) -> u64 {
    let mut registry = Registry::default();
    requests.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a String cannot fail");
    let of_verb = format!("api_requests_total{{verb=\"{verb}\",");
    let lines = text.lines().filter(|line| line.starts_with(&of_verb));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

/// Creates or changes an object with server-side apply.
pub async fn apply<K>(api: &Api<K>, object: Value) -> Outcome<K>
where
    K: kube::Resource + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let name = object["metadata"]["name"].as_str().ok_or("an object without a name")?.to_owned();
    Ok(api.patch(&name, &PatchParams::apply("user").force(), &Patch::Apply(object)).await?)
}

pub fn config_map(name: &str, count: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"watched": "yes"}},
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
