//! The flows that the original operator documents and that need no Kafka: the sample, its children,
//! added partitions, a load that rises and falls, and deletion.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use kcg_api::alerts::AlertName;
use kcg_tests::audit;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{AUTOSCALER, CHILDREN, GROUP, POD, RULE, TOPIC, assert_contains, condition};
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    the_sample_applies_unchanged_and_gets_the_five_children,
    the_status_has_the_message_of_the_original_and_its_reason,
    adding_partitions_raises_the_ceiling,
    load_adds_consumers_up_to_the_ceiling_and_idleness_removes_them,
    deleting_a_group_deletes_all_its_children,
];

pub const LAG: &str = "kafka_consumer_fetch_manager_records_lag_pod_sum";

/// The original's sample with a topic of one partition.
async fn sample(env: &Arc<SharedEnv>, namespace: &str) -> Result<Namespace> {
    let ns = env.namespace(namespace).await?;
    env.metrics.set(namespace, "kconsumer-", LAG, 10);
    ns.create_topic("fast-data-topic", 1).await?;
    let file = kcg_tests::deploy("samples/kconsumer.yaml");
    let answer = ns.kubectl(&["apply", "-f", &file.display().to_string()]).await?;
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""), "the sample causes no warning");
    assert_eq!(answer.stdout, "kconsumergroup.thenextapps.com/kconsumer created\n");
    Ok(ns)
}

async fn the_sample_applies_unchanged_and_gets_the_five_children(env: Arc<SharedEnv>) -> Result<()> {
    let ns = sample(&env, "original-children").await?;
    let group = ns.group_is_ready("kconsumer").await?;
    let selector = json!({"app": "kconsumer", "thenextapps.com/kconsumergroup": "kconsumer"});
    for kind in CHILDREN {
        let child = ns.get(kind, "kconsumer").await?;
        let owner = json!([{
            "apiVersion": GROUP.api_version(), "kind": GROUP.name, "name": "kconsumer", "uid": group["metadata"]["uid"],
            "controller": true, "blockOwnerDeletion": true,
        }]);
        assert_contains(&child["metadata"], &json!({"ownerReferences": owner, "labels": selector}));
        assert_contains(&child, &wanted(kind.name, &ns.name, &selector));
    }
    ns.close().await
}

/// The content of each child: that of the original, with its errors corrected.
fn wanted(kind: &str, namespace: &str, selector: &Value) -> Value {
    match kind {
        "Service" => json!({"spec": {
            "type": "ClusterIP", "selector": selector,
            "ports": [{"name": "metrics", "port": 8085, "targetPort": 8085, "protocol": "TCP"}],
        }}),
        "ServiceMonitor" => json!({"spec": {
            "jobLabel": "app", "selector": {"matchLabels": selector}, "namespaceSelector": {"matchNames": [namespace]},
            "endpoints": [{
                "port": "metrics", "path": "/actuator/prometheus", "scheme": "http", "interval": "5s", "honorLabels": false,
            }],
        }}),
        "HorizontalPodAutoscaler" => json!({"spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "kconsumer"},
            "minReplicas": 1, "maxReplicas": 1,
            "metrics": [{"type": "Pods", "pods": {
                "metric": {"name": LAG}, "target": {"type": "AverageValue", "averageValue": "1k"},
            }}],
        }}),
        "Deployment" => json!({"spec": {
            "replicas": 1, "selector": {"matchLabels": selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}},
            "template": {"metadata": {"labels": selector}, "spec": {
                "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                "terminationGracePeriodSeconds": 60,
                "containers": [{
                    "name": "kconsumer", "image": "thenextapps/kconsumer:latest", "imagePullPolicy": "Always",
                    "ports": [{"name": "metrics", "containerPort": 8085, "protocol": "TCP"}],
                    "env": [
                        {"name": "KAFKA_TOPICS", "value": "fast-data-topic"}, {"name": "KAFKA_GROUP_ID", "value": "kconsumer"},
                    ],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            }},
        }}),
        _ => rule(namespace),
    }
}

/// The expressions are compared with core/src/children/original_sample.yaml.
fn rule(namespace: &str) -> Value {
    let labels = json!({"severity": "warning", "namespace": namespace, "kconsumergroup": "kconsumer"});
    let alert = |name: &AlertName| json!({"alert": name.as_str(), "for": "1m", "labels": labels});
    json!({
        "metadata": {"labels": {"prometheus": "k8s", "role": "alert-rules"}},
        "spec": {"groups": [{
            "name": "./kconsumer.rules", "rules": AlertName::ALL.iter().map(alert).collect::<Vec<_>>(),
        }]},
    })
}

