//! An installation that looks after two namespaces, with Roles in those alone: what happens to the rights in one is no
//! concern of the other.

use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kcg_devcluster::{ControlPlane, Crds, Operator, Replica, deploy_folder, wait};
use kube::Api;
use serde_json::json;
use tokio::process::Command;

use crate::place::Outcome;

/// The one whose rights stay, and the one whose rights come and go.
const STAYS: &str = "default";
const CHANGES: &str = "team-b";
/// The steps that the scope's own comment names.
const TWO_NAMESPACES: &str = "cd deploy/scopes/namespaced && cp -r namespaces/default namespaces/team-b \
    && sed -i 's/default/team-b/' namespaces/team-b/kustomization.yaml namespaces/team-b/roles/kustomization.yaml \
    && sed -i 's#^- namespaces/default#&\\n- namespaces/team-b#' kustomization.yaml";
/// A right that is taken away shows when a watch is opened anew, which it is after 45 s at the latest.
const LIMIT: Duration = Duration::from_mins(2);

struct Installation {
    controller: Replica,
    webhook: Replica,
    operator: Operator,
    plane: ControlPlane,
}

impl Installation {
    /// Both processes are ready, and have never had a right in one of their namespaces.
    async fn open() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let shipped = deploy_folder()?;
        let copy = tempfile::tempdir()?;
        let script = format!("cp -r {} deploy && {TWO_NAMESPACES}", shipped.display());
        let copied = Command::new("sh").args(["-euc", &script]).current_dir(copy.path()).status().await?;
        assert!(copied.success(), "{script}");
        let crds = Crds::all(shipped.join("crd"));
        let plane =
            ControlPlane::builder().controller_manager(false).scheduler(false).crds(crds).start().await?;
        plane.kubectl(&["create", "namespace", CHANGES]).await?.ok()?;
        let scope = copy.path().join("deploy/scopes/namespaced");
        let operator = Operator::install(&plane, &scope, kcg_tests::operator_binary().await?).await?;
        take_rights(&plane, &operator).await?;
        let flags = [&*format!("--namespaces={STAYS},{CHANGES}")];
        let controller = operator.start_controller("one", &flags).await?;
        let webhook = operator.start_webhook(&flags).await?;
        Ok(Self { controller, webhook, operator, plane })
    }

    async fn create(&self, namespace: &str, object: &serde_json::Value) -> Outcome {
        let create = ["create", "--namespace", namespace, "-f", "-"];
        self.plane.kubectl_command().run_with_input(&create, &object.to_string()).await?.ok()?;
        Ok(())
    }

    /// A topic and a group of it.
    async fn has_a_group(&self, namespace: &str) -> Outcome {
        let topic = json!({"apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic", "metadata": {"name": "t"},
            "spec": {"partitions": 3, "replicas": 1}});
        self.create(namespace, &topic).await?;
        self.create(namespace, &group("g", 1)).await
    }

    /// The topic gets so many partitions: the ceiling becomes that, and a minimum above it is refused.
    async fn is_followed(&self, namespace: &str, partitions: i32) -> Outcome {
        let patch = json!({"spec": {"partitions": partitions}}).to_string();
        let topic = ["kafkatopics.kafka.strimzi.io", "t", "--namespace", namespace];
        self.plane
            .kubectl(&[&["patch"], &topic[..], &["--type=merge", "-p", &patch]].concat())
            .await?
            .ok()?;
        let autoscalers: Api<HorizontalPodAutoscaler> =
            Api::namespaced(self.plane.client().await?, namespace);
        wait::until(&format!("{namespace}'s ceiling to be {partitions}"), LIMIT, async || {
            let live = autoscalers.get_opt("g").await.ok().flatten();
            let max = live.map(|live| live.spec.max_replicas);
            Ok(if max == Some(partitions) { Ok(()) } else { Err(format!("{max:?}")) })
        })
        .await?;
        self.says(namespace, partitions + 1, &format!("must not be more than {partitions}")).await
    }

    /// Waits until that is the webhook's answer to a new group with this minimum.
    async fn says(&self, namespace: &str, min_replicas: i32, said: &str) -> Outcome {
        let try_it = ["create", "--dry-run=server", "--namespace", namespace, "-f", "-"];
        let object = group("another", min_replicas).to_string();
        wait::until(&format!("the webhook to say {said:?} in {namespace}"), LIMIT, async || {
            let answer = self.plane.kubectl_command().run_with_input(&try_it, &object).await?;
            Ok(if answer.stderr.contains(said) { Ok(()) } else { Err(answer.stderr) })
        })
        .await?;
        Ok(())
    }

    /// How often the controller has said that it may not read topics.
    fn refusals(&self) -> usize {
        let log = self.controller.process().log();
        log.lines().filter(|line| line.contains("hindered") && line.contains("kafkatopics")).count()
    }

    /// Waits until both processes have noticed that they may not read the topics any more.
    async fn notices_the_loss(&self, refusals_before: usize) -> Outcome {
        wait::until("the controller to be refused", LIMIT, async || {
            let refused = self.refusals() > refusals_before;
            Ok(if refused { Ok(()) } else { Err(self.controller.process().log()) })
        })
        .await?;
        self.says(CHANGES, 100, "cannot be read now (the webhook may not read KafkaTopics)").await
    }

    async fn is_synced(&self, process: &Replica, synced: bool) -> Outcome {
        let line =
            format!("kconsumer_group_operator_watch_synced{{watch=\"kafkatopics\"}} {}.0", u8::from(synced));
        wait::until(&line, LIMIT, async || {
            let (_, metrics) = process.get("/metrics").await?;
            Ok(if metrics.contains(&line) { Ok(()) } else { Err(metrics) })
        })
        .await?;
        Ok(())
    }
}

