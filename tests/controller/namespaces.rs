//! An installation for two namespaces, with Roles in those alone: losing the rights in one does not
//! affect the other.

use std::time::Duration;

use kcg_devcluster::Replica;
use kcg_tests::env::{TestEnv, all_crds, api_server};
use kcg_tests::objects::{AUTOSCALER, TOPIC, group};
use kcg_tests::{Outcome, deploy_copy, eventually, met};
use serde_json::json;

/// The namespace whose rights are never revoked.
const STAYS: &str = "default";
/// The namespace whose rights are revoked and granted.
const CHANGES: &str = "team-b";
/// The steps in the comment of the scope's kustomization.
const TWO_NAMESPACES: &str = "cd deploy/scopes/namespaced && cp -r namespaces/default namespaces/team-b \
    && sed -i 's/default/team-b/' namespaces/team-b/kustomization.yaml namespaces/team-b/roles/kustomization.yaml \
    && sed -i 's#^- namespaces/default#&\\n- namespaces/team-b#' kustomization.yaml";
/// A revoked right is noticed when a watch is opened again, which is after 45 s at the latest.
const LIMIT: Duration = Duration::from_mins(2);

struct Installation {
    controller: Replica,
    webhook: Replica,
    env: TestEnv,
}

impl Installation {
    /// Both processes are ready and have never had a right in `CHANGES`.
    async fn start() -> Outcome<Self> {
        let copy = deploy_copy(TWO_NAMESPACES).await?;
        let plane = api_server(all_crds()).await?;
        plane.kubectl(&["create", "namespace", CHANGES]).await?.ok()?;
        let env = TestEnv::install(plane, &copy.path().join("deploy/scopes/namespaced")).await?;
        revoke_rights(&env).await?;
        let flags = [&*format!("--namespaces={STAYS},{CHANGES}")];
        let controller = env.operator.start_controller("one", &flags).await?;
        let webhook = env.operator.start_webhook(&flags).await?;
        Ok(Self { controller, webhook, env })
    }

    /// A topic and a group of it.
    async fn create_a_group(&self, name: &str) -> Outcome {
        let namespace = self.env.existing_namespace(name);
        namespace.create_topic("fast-data-topic", 3).await?;
        namespace.kubectl_create(&group("g", &json!({}))).await?.ok()?;
        Ok(())
    }

    /// Changes the topic's partitions: they become the ceiling, and a minimum above them is
    /// refused.
    async fn partitions_take_effect(&self, name: &str, partitions: i32) -> Outcome {
        let namespace = self.env.existing_namespace(name).within(LIMIT);
        namespace.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": partitions}})).await?;
        let what = format!("its ceiling is {partitions}");
        let ceiling = |autoscaler: &serde_json::Value| autoscaler["spec"]["maxReplicas"] == partitions;
        namespace.eventually(AUTOSCALER, "g", &what, ceiling).await?;
        self.webhook_answers(name, partitions + 1, &format!("must not be more than {partitions}")).await
    }

    /// Waits until the webhook answers a new group with this minimum so.
    async fn webhook_answers(&self, name: &str, min_replicas: i32, message: &str) -> Outcome {
        let namespace = self.env.existing_namespace(name);
        let object = group("another", &json!({"minReplicas": min_replicas})).to_string();
        eventually(&format!("the webhook answers {message:?} in {name}"), LIMIT, async || {
            let answer = namespace.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &object).await?;
            Ok(met(answer.stderr.contains(message), || answer.stderr))
        })
        .await?;
        Ok(())
    }

    /// How often the controller has logged that it may not read topics.
    fn refusals(&self) -> usize {
        let log = self.controller.process().log();
        log.lines().filter(|line| line.contains("watch failed") && line.contains("kafkatopics")).count()
    }

    /// Waits until both processes have noticed that they may not read the topics any longer.
    async fn notices_the_loss(&self, refusals_before: usize) -> Outcome {
        eventually("the controller is refused", LIMIT, async || {
            Ok(met(self.refusals() > refusals_before, || self.controller.process().log()))
        })
        .await?;
        self.webhook_answers(CHANGES, 100, "cannot be read now (the webhook may not read KafkaTopics)").await
    }

    async fn is_synced(&self, process: &Replica, synced: bool) -> Outcome {
        let line =
            format!("kconsumer_group_operator_watch_synced{{watch=\"kafkatopics\"}} {}.0", u8::from(synced));
        eventually(&line, LIMIT, async || {
            let (_, metrics) = process.get("/metrics").await?;
            Ok(met(metrics.contains(&line), || metrics))
        })
        .await?;
        Ok(())
    }
}

/// Revokes the rights, as the deletion of a namespace does first.
async fn revoke_rights(env: &TestEnv) -> Outcome {
    let operator = &env.operator;
    env.kubectl(&["delete", "rolebindings", "--all", "--namespace", CHANGES]).await?;
    for account in [operator.controller_account(), operator.webhook_account()] {
        let user = format!("--as=system:serviceaccount:{}:{account}", operator.namespace());
        let can_list =
            ["auth", "can-i", "list", "kafkatopics.kafka.strimzi.io", "--namespace", CHANGES, &user];
        eventually("the right is revoked", LIMIT, async || {
            let answer = env.plane.kubectl(&can_list).await?;
            Ok(met(answer.stdout.trim() == "no", || answer.stdout))
        })
        .await?;
    }
    Ok(())
}

async fn grant_rights(env: &TestEnv) -> Outcome {
    let operator = &env.operator;
    for account in [operator.controller_account(), operator.webhook_account()] {
        let (role, to) =
            (format!("--role={account}"), format!("--serviceaccount={}:{account}", operator.namespace()));
        env.kubectl(&["create", "rolebinding", account, &role, &to, "--namespace", CHANGES]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_namespace_does_not_affect_the_other_and_is_reconciled_once_allowed() -> Outcome {
    let installation = Installation::start().await?;
    installation.create_a_group(STAYS).await?;
    installation.partitions_take_effect(STAYS, 6).await?;
    installation.notices_the_loss(0).await?;
    for process in [&installation.controller, &installation.webhook] {
        installation.is_synced(process, false).await?;
    }

    grant_rights(&installation.env).await?;
    installation.create_a_group(CHANGES).await?;
    installation.partitions_take_effect(CHANGES, 6).await?;
    for process in [&installation.controller, &installation.webhook] {
        installation.is_synced(process, true).await?;
    }

    let before = installation.refusals();
    revoke_rights(&installation.env).await?;
    installation.notices_the_loss(before).await?;
    installation.partitions_take_effect(STAYS, 9).await?;
    for process in [&installation.controller, &installation.webhook] {
        assert_eq!(process.get("/readyz").await?.0, 200);
    }

    grant_rights(&installation.env).await?;
    installation.partitions_take_effect(CHANGES, 9).await
}
