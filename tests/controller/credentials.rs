//! The controller's token and the CA of the API server are rotated while it runs.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kcg_devcluster::ControlPlane;
use kcg_devcluster::pki::Ca;
use kcg_tests::env::{all_crds, api_server};
use kcg_tests::namespace::Namespace;
use kcg_tests::{Outcome, eventually, is_long, met};
use kube::api::{DeleteParams, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;
use tempfile::TempDir;

use crate::LATER;
use crate::env::{ControllerEnv, SOON};

/// The client reads both files at least once a minute.
const PICKED_UP: Duration = Duration::from_secs(100);

/// A token that is valid as long as a Secret of this name exists.
async fn token(client: &Client, namespace: &str, secret: &str) -> Outcome<String> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let object = serde_json::from_value(json!({"metadata": {"name": secret}}))?;
    let created = secrets.create(&PostParams::default(), &object).await?;
    let bound = BoundObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Secret".into()),
        name: Some(secret.into()),
        uid: created.metadata.uid,
    };
    let spec = TokenRequestSpec { bound_object_ref: Some(bound), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let answer = accounts.create_token_request("operator", &PostParams::default(), &request).await?;
    let token = answer.status.and_then(|status| status.token);
    Ok(token.ok_or("the response contains no token")?)
}

/// What a pod is configured with: a file with the token and one with the CA.
async fn in_a_pod(plane: &ControlPlane, folder: &Path) -> Outcome<Config> {
    let kubeconfig = Kubeconfig::read_from(plane.kubeconfig_path())?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.root_cert_file = Some(folder.join("ca.crt"));
    let token_file = Some(folder.join("token").display().to_string());
    config.auth_info = AuthInfo { token_file, ..AuthInfo::default() };
    Ok(config)
}

/// Gives the API server a certificate of another CA, which its clients' files contain from now on.
async fn rotate_ca(plane: &ControlPlane, mounted: &Path) -> Outcome {
    let ca = Ca::new("another")?;
    let serving = ca.server(&["localhost", "127.0.0.1"])?;
    let both = format!("{}{}", plane.ca(), ca.certificate());
    std::fs::write(mounted, &both)?;
    std::fs::write(plane.folder().join("ca.crt"), both)?;
    std::fs::write(plane.folder().join("apiserver.crt"), serving.certificate)?;
    std::fs::write(plane.folder().join("apiserver.key"), serving.key)?;
    Ok(plane.restart_apiserver().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_and_a_rotated_ca_are_used_without_a_restart() -> Outcome {
    if !is_long() {
        return Ok(());
    }
    let (plane, folder) = (api_server(all_crds()).await?, TempDir::new()?);
    let client = plane.client().await?;
    let namespace = Namespace::create(&plane, &client, "rotated").await?.within(SOON);
    namespace.create_topic("fast-data-topic", 3).await?;
    namespace.kubectl(&["create", "serviceaccount", "operator"]).await?.ok()?;
    let account = ["create", "clusterrolebinding", "operator", "--clusterrole=cluster-admin"];
    namespace.kubectl(&[&account[..], &["--serviceaccount=rotated:operator"]].concat()).await?.ok()?;

    let mounted = folder.path().join("ca.crt");
    std::fs::write(&mounted, plane.ca())?;
    let old = token(&client, &namespace.name, "old").await?;
    std::fs::write(folder.path().join("token"), &old)?;
    let config = in_a_pod(&plane, folder.path()).await?;
    let env = ControllerEnv::start_with(config, namespace.clone())?;
    env.create_group("g", &json!({})).await?;
    env.children_exist("g").await?;

    let new = token(&client, &namespace.name, "new").await?;
    std::fs::write(folder.path().join("token"), new)?;
    let secrets: Api<Secret> = Api::namespaced(client, &namespace.name);
    secrets.delete("old", &DeleteParams::default()).await?;
    rotate_ca(&plane, &mounted).await?;

    // The files of a client that starts now are the new ones.
    let after = Namespace::new(&plane, &plane.client().await?, &namespace.name).within(PICKED_UP);
    let revoked = plane.kubectl(&["--token", &old, "auth", "whoami"]).await?;
    assert!(revoked.ok().is_err(), "the old token is accepted");
    eventually("the controller reaches the API server", PICKED_UP, async || {
        let ready = env.readyz().await.unwrap_or_default();
        Ok(met(ready.starts_with("HTTP/1.1 200 "), || ready))
    })
    .await?;
    after.drift_is_repaired("g").await?;
    after.within(LATER).children_exist("g").await?;
    env.stop().await
}
