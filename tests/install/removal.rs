//! The operator goes, and the consumers stay or go as the person chooses.

use std::time::Duration;

use kcg_devcluster::{ControlPlane, Crds, Operator, Replica, deploy_folder, wait};
use serde_json::Value;

use crate::documented::{Shell, block};
use kcg_tests::installation::Outcome;

const LIMIT: Duration = Duration::from_mins(1);
const DOCS: &str = "docs/operations.md";
const KINDS: [&str; 5] =
    ["deployment", "service", "horizontalpodautoscaler", "servicemonitor", "prometheusrule"];

/// A group that runs, and the operator that made it run.
struct Place {
    replicas: Vec<Replica>,
    shell: Shell,
    _operator: Operator,
    plane: ControlPlane,
}

impl Place {
    async fn open(overlay: &str) -> Outcome<Self> {
        let deploy = deploy_folder()?;
        let plane = ControlPlane::builder().crds(Crds::all(deploy.join("crd"))).start().await?;
        plane.add_node("node-1").await?;
        let binary = kcg_tests::operator_binary().await?;
        let overlay = deploy.join("overlays/cluster").join(overlay);
        let operator = Operator::install(&plane, &overlay, binary).await?;
        let replicas = vec![operator.start_controller("one", &[]).await?, operator.start_webhook(&[]).await?];
        operator.wait_trusted(&plane).await?;
        let shell = Shell::open(&plane, operator.kustomization()).await?;
        let place = Self { replicas, shell, _operator: operator, plane };
        for sample in ["kafkatopic.yaml", "kconsumer.yaml"] {
            let path = deploy.join("samples").join(sample).display().to_string();
            place.kubectl(&["create", "-f", &path]).await?;
        }
        place.kubectl(&["wait", "--for=condition=Ready", "kcg/kconsumer", "--timeout=60s"]).await?;
        Ok(place)
    }

    async fn kubectl(&self, args: &[&str]) -> Outcome<String> {
        Ok(self.plane.kubectl(args).await?.ok()?)
    }

    async fn objects(&self, kind: &str) -> kcg_devcluster::Result<Vec<Value>> {
        let text = self.plane.kubectl(&["get", kind, "-o", "json"]).await?.ok()?;
        let list: Value = serde_json::from_str(&text).unwrap();
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// The uids of the children by kind and of the pods, all of them with nothing that ends them.
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
        assert_eq!(self.kubectl(&["get", "deployment", "kconsumer", available]).await?, "1");
        Ok(running)
    }

    /// Removes the operator by the documented commands.
    async fn remove_operator(&mut self) -> Outcome {
        let said = self.shell.tries(&block(DOCS, "## Remove", "-k \"$overlay\"")?).await?;
        assert_eq!((said.code, said.stderr.as_str()), (0, ""));
        self.replicas.clear();
        Ok(())
    }

    /// Waits until no child and no pod is left.
    async fn collected(&self) -> Outcome {
        wait::until("the children to be collected", LIMIT, async || {
            let mut left = Vec::new();
            for kind in KINDS.into_iter().chain(["pod"]) {
                let names = self.objects(kind).await?.into_iter();
                let names = names.map(|object| format!("{kind} {}", object["metadata"]["name"]));
                left.extend(names.filter(|name| name.contains("kconsumer")));
            }
            Ok(if left.is_empty() { Ok(()) } else { Err(left.join(", ")) })
        })
        .await?;
        Ok(())
    }
}

