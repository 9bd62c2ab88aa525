//! Removal of the operator: the consumers stay or go, as the user chooses.

use std::time::Duration;

use kcg_devcluster::{ControlPlane, Replica};
use kcg_tests::env::{TestEnv, all_crds};
use kcg_tests::{Outcome, deploy, eventually, kubectl, met};
use serde_json::Value;

use crate::documented::{Shell, block};

const LIMIT: Duration = Duration::from_mins(1);
const DOCS: &str = "docs/operations.md";
const KINDS: [&str; 5] =
    ["deployment", "service", "horizontalpodautoscaler", "servicemonitor", "prometheusrule"];

/// An operator with a group that is ready, and a shell to remove them.
struct Installation {
    replicas: Vec<Replica>,
    shell: Shell,
    env: TestEnv,
}

impl Installation {
    async fn start(overlay: &str) -> Outcome<Self> {
        let plane = ControlPlane::builder().crds(all_crds()).start().await?;
        plane.add_node("node-1").await?;
        let env = TestEnv::install(plane, &deploy("overlays/cluster").join(overlay)).await?;
        let replicas =
            vec![env.operator.start_controller("one", &[]).await?, env.operator.start_webhook(&[]).await?];
        env.operator.wait_trusted(&env.plane).await?;
        let shell = Shell::open(&env.plane, env.operator.kustomization()).await?;
        for sample in ["kafkatopic.yaml", "kconsumer.yaml"] {
            env.create_sample(sample).await?;
        }
        env.kubectl(&["wait", "--for=condition=Ready", "kcg/kconsumer", "--timeout=60s"]).await?;
        Ok(Self { replicas, shell, env })
    }

