//! How a pod's program starts, restarts and ends.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Harness, Outcome, pod, spec};
use crate::program::{ASKED, ENDED};

const RESTARTS: &str = ".status.containerStatuses[0].restartCount";
const HOUR: u32 = 3_600_000;

fn crash(harness: &Harness, namespace: &str, name: &str) {
    for run in harness.node.runs_of(namespace, name).into_iter().filter(|run| run.pid().is_some()) {
        run.kill();
    }
}

pub async fn a_crashed_container_is_restarted_with_a_backoff(harness: &Harness) -> Outcome {
    let (namespace, name) = ("crashes", "one");
    harness.namespace(namespace).await?;
    harness.apply(&[pod(namespace, name, &spec(0, "/healthz"))]).await?;
    harness.ready(namespace, name).await?;
    crash(harness, namespace, name);
    harness.pod_field(namespace, name, RESTARTS, "1").await?;
    harness.ready(namespace, name).await?;
    let code = ".status.containerStatuses[0].lastState.terminated.exitCode";
    harness.pod_field(namespace, name, code, "137").await?;
    let before = harness.kubectl(&["logs", "-n", namespace, name, "--previous"]).await?;
    assert_eq!(before, "started\n");
    crash(harness, namespace, name);
    let reason = ".status.containerStatuses[0].state.waiting.reason";
    harness.pod_field(namespace, name, reason, "CrashLoopBackOff").await?;
    harness.pod_field(namespace, name, ".status.conditions[?(@.type=='Ready')].status", "False").await?;
    Ok(())
}

pub async fn a_failing_liveness_probe_restarts_the_container(harness: &Harness) -> Outcome {
    let (namespace, name) = ("liveness", "one");
    harness.namespace(namespace).await?;
    let mut wanted = spec(0, "/healthz");
    wanted["containers"][0]["livenessProbe"] =
        json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 2});
    harness.apply(&[pod(namespace, name, &wanted)]).await?;
    harness.ready(namespace, name).await?;
    assert_eq!(harness.ask(namespace, name, "write/tmp/sick").await?, "yes");
    harness.pod_field(namespace, name, RESTARTS, "1").await?;
    // It got SIGTERM, not SIGKILL.
    harness.printed(namespace, name, ENDED).await?;
    harness.ready(namespace, name).await?;
    harness
        .sees(namespace, &["events", "-o=jsonpath={.items[*].reason}"], |seen| seen.contains("Unhealthy"))
        .await?;
    Ok(())
}

pub async fn the_restart_policy_lets_a_pod_complete(harness: &Harness) -> Outcome {
    let namespace = "completion";
    harness.namespace(namespace).await?;
    for (name, script, phase) in [("good", "echo $0 $(WORD)", "Succeeded"), ("bad", "exit 3", "Failed")] {
        let wanted = json!({
            "restartPolicy": "Never",
            "containers": [{
                "name": "program", "image": crate::harness::IMAGE, "env": [{"name": "WORD", "value": "done"}],
                "command": ["/bin/sh", "-c", script], "args": ["well"],
            }],
        });
        harness.apply(&[pod(namespace, name, &wanted)]).await?;
        harness.pod_field(namespace, name, ".status.phase", phase).await?;
    }
    assert_eq!(harness.kubectl(&["logs", "-n", namespace, "good"]).await?, "well done\n");
    let code = ".status.containerStatuses[0].state.terminated.exitCode";
    harness.pod_field(namespace, "bad", code, "3").await
}

pub async fn a_deleted_pod_ends_within_its_grace_period(harness: &Harness) -> Outcome {
    let namespace = "deletion";
    harness.namespace(namespace).await?;
    let mut slow = spec(2_000, "/healthz");
    slow["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 1}}});
    harness
        .apply(&[pod(namespace, "polite", &slow), pod(namespace, "stubborn", &spec(HOUR, "/healthz"))])
        .await?;
    for name in ["polite", "stubborn"] {
        harness.ready(namespace, name).await?;
    }
    let started = Instant::now();
    harness.kubectl(&["delete", "-n", namespace, "pod", "polite", "--wait=false"]).await?;
    // From its deletion on it is not ready, although it still answers.
    harness.pod_field(namespace, "polite", ".status.conditions[?(@.type=='Ready')].status", "False").await?;
    assert!(
        harness.node.runs_of(namespace, "polite").iter().all(|run| run.pid().is_some()),
        "it ends slowly"
    );
    harness.gone(namespace, "pod", "polite").await?;
    assert!(started.elapsed() >= Duration::from_secs(3), "it slept and ended late: {:?}", started.elapsed());
    harness.printed(namespace, "polite", ENDED).await?;

    harness
        .kubectl(&["delete", "-n", namespace, "pod", "stubborn", "--grace-period=2", "--wait=false"])
        .await?;
    harness.gone(namespace, "pod", "stubborn").await?;
    harness.printed(namespace, "stubborn", ASKED).await?;
    harness.ended(namespace, "stubborn").await
}

pub async fn a_force_deleted_pod_ends(harness: &Harness) -> Outcome {
    let (namespace, name) = ("forced", "one");
    harness.namespace(namespace).await?;
    harness.apply(&[pod(namespace, name, &spec(HOUR, "/healthz"))]).await?;
    harness.ready(namespace, name).await?;
    harness.kubectl(&["delete", "-n", namespace, "pod", name, "--force", "--grace-period=0"]).await?;
    harness.ended(namespace, name).await
}

pub async fn logs_are_followed_to_the_end(harness: &Harness) -> Outcome {
    let (namespace, name) = ("logs", "one");
    harness.namespace(namespace).await?;
    harness.apply(&[pod(namespace, name, &spec(500, "/healthz"))]).await?;
    harness.ready(namespace, name).await?;
    assert_eq!(harness.kubectl(&["logs", "-n", namespace, name]).await?, "started\n");
    let follow = ["logs", "-n", namespace, name, "--follow"];
    let delete = ["delete", "-n", namespace, "pod", name, "--wait=false"];
    let (followed, _) = tokio::try_join!(harness.kubectl(&follow), harness.kubectl(&delete))?;
    assert_eq!(followed, format!("started\n{ASKED}\n{ENDED}\n"));
    Ok(())
}