async fn the_status_has_the_message_of_the_original_and_its_reason(env: Arc<SharedEnv>) -> Result<()> {
    let ns = sample(&env, "original-status").await?;
    // The list exists in the first status already: the schema of the original refused null.
    let group = ns
        .eventually(GROUP, "kconsumer", "its metric is read", |group| {
            let status = &group["status"];
            assert!(status.is_null() || status["activePods"].is_array(), "{status}");
            condition(group, "MetricsAvailable")[0] == "True" && condition(group, "Ready")[0] == "True"
        })
        .await?;
    let pods: Vec<String> = ns.list(POD).await?.iter().map(name).collect();
    assert_eq!(pods.len(), 1);
    let mut status = group["status"].clone();
    let conditions =
        status.as_object_mut().and_then(|status| status.remove("conditions")).context("conditions")?;
    assert_eq!(
        status,
        json!({
            "observedGeneration": group["metadata"]["generation"],
            "replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "activePods": pods,
            "message": "Message: Reconciliation completed, Error: <nil>",
            "defaultsVersion": "3", "partitions": 1, "maxReplicas": 1, "lag": {"current": 10, "limit": 1000, "summary": "10/1k"},
            "topics": [{
                "name": "fast-data-topic", "namespace": "original-status", "topicName": "fast-data-topic", "partitions": 1,
            }],
        })
    );
    let reasons: Vec<String> = conditions
        .as_array()
        .context("a list")?
        .iter()
        .map(|condition| {
            let field = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
            assert_eq!(condition["observedGeneration"], group["metadata"]["generation"]);
            format!("{} {} {}", field("type"), field("status"), field("reason"))
        })
        .collect();
    assert_eq!(
        reasons,
        [
            "Ready True Reconciled",
            "Progressing False RolloutComplete",
            "Stalled False NotStalled",
            "TopicsResolved True Unconfirmed",
            "MetricsAvailable True MetricsRead",
            "MonitoringAccepted Unknown NotReported",
            "PartitionBound False RoomToScale",
            "Paused False Running",
        ]
    );
    ns.close().await
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

async fn adding_partitions_raises_the_ceiling(env: Arc<SharedEnv>) -> Result<()> {
    let ns = sample(&env, "original-partitions").await?;
    ns.group_is_ready("kconsumer").await?;
    ns.bounds_are("kconsumer", 1, 1).await?;
    let audit = ns.audit()?;
    ns.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": 3}})).await?;
    ns.bounds_are("kconsumer", 1, 3).await?;
    let group = ns
        .eventually(GROUP, "kconsumer", "it has three partitions", |group| group["status"]["partitions"] == 3)
        .await?;
    assert_contains(&group["status"], &json!({"maxReplicas": 3, "replicas": 1}));
    // The alert at the ceiling has the new ceiling, too.
    assert_eq!(audit.children()?, [AUTOSCALER.plural, RULE.plural]);
    let grown = audit.by_administrator(TOPIC, "fast-data-topic")?;
    let raised = audit.of_child(AUTOSCALER, "kconsumer")?;
    let took = audit::between(&grown[0], &raised[0])?;
    assert!(took < Duration::from_secs(2), "{took:?}");
    ns.close().await
}

async fn load_adds_consumers_up_to_the_ceiling_and_idleness_removes_them(env: Arc<SharedEnv>) -> Result<()> {
    let ns = sample(&env, "original-load").await?;
    ns.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": 3}})).await?;
    let quickly = json!({"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 1}]});
    ns.patch(GROUP, "kconsumer", &json!({"spec": {"scaling": {"behavior": {"scaleDown": quickly}}}})).await?;
    ns.group_is_ready("kconsumer").await?;
    ns.bounds_are("kconsumer", 1, 3).await?;
    let audit = ns.audit()?;

    env.metrics.set(&ns.name, "kconsumer-", LAG, 3412);
    let group = ns
        .eventually(GROUP, "kconsumer", "it runs three consumers and is at its ceiling", |group| {
            group["status"]["readyReplicas"] == 3 && condition(group, "PartitionBound")[0] == "True"
        })
        .await?;
    let mut pods: Vec<String> = ns.list(POD).await?.iter().map(name).collect();
    pods.sort();
    let group = if group["status"]["activePods"] == json!(pods) {
        group
    } else {
        ns.eventually(GROUP, "kconsumer", "its three pods are named in order", |group| {
            group["status"]["activePods"] == json!(pods)
        })
        .await?
    };
    assert_eq!(condition(&group, "PartitionBound")[1], "AtCeiling");
    assert_contains(&group["status"], &json!({"replicas": 3, "readyReplicas": 3, "maxReplicas": 3}));

    env.metrics.set(&ns.name, "kconsumer-", LAG, 0);
    ns.eventually(GROUP, "kconsumer", "one consumer is left", |group| {
        let status = &group["status"];
        status["replicas"] == 1
            && status["activePods"].as_array().is_some_and(|pods| pods.len() == 1)
            && condition(group, "PartitionBound")[0] == "False"
    })
    .await?;
    assert_eq!(audit.children()?, [] as [String; 0], "scaling is the autoscaler's work alone");
    ns.close().await
}

async fn deleting_a_group_deletes_all_its_children(env: Arc<SharedEnv>) -> Result<()> {
    let ns = sample(&env, "original-deleted").await?;
    ns.group_is_ready("kconsumer").await?;
    let audit = ns.audit()?;
    let answer = ns.kubectl(&["delete", "kcg", "kconsumer"]).await?.ok()?;
    assert!(answer.starts_with("kconsumergroup.thenextapps.com \"kconsumer\" deleted"), "{answer}");
    for kind in CHILDREN {
        ns.eventually_gone(kind, "kconsumer").await?;
    }
    let pods = ns.list(POD).await?;
    for pod in pods {
        ns.eventually_gone(POD, &name(&pod)).await?;
    }
    assert_eq!(audit.children()?, [] as [String; 0], "nothing is created for a deleted group");
    Ok(())
}
