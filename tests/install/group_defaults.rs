//! The webhook and its file of defaults on a real control plane: admission never depends on the file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kcg_devcluster::Replica;
use kcg_tests::env::{TestEnv, all_crds, api_server};
use kcg_tests::objects::{CHILDREN, LEASE, MONITOR};
use kcg_tests::{Outcome, deploy, eventually, met};
use serde_json::json;

/// The file is read every two seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// Replaces the file as a kubelet does.
fn write(file: &Path, text: &str) -> Outcome {
    let new = file.with_extension("new");
    std::fs::write(&new, text)?;
    Ok(std::fs::rename(new, file)?)
}

/// What kubectl prints as warnings when it creates the sample. It must be admitted.
async fn warnings(env: &TestEnv) -> anyhow::Result<String> {
    let create = ["create", "--dry-run=server", "-f", &sample("kconsumer")];
    let answer = env.plane.kubectl(&create).await?;
    anyhow::ensure!(answer.code == 0, "{}", answer.stderr);
    Ok(answer.stderr)
}

/// The lines of the webhook's log about a file that it rejects.
fn rejections(webhook: &Replica) -> Vec<String> {
    let log = webhook.process().log();
    log.lines()
        .filter(|line| line.contains(" WARN ") && line.contains("rejected"))
        .map(str::to_owned)
        .collect()
}

async fn metrics_say(webhook: &Replica, hash: &str, rejected: u8) -> Outcome {
    eventually("the metrics of the file", LIMIT, async || {
        let (_, text) = webhook.get("/metrics").await?;
        let lines = [
            format!("kconsumer_group_operator_group_defaults_info{{hash=\"{hash}\"}} 1"),
            format!("kconsumer_group_operator_group_defaults_rejected {rejected}"),
        ];
        Ok(met(lines.iter().all(|line| text.lines().any(|seen| seen == line)), || text))
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_is_a_warning_of_each_review() -> Outcome {
    let env =
        TestEnv::install(api_server(all_crds()).await?, &deploy("overlays/cluster/self-managed")).await?;
    let folder = tempfile::TempDir::new()?;
    let file: PathBuf = folder.path().join("defaults.yaml");
    write(&file, "metrics:\n  intervall: 30s\n")?;
    let flag = format!("--defaults={}", file.display());
    let _controller = env.operator.spawn_controller("one", &[&flag])?;
    let webhook = env.operator.start_webhook(&[&flag]).await?;
    env.operator.wait_trusted(&env.plane).await?;
    eventually("the API server to call the webhook", LIMIT, async || {
        let answer = env.plane.kubectl(&["create", "--dry-run=server", "-f", &sample("kconsumer")]).await?;
        Ok(met(answer.stderr.contains("Warning"), || answer.stderr))
    })
    .await?;
    let said = warnings(&env).await?;
    let start =
        "Warning: the product's defaults apply: the operator's file of defaults is rejected: line 2: ";
    assert!(said.contains(start) && said.contains("intervall"), "{said}");
    metrics_say(&webhook, "none", 1).await?;
    let log = rejections(&webhook);
    assert_eq!(log.len(), 1, "it is logged once, not with each reading of the file: {log:?}");
    for said in [&*format!("{}: line 2: ", file.display()), "intervall", "last_good_stays=false"] {
        assert!(log[0].contains(said), "{said}: {log:?}");
    }
    let refused = env.plane.kubectl(&["create", "--dry-run=server", "-f", &sample("bad-many")]).await?;
    assert!(refused.stderr.contains(start) && refused.stderr.contains("is invalid"), "{}", refused.stderr);

    let good = "metrics: {interval: 30s}\n";
    let hash = kcg_runtime::config_file::hash(good);
    write(&file, good)?;
    metrics_say(&webhook, &hash, 0).await?;
    assert!(!warnings(&env).await?.contains("file of defaults"));

    write(&file, "metrics: {interval: soon}\n")?;
    metrics_say(&webhook, &hash, 1).await?;
    let said = warnings(&env).await?;
    assert!(said.contains("Warning: earlier defaults apply: the operator's file of defaults"), "{said}");
    let log = rejections(&webhook);
    assert_eq!(log.len(), 2, "{log:?}");
    for said in [&*format!("{}: line 1: metrics.interval: ", file.display()), "last_good_stays=true"] {
        assert!(log[1].contains(said), "{said}: {log:?}");
    }
    // Nothing of the file is written into a group.
    let group = sample("kconsumer");
    let stored =
        env.plane.kubectl(&["create", "--dry-run=server", "-o", "yaml", "-f", &group]).await?.ok()?;
    assert!(!stored.contains("interval"), "{stored}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_installation_with_a_broken_file_admits_groups_and_reconciles_them_once_it_is_corrected()
-> Outcome {
    let env =
        TestEnv::install(api_server(all_crds()).await?, &deploy("overlays/cluster/self-managed")).await?;
    let folder = tempfile::TempDir::new()?;
    let file: PathBuf = folder.path().join("defaults.yaml");
    write(&file, "metrics:\n  intervall: 30s\n")?;
    let flag = format!("--defaults={}", file.display());
    let controller = env.operator.spawn_controller("one", &[&flag])?;
    let _webhook = env.operator.start_webhook(&[&flag]).await?;
    env.operator.wait_trusted(&env.plane).await?;
    eventually("a group is admitted with the warning", LIMIT, async || {
        let said = warnings(&env).await?;
        Ok(met(said.contains("the product's defaults apply"), || said))
    })
    .await?;

    let shop = env.namespace_with_a_topic("shop").await?;
    let group = shop.create_group("orders", &json!({})).await?;
    assert_eq!(group["spec"]["consumerSpec"]["groupId"], "orders", "the webhook has filled in the defaults");
    eventually("the controller has seen the group", LIMIT, async || {
        let (_, text) = controller.get("/metrics").await?;
        Ok(met(text.contains("group_replicas{namespace=\"shop\",name=\"orders\"}"), || text))
    })
    .await?;
    let (status, body) = controller.get("/readyz").await?;
    let line = format!("defaults: {}: line 2: ", file.display());
    assert_eq!(status, 503, "{body}");
    for said in [&*line, "intervall", "doctor --defaults FILE checks it", "a restart is not needed"] {
        assert!(body.contains(said), "{said}: {body}");
    }
    metrics_say(&controller, "none", 1).await?;
    let (_, text) = controller.get("/metrics").await?;
    assert!(text.contains("kconsumer_group_operator_leader 0\n"), "{text}");
    assert!(controller.process().log().contains("no group is reconciled"));
    for kind in CHILDREN {
        assert_eq!(shop.list(kind).await?.len(), 0, "{kind:?}");
    }
    let leases = env.existing_namespace(env.operator.namespace()).list(LEASE).await?;
    assert!(leases.is_empty(), "a controller that cannot reconcile holds no Lease: {leases:?}");

    write(&file, "metrics: {interval: 30s}\n")?;
    controller.wait_ready().await?;
    shop.children_exist("orders").await?;
    assert_eq!(shop.get(MONITOR, "orders").await?["spec"]["endpoints"][0]["interval"], "30s");
    Ok(())
}

fn sample(name: &str) -> String {
    deploy("samples").join(name).with_extension("yaml").display().to_string()
}
