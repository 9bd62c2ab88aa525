//! Starting, using, restarting and pausing a control plane.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kcg_devcluster::audit::Mark;
use kcg_devcluster::{ControlPlane, Crds, KafkaTopicCrd};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Only etcd and the API server, which start fastest.
async fn minimal() -> Result<ControlPlane, kcg_devcluster::Error> {
    ControlPlane::builder().controller_manager(false).scheduler(false).audit(true).start().await
}

async fn create_config_map(client: &Client, name: &str) -> Result<(), kube::Error> {
    let object: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": name}})).map_err(kube::Error::SerdeError)?;
    Api::<ConfigMap>::namespaced(client.clone(), "default")
        .create(&PostParams::default(), &object)
        .await
        .map(drop)
}

#[tokio::test]
async fn two_clusters_on_one_computer_are_independent() -> Outcome {
    let (one, two) = tokio::try_join!(minimal(), minimal())?;
    create_config_map(&one.client().await?, "only-here").await?;
    let names = ["get", "configmap", "only-here", "-o", "name"];
    assert_eq!(one.kubectl(&names).await?.ok()?.trim(), "configmap/only-here");
    assert!(two.kubectl(&names).await?.stderr.contains("NotFound"));
    Ok(())
}

#[tokio::test]
async fn kubectl_and_the_api_server_report_the_pinned_version() -> Outcome {
    let plane = minimal().await?;
    let versions = plane.kubectl(&["version"]).await?.ok()?;
    let pins = include_str!("../tools/kubernetes/go.mod");
    let pin =
        pins.lines().find_map(|line| line.strip_prefix("require k8s.io/kubernetes ")).ok_or("no pin")?;
    for line in ["Client", "Server"].map(|side| format!("{side} Version: {pin}")) {
        assert!(versions.contains(&line), "{line} in {versions}");
    }
    Ok(())
}

#[tokio::test]
async fn the_audit_log_counts_each_request_between_two_marks_once() -> Outcome {
    let plane = minimal().await?;
    let (log, client) = (plane.audit_log()?, plane.client().await?);
    let before = log.mark()?;
    for number in 0..5 {
        create_config_map(&client, &format!("number-{number}")).await?;
    }
    Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await?;
    let mine = |from: Mark| -> Result<Vec<_>, kcg_devcluster::Error> {
        Ok(log.since(from)?.into_iter().filter(|event| event.user.username == "devcluster-admin").collect())
    };
    let events = mine(before)?;
    assert_eq!(events.iter().filter(|event| event.is_write() && event.resource() == "configmaps").count(), 5);
    assert_eq!(events.len(), 6);
    assert!(mine(log.mark()?)?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_service_account_has_only_its_own_rights() -> Outcome {
    let plane = minimal().await?;
    plane.kubectl(&["create", "serviceaccount", "reader"]).await?.ok()?;
    let kubectl = plane.kubectl_as("default", "reader").await?;
    let before = plane.audit_log()?.mark()?;
    let output = kubectl.run(&["get", "secrets"]).await?;
    assert!(output.stderr.contains("Forbidden"), "{}", output.stderr);
    let events = plane.audit_log()?.since(before)?;
    let denied = events.iter().find(|event| event.is_denied()).ok_or("no denial in the audit log")?;
    assert!(denied.is_by("default", "reader"));
    assert_eq!((denied.verb.as_str(), denied.resource().as_str()), ("list", "secrets"));
    Ok(())
}

#[tokio::test]
async fn a_restarted_api_server_keeps_its_address_and_its_objects() -> Outcome {
    let plane = minimal().await?;
    let client = plane.client().await?;
    create_config_map(&client, "kept").await?;
    plane.restart_apiserver().await?;
    Api::<ConfigMap>::namespaced(client, "default").get("kept").await?;
    Ok(())
}

#[tokio::test]
async fn a_paused_api_server_answers_no_request_until_it_is_resumed() -> Outcome {
    let plane = minimal().await?;
    let client = plane.client().await?;
    plane.pause_apiserver()?;
    let short = Duration::from_millis(300);
    assert!(tokio::time::timeout(short, client.apiserver_version()).await.is_err());
    plane.resume_apiserver()?;
    plane.client().await?.apiserver_version().await?;
    Ok(())
}

#[tokio::test]
async fn only_the_selected_versions_of_kafka_topic_are_served() -> Outcome {
    let plane = minimal().await?;
    for (which, served) in [(KafkaTopicCrd::V1beta2, "v1beta2"), (KafkaTopicCrd::Both, "v1 v1beta2")] {
        plane.install_crds(&Crds { kafka_topic: which, ..Crds::default() }).await?;
        let path = "-o=jsonpath={.spec.versions[?(@.served==true)].name}";
        let crd = plane.kubectl(&["get", "crd", "kafkatopics.kafka.strimzi.io", path]).await?.ok()?;
        assert_eq!(crd, served);
    }
    Ok(())
}
