//! The operator's two Deployments, unchanged from `deploy/`.

use std::time::Duration;

use kcg_devcluster::{deploy_folder, wait};

use crate::harness::{Harness, Outcome};

const NAMESPACE: &str = "kconsumer-group-operator";
const LIMIT: Duration = Duration::from_mins(1);

/// All replicas become available, and the webhook's pods reject an invalid group.
pub async fn the_shipped_operator_runs_unchanged(harness: &Harness) -> Outcome {
    let deploy = deploy_folder()?;
    harness.install_operator().await?;
    let available = "-o=jsonpath={.items[*].status.availableReplicas}";
    harness.sees(NAMESPACE, &["deployments", available], |seen| seen == "2 2").await?;
    let bundles = "-o=jsonpath={.webhooks[*].clientConfig.caBundle}";
    for kind in ["validatingwebhookconfiguration", "mutatingwebhookconfiguration"] {
        harness.sees(NAMESPACE, &[kind, NAMESPACE, bundles], |seen| !seen.is_empty()).await?;
    }
    let bad = deploy.join("samples/bad-many.yaml").display().to_string();
    let refused = wait::until("the webhook's pods to refuse a bad group", LIMIT, async || {
        let answer = harness.plane.kubectl(&["create", "-f", &bad]).await?;
        // Which only the webhook knows: the CRD's schema takes it.
        let by_webhook = answer.stderr.contains("must not be more than spec.maxReplicas, which is 2");
        Ok(if answer.code != 0 && by_webhook { Ok(()) } else { Err(answer.stderr) })
    });
    refused.await?;
    let restarts = "-o=jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    let restarts = harness.kubectl(&["get", "-n", NAMESPACE, "pods", restarts]).await?;
    assert_eq!(restarts, "0 0 0 0");
    Ok(())
}
