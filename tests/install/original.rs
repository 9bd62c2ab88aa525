//! The migration from the original Go operator, as the guide describes it.

use std::time::Duration;

use kcg_devcluster::ControlPlane;
use kcg_tests::env::{TestEnv, foreign_crds};
use kcg_tests::objects::condition;
use kcg_tests::{Outcome, deploy, eventually, kubectl, met};
use serde_json::{Value, json};

use crate::documented::{Shell, block, blocks};

const GUIDE: &str = "docs/from-the-original.md";
const LIMIT: Duration = Duration::from_mins(1);

fn original_crd() -> Value {
    let integer = json!({"type": "integer", "format": "int32"});
    let text = json!({"type": "string"});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "kconsumergroups.thenextapps.com"},
        "spec": {
            "group": "thenextapps.com", "scope": "Namespaced",
            "names": {
                "kind": "KconsumerGroup", "listKind": "KconsumerGroupList",
                "plural": "kconsumergroups", "singular": "kconsumergroup",
            },
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "apiVersion": text, "kind": text, "metadata": {"type": "object"},
                    "spec": {
                        "type": "object", "required": ["averageRecordsLagLimit", "consumerSpec", "minReplicas"],
                        "properties": {
                            "minReplicas": integer, "averageRecordsLagLimit": integer,
                            "consumerSpec": {
                                "type": "object", "required": ["containerName", "image", "topic"],
                                "properties": {"containerName": text, "image": text, "topic": text},
                            },
                        },
                    },
                    "status": {
                        "type": "object", "required": ["activePods", "message", "replicas"],
                        "properties": {
                            "activePods": {"type": "array", "items": text}, "message": text, "replicas": integer,
                        },
                    },
                }}},
            }],
        },
    })
}

/// The children that the original created for its sample, in today's API versions.
fn children(uid: &Value) -> [Value; 5] {
    let owner = json!([{
        "apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup", "name": "kconsumer", "uid": uid,
        "controller": true, "blockOwnerDeletion": true,
    }]);
    let app = json!({"app": "kconsumer"});
    let metadata = |labels: &Value| json!({"name": "kconsumer", "namespace": "default", "labels": labels, "ownerReferences": owner});
    let rules = json!({"prometheus": "k8s", "role": "alert-rules"});
    let lag = "kafka_consumer_fetch_manager_records_lag";
    [
        json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata(&app), "spec": {
            "type": "ClusterIP", "selector": app, "ports": [{"name": "metrics", "port": 8085, "targetPort": 8085}],
        }}),
        json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": metadata(&app), "spec": {
            "jobLabel": "kconsumer", "selector": {"matchLabels": app}, "namespaceSelector": {"matchNames": ["default"]},
            "endpoints": [{
                "port": "metrics", "path": "/actuator/prometheus", "scheme": "http", "interval": "5s", "honorLabels": true,
            }],
        }}),
        json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": metadata(&rules), "spec": {
            "groups": [{"name": "./kconsumer.rules", "rules": [{
                "alert": "RecordsLagBreached-kconsumer", "for": "1m", "labels": {"severity": "warning"},
                "expr": format!("sum({lag}{{topic=\"fast-data-topic\",client_id=\"kconsumer-app-0\"}}) > 1000"),
            }]}],
        }}),
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata(&json!({})), "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "kconsumer"},
            "minReplicas": 1, "maxReplicas": 1,
            "metrics": [{"type": "Pods", "pods": {
                "metric": {"name": format!("{lag}_max")}, "target": {"type": "AverageValue", "averageValue": "1k"},
            }}],
        }}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(&app), "spec": {
            "replicas": 1, "selector": {"matchLabels": app},
            "template": {"metadata": {"name": "kconsumer", "labels": app}, "spec": {"containers": [{
                "name": "kconsumer", "image": "thenextapps/kconsumer:latest", "imagePullPolicy": "Always",
                "ports": [{"name": "metrics", "containerPort": 8085}],
            }]}},
        }}),
    ]
}

async fn get(plane: &ControlPlane, kind: &str) -> anyhow::Result<Value> {
    kubectl::get(plane, &[kind, "kconsumer"]).await
}

