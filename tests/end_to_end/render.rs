//! `render` prints what the controller applies to a group of the cluster.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result};
use kcg_tests::objects::{TOPIC, group};
use kcg_tests::operator_binary;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::cases::cases;
use crate::env::SharedEnv;

cases![the_diff_of_an_unchanged_group_is_empty];

async fn the_diff_of_an_unchanged_group_is_empty(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("render").await?;
    ns.create_topic("fast-data-topic", 5).await?;
    ns.confirm_topic("fast-data-topic", "one").await?;
    ns.create_group("kconsumer", &json!({})).await?;
    ns.bounds_are("kconsumer", 1, 5).await?;
    ns.group_is_ready("kconsumer").await?;
    // The held count is in the cluster alone.
    ns.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": 2}})).await?;
    ns.condition_is("kconsumer", "TopicsResolved", "DecreaseHeld").await?;

    // The namespace is that of the context, as for kubectl.
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("config");
    std::fs::copy(env.plane.kubeconfig_path(), &kubeconfig)?;
    let kubeconfig = kubeconfig.to_str().context("a path in UTF-8")?;
    let set_context =
        ["--kubeconfig", kubeconfig, "config", "set-context", "--current", "--namespace=render"];
    ns.kubectl(&set_context).await?.ok()?;

    let mut command = Command::new(operator_binary().await?);
    command.args(["render", "-", "--kubeconfig", kubeconfig]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut render = command.spawn()?;
    let mut stdin = render.stdin.take().context("stdin is piped")?;
    stdin.write_all(group("kconsumer", &json!({})).to_string().as_bytes()).await?;
    drop(stdin);
    let output = render.wait_with_output().await?;
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let rendered = String::from_utf8(output.stdout)?;
    assert!(rendered.contains("namespace: render") && rendered.contains("maxReplicas: 5"), "{rendered}");
    let diff = ns.kubectl_with(&["diff", "-f", "-"], &rendered).await?;
    assert_eq!((diff.code, &*diff.stdout), (0, ""), "{}", diff.stderr);
    ns.close().await
}
