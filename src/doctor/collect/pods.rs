//! Reads the Deployments and the pods of the operator itself.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use kcg_core::text::one_line;
use kcg_runtime::client::with_deadline;
use kube::ResourceExt as _;
use kube::api::ListParams;

use super::{Collector, found};
use crate::doctor::findings::{Found, PodFinding, ProcessFinding};

/// Bytes of another program's message in one line of the report.
const MAX_MESSAGE: usize = 300;
/// Restarts after which a container that runs now is reported.
const MANY_RESTARTS: i32 = 3;

impl Collector<'_> {
    /// The pods of one of the operator's Deployments; `None` if there is no such Deployment.
    pub(super) async fn deployed_pods(&self, deployment: &str) -> Found<Option<ProcessFinding>> {
        let what = format!("get Deployment {}/{deployment}", self.namespace);
        let api = self.own_namespace::<Deployment>();
        let Some(deployed) = found(with_deadline(what, api.get_opt(deployment)).await)? else {
            return Ok(None);
        };
        let labels = deployed.spec.selector.match_labels.unwrap_or_default();
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let selected = ListParams::default().labels(&labels.join(",")).limit(100);
        let what = format!("list pods in namespace {}", self.namespace);
        let pods = found(with_deadline(what, self.own_namespace::<Pod>().list(&selected)).await)?.items;
        let status = deployed.status.unwrap_or_default();
        let is = |text: Option<&str>, wanted: &str| text == Some(wanted);
        let refused = status.conditions.into_iter().flatten().find(|condition| {
            is(condition.type_.as_deref(), "ReplicaFailure") && is(condition.status.as_deref(), "True")
        });
        Ok(Some(ProcessFinding {
            wanted: deployed.spec.replicas.unwrap_or(1),
            ready: status.ready_replicas.unwrap_or_default(),
            refused: refused.and_then(|condition| condition.message).map(|text| one_line(&text, MAX_MESSAGE)),
            pods: pods
                .into_iter()
                .filter(|pod| pod.metadata.deletion_timestamp.is_none())
                .map(|pod| PodFinding {
                    name: pod.name_any(),
                    problem: pod.status.as_ref().and_then(problem),
                })
                .collect(),
        }))
    }
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