    async fn objects(&self, kind: &str) -> anyhow::Result<Vec<Value>> {
        let list = kubectl::get(&self.env.plane, &[kind]).await?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// The kinds and uids of the children and of the pod, none of which is being deleted.
    async fn running(&self) -> Outcome<Vec<String>> {
        let mut running = Vec::new();
        for kind in KINDS.into_iter().chain(["pod"]) {
            for object in self.objects(kind).await? {
                let metadata = &object["metadata"];
                if metadata["name"].as_str().is_some_and(|name| name.starts_with("kconsumer")) {
                    assert!(metadata["deletionTimestamp"].is_null(), "{kind}: {metadata}");
                    running.push(format!("{kind} {}", metadata["uid"]));
                }
            }
        }
        assert_eq!(running.len(), KINDS.len() + 1, "{running:?}");
        let available = "-o=jsonpath={.status.availableReplicas}";
        assert_eq!(self.env.kubectl(&["get", "deployment", "kconsumer", available]).await?, "1");
        Ok(running)
    }

    /// Removes the operator with the documented commands.
    async fn remove_operator(&mut self) -> Outcome {
        let output = self.shell.try_run(&block(DOCS, "## Remove", "-k \"$overlay\"")?).await?;
        assert_eq!((output.code, output.stderr.as_str()), (0, ""));
        self.replicas.clear();
        Ok(())
    }

    /// Waits until no child and no pod is left.
    async fn collected(&self) -> Outcome {
        eventually("no child and no pod is left", LIMIT, async || {
            let mut left = Vec::new();
            for kind in KINDS.into_iter().chain(["pod"]) {
                let names = self.objects(kind).await?.into_iter();
                let names = names.map(|object| format!("{kind} {}", object["metadata"]["name"]));
                left.extend(names.filter(|name| name.contains("kconsumer")));
            }
            Ok(met(left.is_empty(), || left.join(", ")))
        })
        .await?;
        Ok(())
    }
}

/// All objects with the operator's label or name, of every kind but Event.
pub async fn left_of_the_operator(plane: &ControlPlane) -> Outcome<Vec<String>> {
    let kinds = kubectl::run(plane, &["api-resources", "--verbs=list", "-o=name"]).await?;
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    let kinds = kinds.join(",");
    let all = ["get", &kinds, "--all-namespaces", "-o=name", "--ignore-not-found"];
    let labelled = [&all[..], &["--selector=app.kubernetes.io/name=kconsumer-group-operator"]].concat();
    let mut left: Vec<String> = kubectl::run(plane, &labelled).await?.lines().map(str::to_owned).collect();
    let named = kubectl::run(plane, &all).await?;
    left.extend(named.lines().filter(|name| name.contains("kconsumer-group-operator")).map(str::to_owned));
    left.sort();
    left.dedup();
    Ok(left)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_operator_the_consumers_run_until_the_groups_are_deleted() -> Outcome {
    let mut installation = Installation::start("self-managed").await?;
    let running = installation.running().await?;
    installation.remove_operator().await?;
    let left = left_of_the_operator(&installation.env.plane).await?;
    // The CRD, and the ClusterRoles that give users access to it.
    assert!(
        left.iter().all(|name| name.contains("customresourcedefinition") || name.contains("clusterrole")),
        "{left:?}"
    );
    assert_eq!(left.len(), 3, "{left:?}");

    assert_eq!(installation.running().await?, running, "the same children and the same pod");
    let limit = r#"{"spec": {"averageRecordsLagLimit": 500}}"#;
    installation.env.kubectl(&["patch", "kcg", "kconsumer", "--type=merge", "-p", limit]).await?;
    installation.env.create_sample("short.yaml").await?;
    assert_eq!(installation.objects("kcg").await?.len(), 2, "groups can still be written");

    let output = installation.shell.try_run(&block(DOCS, "## Remove", "--cascade=foreground")?).await?;
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    installation.collected().await?;
    assert_eq!(left_of_the_operator(&installation.env.plane).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_operator_and_its_crd_the_consumers_run() -> Outcome {
    let mut installation = Installation::start("cert-manager").await?;
    let running = installation.running().await?;
    installation.remove_operator().await?;
    let output = installation
        .shell
        .try_run(&block(DOCS, "## Remove", "kcg --all --all-namespaces --cascade=orphan")?)
        .await?;
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert_eq!(left_of_the_operator(&installation.env.plane).await?, Vec::<String>::new());
    // The garbage collector checks a Deployment again when it changes: with an owner it would be
    // deleted now.
    installation.env.kubectl(&["scale", "deployment", "kconsumer", "--replicas=2"]).await?;
    installation.env.kubectl(&["rollout", "status", "deployment/kconsumer", "--timeout=60s"]).await?;
    for kind in KINDS {
        let objects = installation.objects(kind).await?;
        let child = objects.iter().find(|object| object["metadata"]["name"] == "kconsumer").ok_or(kind)?;
        assert!(running.contains(&format!("{kind} {}", child["metadata"]["uid"])), "{kind}");
        assert!(child["metadata"]["ownerReferences"].is_null(), "{child}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_deleted_with_cascade_orphan_leaves_its_children_running() -> Outcome {
    let installation = Installation::start("self-managed").await?;
    let running = installation.running().await?;
    let command = block(DOCS, "## Remove", "kcg NAME --cascade=orphan")?.replace("NAME", "kconsumer");
    installation.shell.run(&command).await?;
    eventually("the group is gone", LIMIT, async || {
        Ok(met(installation.objects("kcg").await?.is_empty(), || "it exists"))
    })
    .await?;
    assert_eq!(installation.running().await?, running);
    for kind in KINDS {
        let objects = installation.objects(kind).await?;
        let child = objects.iter().find(|object| object["metadata"]["name"] == "kconsumer").ok_or(kind)?;
        assert!(child["metadata"]["ownerReferences"].is_null(), "{child}");
    }

    // A new group of that name does not adopt them.
    installation.env.create_sample("kconsumer.yaml").await?;
    let conflict = ["wait", "--for=jsonpath={.status.conditions[?(@.type=='Ready')].reason}=NameConflict"];
    installation.env.kubectl(&[&conflict[..], &["kcg/kconsumer", "--timeout=60s"]].concat()).await?;
    assert_eq!(installation.running().await?, running);
    Ok(())
}
