//! A pod's status as a kubelet writes it, from what is known of its one container. Pure.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// What the container is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not running, and why: `ContainerCreating`, `ErrImagePull`, `CrashLoopBackOff`...
    Waiting {
        reason: &'static str,
        message: String,
    },
    Running {
        since: Timestamp,
        started: bool,
        ready: bool,
    },
    Ended(Ended),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub code: i32,
    pub since: Timestamp,
    pub at: Timestamp,
}

impl Ended {
    fn json(&self) -> Value {
        let reason = if self.code == 0 { "Completed" } else { "Error" };
        let mut ended = json!({
            "exitCode": self.code, "reason": reason,
            "startedAt": self.since.to_string(), "finishedAt": self.at.to_string(),
        });
        if self.code > 128 {
            ended["signal"] = json!(self.code - 128);
        }
        ended
    }
}

/// What is known of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub container: String,
    pub image: String,
    pub address: String,
    pub host: String,
    pub accepted: Timestamp,
    pub state: State,
    pub last: Option<Ended>,
    pub restarts: u32,
    /// It is being deleted, so it takes no more traffic.
    pub going: bool,
    /// The container will not run again.
    pub done: bool,
}

/// A condition as it was written last, and since when it says so.
#[derive(Clone, Debug)]
pub(super) struct Transition {
    pub type_: String,
    pub status: String,
    pub since: String,
}

/// The status; conditions that others set (PodScheduled) are left to them by the strategic merge.
pub(super) fn status(facts: &Facts, previous: &[Transition], now: Timestamp) -> Value {
    let ready = matches!(facts.state, State::Running { ready: true, .. }) && !facts.going;
    let conditions: Vec<Value> = [
        ("PodReadyToStartContainers", has_network(facts)),
        ("Initialized", true),
        ("ContainersReady", ready),
        ("Ready", ready),
    ]
    .into_iter()
    .map(|(type_, holds)| {
        let status = if holds { "True" } else { "False" };
        let kept = previous.iter().find(|before| before.type_ == type_ && before.status == status);
        let since = kept.map_or_else(|| now.to_string(), |before| before.since.clone());
        json!({"type": type_, "status": status, "lastTransitionTime": since})
    })
    .collect();
    let mut status = json!({
        "phase": phase(facts),
        "conditions": conditions,
        "hostIP": facts.host, "hostIPs": [{"ip": facts.host}],
        "startTime": facts.accepted.to_string(),
        "containerStatuses": [container(facts, ready)],
    });
    if has_network(facts) {
        status["podIP"] = json!(facts.address);
        status["podIPs"] = json!([{"ip": facts.address}]);
    }
    status
}

/// The address belongs to the pod from its first start on.
fn has_network(facts: &Facts) -> bool {
    !matches!(facts.state, State::Waiting { .. }) || facts.last.is_some()
}

fn phase(facts: &Facts) -> &'static str {
    match &facts.state {
        State::Ended(ended) if facts.done => {
            if ended.code == 0 {
                "Succeeded"
            } else {
                "Failed"
            }
        }
        State::Waiting { .. } if facts.last.is_none() => "Pending",
        _ => "Running",
    }
}

fn container(facts: &Facts, ready: bool) -> Value {
    let (state, started) = match &facts.state {
        State::Waiting { reason, message } => {
            let mut waiting = json!({"reason": reason});
            if !message.is_empty() {
                waiting["message"] = json!(message);
            }
            (json!({"waiting": waiting}), false)
        }
        State::Running { since, started, .. } => {
            (json!({"running": {"startedAt": since.to_string()}}), *started)
        }
        State::Ended(ended) => (json!({"terminated": ended.json()}), false),
    };
    json!({
        "name": facts.container, "image": facts.image, "imageID": format!("local://{}", facts.image),
        "containerID": format!("process://{}-{}", facts.address, facts.restarts),
        "ready": ready, "started": started, "restartCount": facts.restarts,
        "state": state,
        "lastState": facts.last.as_ref().map_or_else(|| json!({}), |ended| json!({"terminated": ended.json()})),
    })
}
