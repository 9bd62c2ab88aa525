//! What a pod's spec requires of its node. No I/O.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{probe, sandbox};

/// Kubernetes' default, in seconds.
const DEFAULT_GRACE: i64 = 30;

/// Why this node cannot run a pod, if it cannot.
pub(super) fn unsupported(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let [container] = spec.containers.as_slice() else {
        return Some("this node supports only pods with one container".into());
    };
    if spec.init_containers.as_ref().is_some_and(|containers| !containers.is_empty()) {
        return Some("this node does not support init containers".into());
    }
    let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    if hook.is_some_and(|hook| hook.sleep.is_none()) {
        return Some("this node supports no preStop hook but sleep".into());
    }
    let mut places = container.volume_mounts.iter().flatten().map(|mount| &mount.mount_path);
    if let Some(reason) = places.find_map(|place| sandbox::unsupported(place)) {
        return Some(reason);
    }
    probe::unsupported(container)
}

/// How long the preStop hook sleeps before SIGTERM.
pub(super) fn pre_stop(container: &Container) -> Duration {
    let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    seconds(hook.and_then(|hook| hook.sleep.as_ref()).map_or(0, |sleep| sleep.seconds))
}

/// The grace period of the deletion, or else of the pod.
pub(super) fn grace(pod: &Pod) -> Duration {
    let asked = pod.metadata.deletion_grace_period_seconds;
    let of_pod = || pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    seconds(asked.or_else(of_pod).unwrap_or(DEFAULT_GRACE))
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap_or_default()
    }

    #[test]
    fn unsupported_pods_are_rejected_with_a_reason() {
        let one = json!({"name": "a", "image": "a"});
        let with = |key: &str, value: Value| {
            let mut container = one.clone();
            container[key] = value;
            json!({"containers": [container]})
        };
        let mounting = |place: &str| with("volumeMounts", json!([{"name": "a", "mountPath": place}]));
        for (spec, want) in [
            (json!({"containers": [one]}), None),
            (json!({"containers": [one, one]}), Some("one container")),
            (json!({"containers": [one], "initContainers": [one]}), Some("does not support init containers")),
            (with("lifecycle", json!({"preStop": {"sleep": {"seconds": 1}}})), None),
            (with("lifecycle", json!({"preStop": {"exec": {"command": ["a"]}}})), Some("preStop")),
            (with("readinessProbe", json!({"exec": {"command": ["a"]}})), Some("httpGet and tcpSocket")),
            (with("livenessProbe", json!({"tcpSocket": {"port": 1}})), None),
            (mounting("/etc/a"), None),
            (mounting("/usrs"), None),
            (mounting("/dev/shm"), None),
            (mounting("/usr/share/a"), Some("cannot mount at /usr/share/a: ")),
            (mounting("bin"), Some("cannot mount at bin: ")),
            (mounting("/"), Some("cannot mount at /: ")),
        ] {
            let got = unsupported(&pod(&spec));
            match want {
                None => assert_eq!(got, None, "{spec}"),
                Some(want) => assert!(got.is_some_and(|got| got.contains(want)), "{spec}"),
            }
        }
    }

    #[test]
    fn a_deletion_may_shorten_the_pods_grace_period() {
        let mut asked = pod(&json!({"containers": [], "terminationGracePeriodSeconds": 45}));
        assert_eq!(grace(&asked), Duration::from_secs(45));
        asked.metadata.deletion_grace_period_seconds = Some(5);
        assert_eq!(grace(&asked), Duration::from_secs(5));
        assert_eq!(grace(&Pod::default()), Duration::from_secs(30));
    }
}
