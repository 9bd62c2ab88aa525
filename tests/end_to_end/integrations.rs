//! Integrations that are installed late: Strimzi's KafkaTopics, prometheus-operator's kinds. The
//! controller starts without them, reports that, and uses them as soon as they are installed,
//! without a restart. Each test continues the previous one.

use std::sync::Arc;

use anyhow::Result;
use kcg_devcluster::{Crds, KafkaTopicCrd};
use kcg_tests::env::LIMIT;
use kcg_tests::eventually;
use kcg_tests::objects::{
    AUTOSCALER, CHILDREN, CRD, DEPLOYMENT, GROUP, Kind, MONITOR, RULE, SERVICE, TOPIC, condition, topic,
};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    a_group_without_integrations_gets_the_other_children,
    without_strimzi_a_group_scales_up_to_its_maximum_and_says_that_it_is_there,
    topics_that_are_served_only_as_v1beta2_are_used,
    topics_are_watched_in_v1_as_soon_as_it_is_served,
    impossible_partition_numbers_are_ignored,
    removed_topics_are_held_and_used_again_when_they_return,
    monitoring_that_is_installed_later_is_used,
];

const NAMESPACE: &str = "integrations";
const NAME: &str = "kconsumer";
/// A group whose topic has no KafkaTopic.
const CAPPED: &str = "capped";
const TOPIC_NAME: &str = "fast-data-topic";
const OLD_TOPIC: Kind = Kind { version: "v1beta2", ..TOPIC };

async fn install(env: &SharedEnv, kafka_topic: KafkaTopicCrd, prometheus_operator: bool) -> Result<()> {
    let crds = Crds { manifests: None, kafka_topic, prometheus_operator };
    Ok(env.plane.install_crds(&crds).await?)
}

async fn a_group_without_integrations_gets_the_other_children(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace(NAMESPACE).await?;
    let answer = ns.kubectl_create(&kcg_tests::objects::group(NAME, &json!({"minReplicas": 2}))).await?;
    assert_eq!(
        answer.stderr,
        "Warning: minReplicas was not checked: the cluster serves no KafkaTopics, so integrations/fast-data-topic cannot exist yet\n"
    );
    ns.eventually(DEPLOYMENT, NAME, "two are ready", |seen| seen["status"]["readyReplicas"] == 2).await?;
    let group = ns.group_is_ready(NAME).await?;
    assert_eq!(condition(&group, "TopicsResolved")[..2], ["False", "KafkaTopicsNotServed"]);
    assert_eq!(condition(&group, "MonitoringAccepted")[..2], ["False", "KindNotServed"]);
    assert!(condition(&group, "MonitoringAccepted")[2].contains("install prometheus-operator's CRDs"));
    for kind in [SERVICE, AUTOSCALER] {
        ns.eventually(kind, NAME, "it is there", |_| true).await?;
    }
    ns.bounds_are(NAME, 2, 2).await.map(drop)
}

/// Kafka without Strimzi: maxReplicas is all that is known.
async fn without_strimzi_a_group_scales_up_to_its_maximum_and_says_that_it_is_there(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.existing_namespace(NAMESPACE);
    env.metrics.set(NAMESPACE, "capped-", "own_lag", 9000);
    let spec = json!({"maxReplicas": 4, "metrics": {"lagMetric": "own_lag"}, "consumerSpec": {"topic": "elsewhere"}});
    ns.create_group(CAPPED, &spec).await?;
    ns.bounds_are(CAPPED, 1, 4).await?;
    ns.eventually(DEPLOYMENT, CAPPED, "four run", |seen| seen["spec"]["replicas"] == 4).await?;
    let group = ns.condition_is(CAPPED, "PartitionBound", "AtCeiling").await?;
    let [status, _, message] = condition(&group, "PartitionBound");
    assert_eq!(status, "True");
    assert!(message.contains("4 consumers run, spec.maxReplicas allows no more"), "{message}");
    // A group without a maximum runs its minimum, which is no ceiling.
    let group = ns.get(GROUP, NAME).await?;
    assert_eq!(condition(&group, "PartitionBound")[0], "Unknown");
    Ok(())
}

