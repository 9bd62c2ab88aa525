//! What the controller's token may change in the two webhook configurations.

use std::time::Duration;

use kcg_api::names;
use kcg_tests::{Outcome, eventually};
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::env::RotatorEnv;

/// What every message begins with.
const RULE: &str =
    "the controller of kconsumer-group-operator may change only webhooks[*].clientConfig.caBundle";

fn configurations(client: &Client) -> [Api<DynamicObject>; 2] {
    ["Mutating", "Validating"].map(|which| {
        let resource = ApiResource {
            group: "admissionregistration.k8s.io".into(),
            version: "v1".into(),
            api_version: "admissionregistration.k8s.io/v1".into(),
            kind: format!("{which}WebhookConfiguration"),
            plural: format!("{}webhookconfigurations", which.to_lowercase()),
        };
        Api::all_with(client.clone(), &resource)
    })
}

/// A JSON patch as a dry run: why it is refused, if it is.
async fn refusal(api: &Api<DynamicObject>, patch: &Value) -> anyhow::Result<Option<String>> {
    let patch = Patch::Json::<()>(serde_json::from_value(patch.clone())?);
    match api.patch(names::NAMESPACE, &PatchParams::default().dry_run(), &patch).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message)),
        Err(error) => Err(error.into()),
    }
}

fn replace(path: &str, value: &Value) -> Value {
    json!([{"op": "replace", "path": path, "value": value}])
}

fn add(path: &str, value: &Value) -> Value {
    json!([{"op": "add", "path": path, "value": value}])
}

/// Changes that would let a thief of the token receive or change other objects, turn the checks off,
/// or have the configuration deleted; each with the end of the message. `failure_policy` is not the
/// present one.
fn changes(failure_policy: &str) -> Vec<(Value, &'static str)> {
    const LIST: &str = "not the list of the webhooks";
    const FIELD: &str = "not another field of a webhook";
    const TARGET: &str = "not the url or the service of clientConfig";
    const METADATA: &str = "not metadata";
    let service = "/webhooks/0/clientConfig/service";
    let second = json!([
        {"op": "copy", "from": "/webhooks/0", "path": "/webhooks/-"},
        {"op": "replace", "path": "/webhooks/1/name", "value": "second.thenextapps.com"},
    ]);
    let to_a_url = json!([
        {"op": "remove", "path": service},
        {"op": "add", "path": "/webhooks/0/clientConfig/url", "value": "https://elsewhere.example/"},
    ]);
    vec![
        (to_a_url, TARGET),
        (replace(&format!("{service}/name"), &json!("other")), TARGET),
        (replace(&format!("{service}/namespace"), &json!("other")), TARGET),
        (replace(&format!("{service}/path"), &json!("/other")), TARGET),
        (replace(&format!("{service}/port"), &json!(8443)), TARGET),
        (replace("/webhooks/0/rules/0/resources/0", &json!("*")), FIELD),
        (replace("/webhooks/0/rules/0/apiGroups/0", &json!("*")), FIELD),
        (add("/webhooks/0/rules/0/operations/-", &json!("DELETE")), FIELD),
        (replace("/webhooks/0/failurePolicy", &json!(failure_policy)), FIELD),
        (replace("/webhooks/0/namespaceSelector", &json!({})), FIELD),
        (replace("/webhooks/0/objectSelector", &json!({"matchLabels": {"a": "b"}})), FIELD),
        (json!([{"op": "remove", "path": "/webhooks/0/matchConditions"}]), FIELD),
        (replace("/webhooks/0/matchPolicy", &json!("Exact")), FIELD),
        (replace("/webhooks/0/sideEffects", &json!("NoneOnDryRun")), FIELD),
        (replace("/webhooks/0/timeoutSeconds", &json!(30)), FIELD),
        (second, LIST),
        (json!([{"op": "remove", "path": "/webhooks"}]), LIST),
        (replace("/webhooks/0/name", &json!("other.thenextapps.com")), LIST),
        // Owner references are metadata, too; here another admission plugin refuses them first.
        (add("/metadata/finalizers", &json!(["thenextapps.com/held"])), METADATA),
        (add("/metadata/annotations", &json!({"cert-manager.io/inject-ca-from": "a/b"})), METADATA),
        (add("/metadata/labels", &json!({})), METADATA),
    ]
}

#[tokio::test]
async fn a_token_of_the_controller_changes_the_ca_bundle_of_a_webhook_configuration_and_nothing_else()
-> Outcome {
    let env = RotatorEnv::shared().await?;
    let controller = configurations(&env.controller().await?);
    let administrator = configurations(&env.administrator().await?);
    // An API server enforces a new policy after a moment.
    eventually("the policy is in force", Duration::from_secs(30), async || {
        let refused = refusal(&controller[0], &replace("/webhooks/0/timeoutSeconds", &json!(30))).await?;
        Ok(refused.ok_or("the change was accepted"))
    })
    .await?;
    for (number, failure_policy) in ["Fail", "Ignore"].into_iter().enumerate() {
        let api = &controller[number];
        for (change, message) in changes(failure_policy) {
            let found = refusal(api, &change).await?.unwrap_or_else(|| "accepted".into());
            assert!(found.ends_with(&format!("denied request: {RULE}, {message}")), "{change}: {found}");
            // Others may: an upgrade changes these fields.
            assert_eq!(refusal(&administrator[number], &change).await?, None, "{change}");
        }
        let bundle = add("/webhooks/0/clientConfig/caBundle", &json!("LS0tLS1CRUdJTi0tLS0tCg=="));
        assert_eq!(refusal(api, &bundle).await?, None);
    }
    // The rotation itself, by server-side apply.
    let rotator = env.rotator("one").await?;
    assert_eq!(env.reconcile(&rotator).await, Vec::<String>::new());
    env.certificate_is_trusted().await?;
    let remove = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]);
    assert_eq!(refusal(&controller[0], &remove).await?, None);
    Ok(())
}