fn group(name: &str, min_replicas: i32) -> serde_json::Value {
    json!({"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup", "metadata": {"name": name},
        "spec": {"minReplicas": min_replicas, "consumerSpec": {"image": "a/b:1", "topic": "t"}}})
}

/// As the end of a namespace begins.
async fn take_rights(plane: &ControlPlane, operator: &Operator) -> Outcome {
    plane.kubectl(&["delete", "rolebindings", "--all", "--namespace", CHANGES]).await?.ok()?;
    for account in [operator.controller_account(), operator.webhook_account()] {
        let person = format!("--as=system:serviceaccount:{}:{account}", operator.namespace());
        let asked =
            ["auth", "can-i", "list", "kafkatopics.kafka.strimzi.io", "--namespace", CHANGES, &person];
        wait::until("the right to be gone", LIMIT, async || {
            let answer = plane.kubectl(&asked).await?;
            Ok(if answer.stdout.trim() == "no" { Ok(()) } else { Err(answer.stdout) })
        })
        .await?;
    }
    Ok(())
}

async fn give_rights(plane: &ControlPlane, operator: &Operator) -> Outcome {
    for account in [operator.controller_account(), operator.webhook_account()] {
        let (role, to) =
            (format!("--role={account}"), format!("--serviceaccount={}:{account}", operator.namespace()));
        plane.kubectl(&["create", "rolebinding", account, &role, &to, "--namespace", CHANGES]).await?.ok()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn namespace_that_may_not_be_read_leaves_the_other_one_alone_and_is_taken_up_when_it_may_be() -> Outcome
{
    let place = Installation::open().await?;
    place.has_a_group(STAYS).await?;
    place.is_followed(STAYS, 6).await?;
    place.notices_the_loss(0).await?;
    for process in [&place.controller, &place.webhook] {
        place.is_synced(process, false).await?;
    }

    give_rights(&place.plane, &place.operator).await?;
    place.has_a_group(CHANGES).await?;
    place.is_followed(CHANGES, 6).await?;
    for process in [&place.controller, &place.webhook] {
        place.is_synced(process, true).await?;
    }

    let before = place.refusals();
    take_rights(&place.plane, &place.operator).await?;
    place.notices_the_loss(before).await?;
    place.is_followed(STAYS, 9).await?;
    for process in [&place.controller, &place.webhook] {
        assert_eq!(process.get("/readyz").await?.0, 200);
    }

    give_rights(&place.plane, &place.operator).await?;
    place.is_followed(CHANGES, 9).await
}
