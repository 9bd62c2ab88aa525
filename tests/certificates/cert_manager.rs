//! What the tests ask of cert-manager: the renewal of a Certificate.

use kcg_api::names;
use kcg_tests::certificate::RENEWED;
use kcg_tests::env::TestEnv;
use kcg_tests::{Outcome, eventually, kubectl, met};
use serde_json::json;

/// The Secret with the key of cert-manager's CA, and the CA's Certificate.
pub const CA: &str = "kconsumer-group-operator-webhook-ca";

/// The private key of the CA.
pub async fn ca_key(env: &TestEnv) -> Outcome<String> {
    let path = "jsonpath={.data.tls\\.key}";
    Ok(env.kubectl(&["get", "secret", CA, "-n", names::NAMESPACE, "-o", path]).await?)
}

/// Requests the renewal of a Certificate, as `cmctl renew` does.
pub async fn renew(env: &TestEnv, certificate: &str) -> Outcome {
    let target = ["certificate", certificate, "-n", names::NAMESPACE];
    let mut now = kubectl::get(&env.plane, &target).await?;
    let issuing = json!({
        "type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "requested by a test",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": now["metadata"]["generation"],
    });
    let conditions = now["status"]["conditions"].as_array_mut().ok_or("no conditions yet")?;
    conditions.retain(|condition| condition["type"] != "Issuing");
    conditions.push(issuing);
    let target = [&target[..], &["--subresource=status"]].concat();
    kubectl::patch(&env.plane, &target, &json!({"status": {"conditions": conditions}})).await?;
    Ok(())
}

/// Waits until a requested renewal is done.
pub async fn renewed(env: &TestEnv, certificate: &str) -> Outcome {
    let path = "jsonpath={.status.conditions[?(@.type=='Issuing')].status}";
    let args = ["get", "certificate", certificate, "-n", names::NAMESPACE, "-o", path];
    eventually("cert-manager renews", RENEWED, async || {
        let issuing = env.kubectl(&args).await?;
        Ok(met(!issuing.contains("True"), || "it is still issuing"))
    })
    .await?;
    Ok(())
}