/// Waits until `Ready` of the group has this status and reason.
async fn ready(plane: &ControlPlane, status: &str, reason: &str) -> Outcome {
    eventually(&format!("Ready is {status} for {reason}"), LIMIT, async || {
        let group = get(plane, "kcg").await?;
        let ready = condition(&group, "Ready");
        Ok(met(ready[..2] == [status, reason], || ready.join(": ")))
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_the_original_created_is_taken_over_except_the_deployment() -> Outcome {
    let plane = ControlPlane::builder().crds(foreign_crds()).start().await?;
    plane.add_node("node-1").await?;
    kubectl::create(&plane, "default", &original_crd()).await?;
    kubectl::run(&plane, &["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]).await?;
    plane.apply_path(&deploy("samples/kafkatopic.yaml")).await?;
    let sample: Value = serde_saphyr::from_str(&std::fs::read_to_string(deploy("samples/kconsumer.yaml"))?)?;
    let group = kubectl::create(&plane, "default", &sample).await?;
    let mut before = Vec::new();
    for child in children(&group["metadata"]["uid"]) {
        before.push(kubectl::create(&plane, "default", &child).await?);
    }
    let status = r#"{"status": {"activePods": ["gone"], "replicas": 0, "message": "Message: Reconciliation completed, Error: <nil>"}}"#;
    let report = ["patch", "kconsumergroup/kconsumer", "--subresource=status", "--type=merge", "-p", status];
    kubectl::run(&plane, &report).await?;
    for kind in [
        "deployment --image=original",
        "serviceaccount",
        "role --verb=get --resource=pods",
        "rolebinding --role=kconsumer-group-operator --user=original",
    ] {
        let (kind, flags) = kind.split_once(' ').unwrap_or((kind, ""));
        let create = [
            &["create", kind, "kconsumer-group-operator"][..],
            &flags.split_whitespace().collect::<Vec<_>>(),
        ];
        kubectl::run(&plane, &create.concat()).await?;
    }

    // As the guide describes: remove the original, install this operator.
    let shell = Shell::open(&plane, "".as_ref()).await?;
    let away = block(GUIDE, "## Steps", "serviceaccount")?.replace("NAMESPACE", "default");
    shell.run(&away).await?;
    shell.run("kubectl apply -k deploy/crd").await?;
    let env = TestEnv::install(plane, &deploy("overlays/cluster/self-managed")).await?;
    let plane = &env.plane;
    let _controller = env.operator.start_controller("one", &[]).await?;
    let _webhook = env.operator.start_webhook(&[]).await?;

    ready(plane, "False", "SelectorImmutable").await?;
    assert_eq!(get(plane, "kcg").await?["metadata"]["uid"], group["metadata"]["uid"]);
    for old in before.iter().take(4) {
        let kind = old["kind"].as_str().unwrap();
        let taken = eventually(&format!("{kind} is taken over"), LIMIT, async || {
            let now = get(plane, kind).await?;
            let ours =
                now["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "kconsumer-group-operator";
            Ok(if ours { Ok(now) } else { Err(now.to_string()) })
        })
        .await?;
        assert_eq!(taken["metadata"]["uid"], old["metadata"]["uid"], "{kind}");
        match kind {
            "Service" => assert_eq!(taken["spec"]["clusterIP"], old["spec"]["clusterIP"]),
            "ServiceMonitor" => {
                assert_eq!(taken["spec"]["endpoints"][0]["honorLabels"], false);
                assert_eq!(taken["spec"]["jobLabel"], "app");
            }
            "PrometheusRule" => {
                let rules = taken["spec"]["groups"].to_string();
                assert!(
                    taken["spec"]["groups"].as_array().is_some_and(|groups| groups.len() == 1),
                    "{rules}"
                );
                assert!(
                    !rules.contains("RecordsLagBreached") && rules.contains("KafkaConsumerGroupAtCeiling"),
                    "{rules}"
                );
            }
            _ => assert_eq!(taken["spec"]["maxReplicas"], 3),
        }
    }
    assert_eq!(get(plane, "deployment").await?["metadata"]["uid"], before[4]["metadata"]["uid"]);

    let last = blocks(GUIDE, "## Steps")?.pop().ok_or("no last command")?;
    shell.run(&last.replace("GROUP_NAMESPACE", "default")).await?;
    eventually("a Deployment with a ready pod", LIMIT, async || {
        let group = get(plane, "kcg").await?;
        let pods = group["status"]["activePods"].as_array().map_or(0, Vec::len);
        let ready = group["status"]["readyReplicas"] == 1 && pods == 1;
        Ok(met(ready, || group["status"].to_string()))
    })
    .await?;
    let group = get(plane, "kcg").await?;
    assert_eq!(group["status"]["message"], "Message: Reconciliation completed, Error: <nil>");
    assert_ne!(group["status"]["activePods"], json!(["gone"]));
    Ok(())
}
