//! Reads one process of the operator: its Deployment and its pods, once for all checks.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use kcg_core::text::one_line;
use kcg_runtime::client::with_deadline;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use super::flags::Flags;
use super::found;
use crate::doctor::findings::{Found, PodFinding, ProcessFinding};

/// Bytes of another program's message in one line of the report.
const MAX_MESSAGE: usize = 300;
/// Restarts after which a container that runs now is reported.
const MANY_RESTARTS: i32 = 3;
/// Pods of one process.
const MAX_PODS: u32 = 100;

/// One process of the operator.
#[derive(Debug)]
pub(super) struct OperatorProcess {
    /// `controller` or `webhook`.
    pub(super) name: &'static str,
    /// `None`: there is none of that name.
    pub(super) deployment: Option<Deployment>,
    /// Those that its Deployment selects, without those that are being deleted.
    pub(super) pods: Vec<Pod>,
    pub(super) flags: Flags,
}

impl OperatorProcess {
    /// Reads the Deployment in the operator's namespace, and its pods.
    pub(super) async fn read(
        client: &Client,
        namespace: &str,
        (name, deployment): (&'static str, &str),
    ) -> Found<Self> {
        let what = format!("get Deployment {namespace}/{deployment}");
        let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        let deployment = found(with_deadline(what, api.get_opt(deployment)).await)?;
        let pods = match &deployment {
            Some(deployment) => pods(client, namespace, deployment).await?,
            None => Vec::new(),
        };
        let flags = Flags::of(deployment.as_ref(), name, namespace);
        Ok(Self { name, deployment, pods, flags })
    }

    pub(super) fn is_deployed(&self) -> bool {
        self.deployment.is_some()
    }

    /// What the checks of its pods need; `None` if there is no Deployment.
    pub(super) fn finding(&self) -> Option<ProcessFinding> {
        let deployment = self.deployment.as_ref()?;
        let status = deployment.status.as_ref();
        let is = |text: Option<&str>, wanted: &str| text == Some(wanted);
        let mut conditions = status.into_iter().flat_map(|status| status.conditions.iter().flatten());
        let refused = conditions.find(|condition| {
            is(condition.type_.as_deref(), "ReplicaFailure") && is(condition.status.as_deref(), "True")
        });
        let strategy = deployment.spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
        let pod =
            |pod: &Pod| PodFinding { name: pod.name_any(), problem: pod.status.as_ref().and_then(problem) };
        Some(ProcessFinding {
            wanted: deployment.spec.replicas.unwrap_or(1),
            is_recreated: is(strategy, "Recreate"),
            ready: status.and_then(|status| status.ready_replicas).unwrap_or_default(),
            refused: refused.and_then(|condition| Some(one_line(condition.message.as_deref()?, MAX_MESSAGE))),
            pods: self.pods.iter().map(pod).collect(),
        })
    }

    /// The pods whose containers have been started.
    pub(super) fn running_pods(&self) -> impl Iterator<Item = &Pod> {
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone());
        self.pods.iter().filter(move |pod| phase(pod).as_deref() == Some("Running"))
    }
}

async fn pods(client: &Client, namespace: &str, deployment: &Deployment) -> Found<Vec<Pod>> {
    let labels = deployment.spec.selector.match_labels.iter().flatten();
    let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    let selected = ListParams::default().labels(&labels.join(",")).limit(MAX_PODS);
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let what = format!("list pods in namespace {namespace}");
    let mut pods = found(with_deadline(what, api.list(&selected)).await)?.items;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(pods)
}

/// Why a pod does not run, in Kubernetes' words.
fn problem(status: &PodStatus) -> Option<String> {
    let unscheduled = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
    });
    let unscheduled = unscheduled
        .map(|condition| format!("Unschedulable: {}", condition.message.as_deref().unwrap_or_default()));
    let mut containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let text = unscheduled.or_else(|| containers.find_map(container_problem))?;
    Some(one_line(&text, MAX_MESSAGE))
}

fn container_problem(status: &ContainerStatus) -> Option<String> {
    let state = status.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
    if !matches!(reason, "" | "ContainerCreating" | "PodInitializing") {
        let message = waiting.and_then(|waiting| waiting.message.as_deref()).unwrap_or_default();
        return Some(format!("{reason}: {message}"));
    }
    let ended = status.last_state.as_ref()?.terminated.as_ref()?;
    let is_unsteady = !status.ready && status.restart_count >= MANY_RESTARTS;
    is_unsteady.then(|| {
        let reason = ended.reason.as_deref().unwrap_or_default();
        format!(
            "restarted {} times, last after {reason} (exit code {})",
            status.restart_count, ended.exit_code
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(status: &Value) -> Option<String> {
        problem(&serde_json::from_value(status.clone()).unwrap())
    }

    #[test]
    fn a_pod_that_does_not_run_says_why() {
        let container = |state: Value| {
            json!({"containerStatuses": [{
                "name": "a", "image": "a", "imageID": "", "ready": false, "restartCount": 5, "state": state,
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            }]})
        };
        let pull = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
        assert_eq!(found(&container(pull)).unwrap(), "ImagePullBackOff: no such image");
        let restarted = found(&container(json!({"running": {}}))).unwrap();
        assert_eq!(restarted, "restarted 5 times, last after OOMKilled (exit code 137)");
        let unscheduled = json!({"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"},
        ]});
        assert_eq!(found(&unscheduled).unwrap(), "Unschedulable: 0/3 nodes");
        assert_eq!(
            found(&json!({"containerStatuses": [{
                "name": "a", "image": "a", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "ContainerCreating"}},
            }]})),
            None
        );
    }
}
