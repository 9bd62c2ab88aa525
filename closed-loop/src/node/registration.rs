//! The Node object and its heartbeat, a Lease, as a kubelet maintains them.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::Timestamp;
use kcg_devcluster::pod_network::NODE_ADDRESS;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::{Error, Result};

const MANAGER: &str = "devcluster-node";
const LEASE_NAMESPACE: &str = "kube-node-lease";
const LEASE_SECONDS: u32 = 40;
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// More than any scenario starts.
const PODS: u32 = 250;

/// Creates the node and reports it Ready.
pub(super) async fn register(client: &Client, name: &str, port: u16) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let apply = PatchParams::apply(MANAGER).force();
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": architecture(),
        }},
    });
    let failed = |what: &str| Error::kube(format!("{what} node {name}"));
    nodes.patch(name, &apply, &Patch::Apply(node)).await.map_err(failed("create"))?;
    let status = json!({"apiVersion": "v1", "kind": "Node", "status": status(name, port)});
    nodes.patch_status(name, &apply, &Patch::Apply(status)).await.map_err(failed("report"))?;
    heartbeat(client, name).await.map_err(failed("renew the Lease of"))?;
    Ok(())
}

/// Renews the Lease while this runs. Without it the node's pods count as lost after 40 seconds.
pub(super) async fn renew(client: Client, name: String) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        // If a renewal fails, the next one follows in time.
        let _ = heartbeat(&client, &name).await;
    }
}

async fn heartbeat(client: &Client, name: &str) -> kube::Result<Lease> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), LEASE_NAMESPACE);
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
    });
    leases.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(lease)).await
}

fn status(name: &str, port: u16) -> Value {
    let now = Timestamp::now().to_string();
    let condition = |type_: &str, status: &str, reason: &str| {
        json!({
            "type": type_, "status": status, "reason": reason,
            "message": "pods are local processes", "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    // More than this computer has. Consumers sleep most of the time, and their requests must not
    // keep pods from starting.
    let room = json!({"cpu": (cpus * 16).to_string(), "memory": "64Gi", "pods": PODS.to_string()});
    json!({
        "capacity": room, "allocatable": room,
        "addresses": [
            {"type": "InternalIP", "address": NODE_ADDRESS.to_string()},
            {"type": "Hostname", "address": name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "conditions": [
            condition("Ready", "True", "KubeletReady"),
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID"),
        ],
        "nodeInfo": {
            "architecture": architecture(), "operatingSystem": "linux", "osImage": "this computer",
            "kernelVersion": "", "machineID": "", "systemUUID": "", "bootID": "",
            "containerRuntimeVersion": "process://1", "kubeletVersion": "devcluster", "kubeProxyVersion": "",
        },
    })
}

/// Kubernetes' name of this computer's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