async fn topics_that_are_served_only_as_v1beta2_are_used(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.existing_namespace(NAMESPACE);
    install(&env, KafkaTopicCrd::V1beta2, false).await?;
    let mut object = topic(TOPIC_NAME, &json!({"partitions": 3, "replicas": 1}));
    object["apiVersion"] = json!(OLD_TOPIC.api_version());
    ns.create_object(OLD_TOPIC, &object).await?;
    ns.bounds_are(NAME, 2, 3).await?;
    ns.condition_is(NAME, "TopicsResolved", "Unconfirmed").await?;
    // The webhook also uses them without a restart.
    eventually("the webhook to see them", LIMIT, async || {
        let dry = ["patch", "kcg", NAME, "--type=merge", "--dry-run=server", "-p", r#"{"spec":{"minReplicas":4}}"#];
        let answer = ns.kubectl(&dry).await.map_err(|error| kcg_devcluster::Error::Missing(error.to_string()))?;
        let sentence = "must not be more than 3: topic fast-data-topic has 3 partitions, so a fourth consumer would be idle";
        Ok(if answer.stderr.contains(sentence) { Ok(()) } else { Err(answer.stdout + &answer.stderr) })
    })
    .await?;
    Ok(())
}

async fn topics_are_watched_in_v1_as_soon_as_it_is_served(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.existing_namespace(NAMESPACE);
    install(&env, KafkaTopicCrd::Both, false).await?;
    // The API server may need a moment to serve v1 after the CRD is established.
    ns.eventually(TOPIC, TOPIC_NAME, "it is served as v1", |_| true).await?;
    ns.patch(TOPIC, TOPIC_NAME, &json!({"spec": {"partitions": 5}})).await?;
    ns.bounds_are(NAME, 2, 5).await.map(drop)
}

/// Writes an impossible number of partitions; the schema that forbids it is relaxed for that.
async fn impossible_partition_numbers_are_ignored(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.existing_namespace(NAMESPACE);
    let crds: Api<DynamicObject> = Api::all_with(env.client.clone(), &CRD.resource());
    let anything = json!({"x-kubernetes-preserve-unknown-fields": true});
    let versions = [0, 1].map(|version| {
        let path =
            format!("/spec/versions/{version}/schema/openAPIV3Schema/properties/spec/properties/partitions");
        json!({"op": "replace", "path": path, "value": anything})
    });
    let patch: json_patch::Patch = serde_json::from_value(json!(versions))?;
    crds.patch("kafkatopics.kafka.strimzi.io", &PatchParams::default(), &Patch::Json::<()>(patch)).await?;
    let state =
        async |value: &Value| ns.patch(TOPIC, TOPIC_NAME, &json!({"spec": {"partitions": value}})).await;
    eventually("the schema to allow anything", LIMIT, async || {
        Ok(state(&json!(0)).await.map_err(|error| format!("{error:#}")))
    })
    .await?;
    for value in
        [json!(0), json!(-1), json!(2.5), json!(2_147_483_648_i64), json!("many"), json!({}), json!(true)]
    {
        state(&value).await?;
        let what = format!("TopicsResolved to report {value} as invalid");
        let group = ns
            .eventually(GROUP, NAME, &what, |group| {
                let [_, reason, message] = condition(group, "TopicsResolved");
                reason == "PartitionsImpossible"
                    && message.contains(&format!("has the invalid spec.partitions {value}"))
            })
            .await?;
        assert_eq!((&group["status"]["partitions"], &group["status"]["maxReplicas"]), (&json!(5), &json!(5)));
    }
    assert_eq!(ns.get(AUTOSCALER, NAME).await?["spec"]["maxReplicas"], 5);
    // The original accepted the number as text.
    state(&json!("7")).await?;
    ns.bounds_are(NAME, 2, 7).await?;
    state(&json!(7)).await?;
    install(&env, KafkaTopicCrd::Both, false).await
}

async fn removed_topics_are_held_and_used_again_when_they_return(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.existing_namespace(NAMESPACE);
    let crds: Api<DynamicObject> = Api::all_with(env.client.clone(), &CRD.resource());
    crds.delete("kafkatopics.kafka.strimzi.io", &DeleteParams::default()).await?;
    let group = ns.condition_is(NAME, "TopicsResolved", "KafkaTopicsNotServed").await?;
    assert_eq!((&group["status"]["partitions"], &group["status"]["maxReplicas"]), (&json!(7), &json!(7)));
    ns.bounds_are(NAME, 2, 7).await?;
    install(&env, KafkaTopicCrd::Both, false).await?;
    ns.condition_is(NAME, "TopicsResolved", "TopicNotFound").await?;
    ns.create_topic(TOPIC_NAME, 9).await?;
    ns.bounds_are(NAME, 2, 9).await.map(drop)
}

async fn monitoring_that_is_installed_later_is_used(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.existing_namespace(NAMESPACE);
    install(&env, KafkaTopicCrd::Both, true).await?;
    for kind in [MONITOR, RULE] {
        ns.exists(kind, NAME).await?;
    }
    ns.eventually(RULE, CAPPED, "its maximum is the ceiling of its alert", |rule| {
        let alerts = rule.pointer("/spec/groups/0/rules").and_then(Value::as_array);
        let at_ceiling =
            alerts.into_iter().flatten().find(|alert| alert["alert"] == "KafkaConsumerGroupAtCeiling");
        at_ceiling.is_some_and(|alert| alert["expr"].as_str().unwrap_or_default().ends_with(">= 4)"))
    })
    .await?;
    let group = ns.condition_is(NAME, "MonitoringAccepted", "NotReported").await?;
    assert_eq!(condition(&group, "Ready")[0], "True");
    // If prometheus-operator reports the result of a ServiceMonitor, the group reports it, too.
    let binding = |status: &str, reason: &str| {
        json!({"bindings": [{"group": "monitoring.coreos.com", "resource": "prometheuses", "name": "k8s", "namespace": "monitoring",
            "conditions": [{"type": "Accepted", "status": status, "reason": reason, "message": "relabeling is invalid",
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}]}]})
    };
    ns.patch_status(MONITOR, NAME, &binding("True", "Accepted")).await?;
    ns.condition_is(NAME, "MonitoringAccepted", "Accepted").await?;
    ns.patch_status(MONITOR, NAME, &binding("False", "InvalidConfiguration")).await?;
    let group = ns.condition_is(NAME, "MonitoringAccepted", "Rejected").await?;
    assert!(condition(&group, "MonitoringAccepted")[2].contains("relabeling is invalid"));
    for kind in CHILDREN {
        ns.eventually(kind, NAME, "it is there", |_| true).await?;
    }
    ns.close().await
}