/// All that carries the operator's label or its name, of every kind that there is. Events only tell of what was.
pub async fn left_of_the_operator(plane: &ControlPlane) -> Outcome<Vec<String>> {
    let kinds = plane.kubectl(&["api-resources", "--verbs=list", "-o=name"]).await?.ok()?;
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !kind.starts_with("events")).collect();
    let kinds = kinds.join(",");
    let all = ["get", &kinds, "--all-namespaces", "-o=name", "--ignore-not-found"];
    let labelled = [&all[..], &["--selector=app.kubernetes.io/name=kconsumer-group-operator"]].concat();
    let mut left: Vec<String> = plane.kubectl(&labelled).await?.ok()?.lines().map(str::to_owned).collect();
    let named = plane.kubectl(&all).await?.ok()?;
    left.extend(named.lines().filter(|name| name.contains("kconsumer-group-operator")).map(str::to_owned));
    left.sort();
    left.dedup();
    Ok(left)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_goes_and_the_consumers_run_on_until_the_groups_go_too() -> Outcome {
    let mut place = Place::open("self-managed").await?;
    let running = place.running().await?;
    place.remove_operator().await?;
    let left = left_of_the_operator(&place.plane).await?;
    // The CRD and people's rights to it.
    assert!(
        left.iter().all(|name| name.contains("customresourcedefinition") || name.contains("clusterrole")),
        "{left:?}"
    );
    assert_eq!(left.len(), 3, "{left:?}");

    assert_eq!(place.running().await?, running, "the same children and the same pod");
    let limit = r#"{"spec": {"averageRecordsLagLimit": 500}}"#;
    place.kubectl(&["patch", "kcg", "kconsumer", "--type=merge", "-p", limit]).await?;
    let sample = deploy_folder()?.join("samples/short.yaml").display().to_string();
    place.kubectl(&["create", "-f", &sample]).await?;
    assert_eq!(place.objects("kcg").await?.len(), 2, "nothing blocks who writes groups");

    let said = place.shell.tries(&block(DOCS, "## Remove", "--cascade=foreground")?).await?;
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    place.collected().await?;
    assert_eq!(left_of_the_operator(&place.plane).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_and_its_resource_go_and_the_consumers_run_on() -> Outcome {
    let mut place = Place::open("cert-manager").await?;
    let running = place.running().await?;
    place.remove_operator().await?;
    let said =
        place.shell.tries(&block(DOCS, "## Remove", "kcg --all --all-namespaces --cascade=orphan")?).await?;
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    assert_eq!(left_of_the_operator(&place.plane).await?, Vec::<String>::new());
    // The collector looks at a Deployment again when it changes: one that had an owner would go now.
    place.kubectl(&["scale", "deployment", "kconsumer", "--replicas=2"]).await?;
    place.kubectl(&["rollout", "status", "deployment/kconsumer", "--timeout=60s"]).await?;
    for kind in KINDS {
        let objects = place.objects(kind).await?;
        let child = objects.iter().find(|object| object["metadata"]["name"] == "kconsumer").ok_or(kind)?;
        assert!(running.contains(&format!("{kind} {}", child["metadata"]["uid"])), "{kind}");
        assert!(child["metadata"]["ownerReferences"].is_null(), "{child}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_deleted_with_orphan_leaves_its_children_to_run_on_by_themselves() -> Outcome {
    let place = Place::open("self-managed").await?;
    let running = place.running().await?;
    let command = block(DOCS, "## Remove", "kcg NAME --cascade=orphan")?.replace("NAME", "kconsumer");
    place.shell.runs(&command).await?;
    wait::until("the group to be gone", LIMIT, async || {
        Ok(if place.objects("kcg").await?.is_empty() { Ok(()) } else { Err("it is there".to_owned()) })
    })
    .await?;
    assert_eq!(place.running().await?, running);
    for kind in KINDS {
        let objects = place.objects(kind).await?;
        let child = objects.iter().find(|object| object["metadata"]["name"] == "kconsumer").ok_or(kind)?;
        assert!(child["metadata"]["ownerReferences"].is_null(), "{child}");
    }

    // A group of that name does not take them: whose they are now, nobody has said.
    let sample = deploy_folder()?.join("samples/kconsumer.yaml").display().to_string();
    place.kubectl(&["create", "-f", &sample]).await?;
    let conflict = ["wait", "--for=jsonpath={.status.conditions[?(@.type=='Ready')].reason}=NameConflict"];
    place.kubectl(&[&conflict[..], &["kcg/kconsumer", "--timeout=60s"]].concat()).await?;
    assert_eq!(place.running().await?, running);
    Ok(())
}
