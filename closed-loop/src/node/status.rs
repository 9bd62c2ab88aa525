//! A pod's status as a kubelet writes it, from the facts about its one container. No I/O.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// The state of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not running, with a reason such as `ContainerCreating`, `ErrImagePull` or
    /// `CrashLoopBackOff`.
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

/// The facts about a pod.
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
    /// It is being deleted, so it is not ready.
    pub deleting: bool,
    /// The container will not be restarted.
    pub done: bool,
}

/// A condition as it was written last, and the time of its last transition.
#[derive(Clone, Debug)]
pub(super) struct Transition {
    pub type_: String,
    pub status: String,
    pub since: String,
}

/// The status. Its strategic merge leaves conditions of other writers (PodScheduled) alone.
pub(super) fn status(facts: &Facts, previous: &[Transition], now: Timestamp) -> Value {
    let ready = matches!(facts.state, State::Running { ready: true, .. }) && !facts.deleting;
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

/// The pod has its address from its first start on.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(state: State) -> Facts {
        Facts {
            container: "a".into(),
            image: "a:1".into(),
            address: "10.244.1.1".into(),
            host: "10.244.0.1".into(),
            accepted: Timestamp::UNIX_EPOCH,
            state,
            last: None,
            restarts: 0,
            deleting: false,
            done: false,
        }
    }

    fn running(started: bool, ready: bool) -> State {
        State::Running { since: Timestamp::UNIX_EPOCH, started, ready }
    }

    fn ended(code: i32) -> Ended {
        Ended { code, since: Timestamp::UNIX_EPOCH, at: Timestamp::UNIX_EPOCH }
    }

    fn condition<'a>(status: &'a Value, type_: &str) -> Option<&'a Value> {
        status["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)
    }

    #[test]
    fn the_container_decides_phase_readiness_and_address() {
        let waiting = || State::Waiting { reason: "ContainerCreating", message: String::new() };
        let done = |code| Facts { done: true, ..facts(State::Ended(ended(code))) };
        let table = [
            (facts(waiting()), "Pending", "False", false),
            (facts(running(false, false)), "Running", "False", true),
            (facts(running(true, true)), "Running", "True", true),
            (Facts { deleting: true, ..facts(running(true, true)) }, "Running", "False", true),
            (facts(State::Ended(ended(1))), "Running", "False", true),
            (Facts { last: Some(ended(1)), ..facts(waiting()) }, "Running", "False", true),
            (done(0), "Succeeded", "False", true),
            (done(1), "Failed", "False", true),
        ];
        for (facts, phase, ready, address) in table {
            let status = status(&facts, &[], Timestamp::UNIX_EPOCH);
            let status_of_ready = condition(&status, "Ready").map(|condition| condition["status"].clone());
            assert_eq!((&status["phase"], status_of_ready), (&json!(phase), Some(json!(ready))), "{facts:?}");
            assert_eq!(status.get("podIP").is_some(), address, "{facts:?}");
        }
    }

    #[test]
    fn the_exit_code_of_a_signal_names_the_signal() {
        for (code, reason, signal) in [(0, "Completed", None), (1, "Error", None), (137, "Error", Some(9))] {
            let json = ended(code).json();
            assert_eq!((json["reason"].as_str(), json["signal"].as_i64()), (Some(reason), signal), "{code}");
        }
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let before = |status: &str| Transition {
            type_: "Ready".into(),
            status: status.into(),
            since: "2026-01-01T00:00:00Z".into(),
        };
        let since = |previous: &str| {
            let status = status(&facts(running(true, true)), &[before(previous)], Timestamp::UNIX_EPOCH);
            condition(&status, "Ready").map(|condition| condition["lastTransitionTime"].clone())
        };
        assert_eq!(since("True"), Some(json!("2026-01-01T00:00:00Z")));
        assert_eq!(since("False"), Some(json!(Timestamp::UNIX_EPOCH.to_string())));
    }
}
