//! How a pod's program starts, starts again and ends.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::{ASKED, ENDED};
use crate::world::{Outcome, World, pod, spec};

const RESTARTS: &str = ".status.containerStatuses[0].restartCount";
const HOUR: u32 = 3_600_000;

fn crash(world: &World, namespace: &str, name: &str) {
    for run in world.node.runs_of(namespace, name).into_iter().filter(|run| run.pid().is_some()) {
        run.kill();
    }
}

pub async fn a_crash_starts_the_container_again_then_backs_off(world: &World) -> Outcome {
    let (namespace, name) = ("crashes", "one");
    world.namespace(namespace).await?;
    world.apply(&[pod(namespace, name, &spec(0, "/healthz"))]).await?;
    world.ready(namespace, name).await?;
    crash(world, namespace, name);
    world.pod_field(namespace, name, RESTARTS, "1").await?;
    world.ready(namespace, name).await?;
    let code = ".status.containerStatuses[0].lastState.terminated.exitCode";
    world.pod_field(namespace, name, code, "137").await?;
    let before = world.kubectl(&["logs", "-n", namespace, name, "--previous"]).await?;
    assert_eq!(before, "started\n");
    crash(world, namespace, name);
    let reason = ".status.containerStatuses[0].state.waiting.reason";
    world.pod_field(namespace, name, reason, "CrashLoopBackOff").await?;
    world.pod_field(namespace, name, ".status.conditions[?(@.type=='Ready')].status", "False").await?;
    Ok(())
}

pub async fn a_failing_liveness_probe_starts_the_container_again(world: &World) -> Outcome {
    let (namespace, name) = ("liveness", "one");
    world.namespace(namespace).await?;
    let mut wanted = spec(0, "/healthz");
    wanted["containers"][0]["livenessProbe"] =
        json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 2});
    world.apply(&[pod(namespace, name, &wanted)]).await?;
    world.ready(namespace, name).await?;
    assert_eq!(world.ask(namespace, name, "write/tmp/sick").await?, "yes");
    world.pod_field(namespace, name, RESTARTS, "1").await?;
    // It was asked, not killed.
    world.printed(namespace, name, ENDED).await?;
    world.ready(namespace, name).await?;
    world
        .sees(namespace, &["events", "-o=jsonpath={.items[*].reason}"], |seen| seen.contains("Unhealthy"))
        .await?;
    Ok(())
}

pub async fn the_restart_policy_lets_a_pod_complete(world: &World) -> Outcome {
    let namespace = "completion";
    world.namespace(namespace).await?;
    for (name, script, phase) in [("good", "echo $0 $(WORD)", "Succeeded"), ("bad", "exit 3", "Failed")] {
        let wanted = json!({
            "restartPolicy": "Never",
            "containers": [{
                "name": "program", "image": crate::world::IMAGE, "env": [{"name": "WORD", "value": "done"}],
                "command": ["/bin/sh", "-c", script], "args": ["well"],
            }],
        });
        world.apply(&[pod(namespace, name, &wanted)]).await?;
        world.pod_field(namespace, name, ".status.phase", phase).await?;
    }
    assert_eq!(world.kubectl(&["logs", "-n", namespace, "good"]).await?, "well done\n");
    let code = ".status.containerStatuses[0].state.terminated.exitCode";
    world.pod_field(namespace, "bad", code, "3").await
}

pub async fn a_deleted_pod_has_its_grace_period_and_no_more(world: &World) -> Outcome {
    let namespace = "deletion";
    world.namespace(namespace).await?;
    let mut slow = spec(2_000, "/healthz");
    slow["containers"][0]["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 1}}});
    world
        .apply(&[pod(namespace, "polite", &slow), pod(namespace, "stubborn", &spec(HOUR, "/healthz"))])
        .await?;
    for name in ["polite", "stubborn"] {
        world.ready(namespace, name).await?;
    }
    let begun = Instant::now();
    world.kubectl(&["delete", "-n", namespace, "pod", "polite", "--wait=false"]).await?;
    // From its deletion on it takes no more traffic, though it answers still.
    world.pod_field(namespace, "polite", ".status.conditions[?(@.type=='Ready')].status", "False").await?;
    assert!(world.node.runs_of(namespace, "polite").iter().all(|run| run.pid().is_some()), "it ends slowly");
    world.gone(namespace, "pod", "polite").await?;
    assert!(begun.elapsed() >= Duration::from_secs(3), "it slept and lingered: {:?}", begun.elapsed());
    world.printed(namespace, "polite", ENDED).await?;

    world
        .kubectl(&["delete", "-n", namespace, "pod", "stubborn", "--grace-period=2", "--wait=false"])
        .await?;
    world.gone(namespace, "pod", "stubborn").await?;
    world.printed(namespace, "stubborn", ASKED).await?;
    world.ended(namespace, "stubborn").await
}

pub async fn a_pod_taken_out_of_the_api_ends(world: &World) -> Outcome {
    let (namespace, name) = ("forced", "one");
    world.namespace(namespace).await?;
    world.apply(&[pod(namespace, name, &spec(HOUR, "/healthz"))]).await?;
    world.ready(namespace, name).await?;
    world.kubectl(&["delete", "-n", namespace, "pod", name, "--force", "--grace-period=0"]).await?;
    world.ended(namespace, name).await
}

pub async fn logs_are_followed_to_the_end(world: &World) -> Outcome {
    let (namespace, name) = ("logs", "one");
    world.namespace(namespace).await?;
    world.apply(&[pod(namespace, name, &spec(500, "/healthz"))]).await?;
    world.ready(namespace, name).await?;
    assert_eq!(world.kubectl(&["logs", "-n", namespace, name]).await?, "started\n");
    let follow = ["logs", "-n", namespace, name, "--follow"];
    let delete = ["delete", "-n", namespace, "pod", name, "--wait=false"];
    let (followed, _) = tokio::try_join!(world.kubectl(&follow), world.kubectl(&delete))?;
    assert_eq!(followed, format!("started\n{ASKED}\n{ENDED}\n"));
    Ok(())
}
