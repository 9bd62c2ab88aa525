//! The defaults of an installation on real objects: what applies at once, and what waits for the next
//! change of the pod template.

use std::path::PathBuf;

use kcg_tests::objects::{AUTOSCALER, CHILDREN, DEPLOYMENT, GROUP, MONITOR, SERVICE};
use kcg_tests::{Outcome, eventually, met};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::LATER;
use crate::env::ControllerEnv;

/// A file that is replaced as a kubelet replaces it.
struct File(TempDir);

impl File {
    fn new(text: &str) -> Outcome<Self> {
        let file = Self(TempDir::new()?);
        file.write(text)?;
        Ok(file)
    }

    fn write(&self, text: &str) -> Outcome {
        let new = self.0.path().join("new.yaml");
        std::fs::write(&new, text)?;
        Ok(std::fs::rename(new, self.path())?)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("defaults.yaml")
    }
}

/// The pod template, and how often the Deployment's spec was changed.
async fn template(env: &ControllerEnv) -> Outcome<[Value; 2]> {
    let deployment = env.get(DEPLOYMENT, "g").await?;
    Ok([deployment["spec"]["template"].clone(), deployment["metadata"]["generation"].clone()])
}

const TAKEN_LATER: &str = "
metrics: {preset: JmxExporter}
consumerSpec: {imagePullSecrets: [{name: registry}]}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_rolls_out_no_pod_and_a_restart_writes_nothing() -> Outcome {
    let env = ControllerEnv::start("defaults-upgrade").await?;
    env.create_group("g", &json!({})).await?;
    env.children_exist("g").await?;
    env.condition_is("g", "Ready", "RollingOut").await?;
    let before = template(&env).await?;

    let file = File::new(&format!("{TAKEN_LATER}inheritedMetadata: {{labels: {{team: t}}}}"))?;
    let env = env.restart_with(Some(file.path()), async |_| Ok(())).await?;
    for kind in CHILDREN {
        env.eventually(kind, "g", "its label", |child| child["metadata"]["labels"]["team"] == "t").await?;
    }
    assert_eq!(template(&env).await?, before);

    // The group has not taken the file's preset, which stands on its Deployment alone.
    let env = env.restart_with(Some(file.path()), async |_| Ok(())).await?;
    env.create_group("other", &json!({"consumerSpec": {"groupId": "other"}})).await?;
    env.children_exist("other").await?;
    let writes = env.faults.log.writes();
    let writes: Vec<_> = writes.iter().filter(|write| write.contains("/g?")).collect();
    assert!(writes.is_empty(), "{writes:?}");
    let service = env.get(SERVICE, "other").await?;
    assert_eq!(service["spec"]["ports"][0]["port"], 5556);
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_change_at_once_and_the_pod_template_with_its_next_change() -> Outcome {
    let file = File::new("metrics: {labels: {release: first}}")?;
    let env = ControllerEnv::start("defaults-waits").await?;
    let env = env.restart_with(Some(file.path()), async |_| Ok(())).await?;
    env.create_group("g", &json!({})).await?;
    env.children_exist("g").await?;
    let before = template(&env).await?;

    file.write(&format!("{TAKEN_LATER}alerts: {{ruleLabels: {{release: second}}}}\n"))?;
    let loses = |monitor: &Value| monitor["metadata"]["labels"]["release"].is_null();
    env.within(LATER).eventually(MONITOR, "g", "the new labels", loses).await?;
    assert_eq!(template(&env).await?, before);
    assert_eq!(env.get(SERVICE, "g").await?["spec"]["ports"][0]["port"], 8085);

    env.patch(GROUP, "g", &json!({"spec": {"consumerSpec": {"image": "other"}}})).await?;
    let takes = |deployment: &Value| {
        let pod = &deployment["spec"]["template"]["spec"];
        pod["imagePullSecrets"] == json!([{"name": "registry"}])
            && pod["containers"][0]["ports"][0]["containerPort"] == 5556
            && pod["containers"][0]["image"] == "other"
    };
    env.eventually(DEPLOYMENT, "g", "the file's defaults", takes).await?;
    let port = |service: &Value| service["spec"]["ports"][0]["port"] == 5556;
    env.eventually(SERVICE, "g", "the preset's port", port).await?;
    let path = |monitor: &Value| monitor["spec"]["endpoints"][0]["path"] == "/metrics";
    env.eventually(MONITOR, "g", "the preset's path", path).await?;
    let metric = |autoscaler: &Value| {
        let name = &autoscaler["spec"]["metrics"][0]["pods"]["metric"]["name"];
        name.as_str().is_some_and(|name| name.contains("consumer_fetch_manager_metrics"))
    };
    env.eventually(AUTOSCALER, "g", "the preset's metric", metric).await?;

    // What a group has taken stays if the file loses it.
    let taken = template(&env).await?;
    file.write("inheritedMetadata: {labels: {team: t}}")?;
    env.within(LATER)
        .eventually(SERVICE, "g", "the label", |service| service["metadata"]["labels"]["team"] == "t")
        .await?;
    assert_eq!(template(&env).await?, taken);
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_controller_keeps_the_last_good_file() -> Outcome {
    let file = File::new("metrics: {labels: {release: good}}")?;
    let env = ControllerEnv::start("defaults-broken").await?;
    let env = env.restart_with(Some(file.path()), async |_| Ok(())).await?;
    let info =
        |text: &str| text.lines().find(|line| line.contains("group_defaults_info{")).map(str::to_owned);
    eventually("the metrics to name the file", LATER, async || {
        let text = env.metrics().await.unwrap_or_default();
        Ok(met(info(&text).is_some_and(|line| line.contains("sha256:")), || text))
    })
    .await?;
    let good = env.metrics().await?;
    file.write("metrics: {lables: {release: bad}}")?;
    eventually("the file to be rejected", LATER, async || {
        let text = env.metrics().await?;
        let rejected = text.contains("kconsumer_group_operator_group_defaults_rejected 1\n");
        Ok(met(rejected && info(&text) == info(&good), || text))
    })
    .await?;
    env.create_group("g", &json!({})).await?;
    let good = |monitor: &Value| monitor["metadata"]["labels"]["release"] == "good";
    env.eventually(MONITOR, "g", "the last good label", good).await?;
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_a_file_that_cannot_be_used_changes_nothing_and_leaves_the_lease_to_others() -> Outcome
{
    let good = format!("{TAKEN_LATER}inheritedMetadata: {{labels: {{team: t}}}}");
    let file = File::new(&good)?;
    let env = ControllerEnv::start("defaults-unusable").await?;
    let env = env.restart_with(Some(file.path()), async |_| Ok(())).await?;
    env.create_group("g", &json!({})).await?;
    env.children_exist("g").await?;
    env.condition_is("g", "Ready", "RollingOut").await?;

    let break_it = async |_: &_| file.write("metrics: {lables: {team: t}}");
    let env = env.restart_with(Some(file.path()), break_it).await?;
    eventually("the controller to have seen the group", LATER, async || {
        let text = env.metrics().await.unwrap_or_default();
        Ok(met(text.contains("group_replicas{") && text.contains("group_defaults_rejected 1\n"), || text))
    })
    .await?;
    let leases = || env.faults.log.count("PUT", "/leases") + env.faults.log.count("POST", "/leases");
    assert_eq!((env.faults.log.writes(), leases()), (Vec::new(), 0));

    file.write(&good)?;
    eventually("every group to be reconciled", LATER, async || {
        let text = env.metrics().await?;
        Ok(met(text.contains("reconciles_total{") && text.contains("workqueue_depth 0\n"), || text))
    })
    .await?;
    assert!(leases() > 0);
    assert_eq!(env.faults.log.writes(), Vec::<String>::new());
    env.stop().await
}

/// As in a rolling update with a file that has become unusable: the new replica does not get ready, so the
/// rollout stops, and the old one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_replica_with_a_file_that_cannot_be_used_stays_unready_beside_the_leader() -> Outcome {
    let leader = ControllerEnv::start("defaults-rollout").await?;
    leader.create_group("first", &json!({})).await?;
    leader.children_exist("first").await?;

    let file = File::new("metrics:\n  lables: {team: t}\n")?;
    let new = leader.start_standby(file.path()).await?;
    let reason = format!("{}: line 2: unknown key", file.path().display());
    eventually("the new replica to say why it is not ready", LATER, async || {
        let text = new.readyz().await.unwrap_or_default();
        Ok(met(text.starts_with("HTTP/1.1 503") && text.contains(&reason), || text))
    })
    .await?;
    leader.create_group("second", &json!({})).await?;
    leader.children_exist("second").await?;
    let leases = |env: &ControllerEnv| {
        env.faults.log.count("PUT", "/leases") + env.faults.log.count("POST", "/leases")
    };
    assert_eq!((new.faults.log.writes(), leases(&new)), (Vec::new(), 0));
    assert!(leader.metrics().await?.contains("kconsumer_group_operator_leader 1\n"));

    // With a good file it gets ready, and follows the leader.
    file.write("metrics:\n  labels: {team: t}\n")?;
    eventually("the new replica to be ready", LATER, async || {
        let text = new.readyz().await.unwrap_or_default();
        Ok(met(text.starts_with("HTTP/1.1 200"), || text))
    })
    .await?;
    leader.stop().await?;
    let labeled = |monitor: &Value| monitor["metadata"]["labels"]["team"] == "t";
    new.eventually(MONITOR, "first", "the label of its file", labeled).await?;
    new.stop().await
}
