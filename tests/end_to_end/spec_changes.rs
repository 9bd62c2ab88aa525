//! Every change of a group's spec reaches the children that it concerns, and no others.

use std::sync::Arc;

use anyhow::Result;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{
    AUTOSCALER, CHILDREN, DEPLOYMENT, GROUP, Kind, MONITOR, RULE, SERVICE, assert_contains, is_observed,
};
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    every_change_reaches_every_child_that_it_concerns,
    an_autoscaler_s_behavior_changes_over_in_every_direction,
    disabling_alerts_deletes_only_the_prometheus_rule,
];

const NAME: &str = "kconsumer";

/// A change of the spec, and the resulting fields of the children that it concerns.
struct Change {
    spec: Value,
    children: Vec<(Kind, Value)>,
}

fn change(spec: Value, children: Vec<(Kind, Value)>) -> Change {
    Change { spec, children }
}

/// The Deployment with these fields of the consumer's container.
fn container(fields: &Value) -> (Kind, Value) {
    pod(&json!({"containers": [fields]}))
}

fn pod(fields: &Value) -> (Kind, Value) {
    (DEPLOYMENT, json!({"spec": {"template": {"spec": fields}}}))
}

fn endpoint(fields: &Value) -> (Kind, Value) {
    (MONITOR, json!({"spec": {"endpoints": [fields]}}))
}

/// The PrometheusRule with these fields in every alert.
fn alerts(fields: &Value) -> (Kind, Value) {
    (RULE, json!({"spec": {"groups": [{"rules": vec![fields; 7]}]}}))
}

fn autoscaler(fields: &Value) -> (Kind, Value) {
    (AUTOSCALER, json!({"spec": fields}))
}

/// A child that is written; other tests read what changes in it.
fn somehow(kind: Kind) -> (Kind, Value) {
    (kind, json!({}))
}

fn metric(fields: &Value) -> (Kind, Value) {
    autoscaler(&json!({"metrics": [{"pods": fields}]}))
}

fn of_the_consumer() -> Vec<Change> {
    let consumer = |fields: Value| json!({"consumerSpec": fields});
    vec![
        change(
            consumer(json!({"image": "example.com/consumer:2"})),
            vec![container(&json!({"image": "example.com/consumer:2"}))],
        ),
        change(
            consumer(json!({"groupId": "other"})),
            vec![container(&json!({"env": [
                {"name": "KAFKA_TOPICS", "value": "fast-data-topic"}, {"name": "KAFKA_GROUP_ID", "value": "other"},
            ]}))],
        ),
        change(
            consumer(json!({"bootstrapServers": "kafka:9092"})),
            vec![container(&json!({"env": [
                {"name": "KAFKA_TOPICS", "value": "fast-data-topic"}, {"name": "KAFKA_GROUP_ID", "value": "other"},
                {"name": "KAFKA_BOOTSTRAP_SERVERS", "value": "kafka:9092"},
            ]}))],
        ),
        change(
            consumer(json!({"bootstrapServers": null, "env": [{"name": "KAFKA_GROUP_ID", "value": "mine"}]})),
            vec![container(&json!({"env": [
                {"name": "KAFKA_TOPICS", "value": "fast-data-topic"}, {"name": "KAFKA_GROUP_ID", "value": "mine"},
            ]}))],
        ),
        change(
            consumer(json!({"envFrom": [{"configMapRef": {"name": "settings", "optional": true}}]})),
            vec![container(&json!({"envFrom": [{"configMapRef": {"name": "settings", "optional": true}}]}))],
        ),
        change(
            consumer(json!({"resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": 1}}})),
            vec![container(&json!({"resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "1"}}}))],
        ),
        change(
            consumer(json!({"imagePullPolicy": "IfNotPresent"})),
            vec![container(&json!({"imagePullPolicy": "IfNotPresent"}))],
        ),
        change(
            consumer(json!({"imagePullSecrets": [{"name": "registry"}]})),
            vec![pod(&json!({"imagePullSecrets": [{"name": "registry"}]}))],
        ),
        change(
            consumer(json!({"podTemplate": {"metadata": {"annotations": {"a": "b"}}, "spec": {
                "serviceAccountName": "consumer", "terminationGracePeriodSeconds": 5,
                "containers": [{"name": NAME, "livenessProbe": {"httpGet": {"path": "/health", "port": "metrics"}}}],
            }}})),
            vec![pod(
                &json!({"serviceAccountName": "consumer", "terminationGracePeriodSeconds": 5, "containers": [{
                    "name": NAME, "image": "example.com/consumer:2", "livenessProbe": {"httpGet": {"path": "/health"}},
                }]}),
            )],
        ),
        change(
            consumer(json!({"podTemplate": null})),
            vec![pod(&json!({"terminationGracePeriodSeconds": 60}))],
        ),
        change(consumer(json!({"containerName": "consumer"})), vec![container(&json!({"name": "consumer"}))]),
        change(
            consumer(json!({"partitionsPerConsumer": 2})),
            vec![autoscaler(&json!({"maxReplicas": 3})), somehow(RULE)],
        ),
        change(
            consumer(json!({"partitionsPerConsumer": 1})),
            vec![autoscaler(&json!({"maxReplicas": 6})), somehow(RULE)],
        ),
        change(
            consumer(json!({"topics": ["orders"]})),
            vec![
                autoscaler(&json!({"maxReplicas": 10})),
                somehow(RULE),
                container(&json!({"env": [
                    {"name": "KAFKA_TOPICS", "value": "fast-data-topic,orders"}, {"name": "KAFKA_GROUP_ID", "value": "mine"},
                ]})),
            ],
        ),
        change(
            consumer(json!({"topic": null})),
            vec![
                autoscaler(&json!({"maxReplicas": 4})),
                somehow(RULE),
                container(&json!({"env": [
                    {"name": "KAFKA_TOPICS", "value": "orders"}, {"name": "KAFKA_GROUP_ID", "value": "mine"},
                ]})),
            ],
        ),
    ]
}

fn of_the_rest() -> Vec<Change> {
    let port = |port: i32| {
        vec![
            (SERVICE, json!({"spec": {"ports": [{"name": "metrics", "port": port, "targetPort": port}]}})),
            container(&json!({"ports": [{"name": "metrics", "containerPort": port}]})),
        ]
    };
    let behavior = json!({"scaleDown": {"stabilizationWindowSeconds": 7}});
    vec![
        change(json!({"minReplicas": 2}), vec![autoscaler(&json!({"minReplicas": 2}))]),
        change(json!({"maxReplicas": 3}), vec![autoscaler(&json!({"maxReplicas": 3})), somehow(RULE)]),
        change(json!({"maxReplicas": null}), vec![autoscaler(&json!({"maxReplicas": 4})), somehow(RULE)]),
        change(
            json!({"averageRecordsLagLimit": 2500}),
            vec![metric(&json!({"target": {"averageValue": "2500"}})), somehow(RULE)],
        ),
        change(json!({"metrics": {"port": 9000}}), port(9000)),
        change(json!({"metrics": {"path": "/metrics"}}), vec![endpoint(&json!({"path": "/metrics"}))]),
        change(json!({"metrics": {"interval": "10s"}}), vec![endpoint(&json!({"interval": "10s"}))]),
        change(
            json!({"metrics": {"lagMetric": "lag"}}),
            vec![metric(&json!({"metric": {"name": "lag"}})), somehow(RULE)],
        ),
        change(
            json!({"metrics": {"labels": {"release": "prometheus"}}}),
            vec![(MONITOR, json!({"metadata": {"labels": {"release": "prometheus"}}}))],
        ),
        change(
            json!({"metrics": {"preset": "Librdkafka", "port": null, "path": null, "lagMetric": null}}),
            {
                let mut children = port(9090);
                children.push(metric(
                    &json!({"metric": {"name": "rdkafka_topic_partitions_consumer_lag_pod_sum"}}),
                ));
                children.push(somehow(RULE));
                children
            },
        ),
        change(json!({"alerts": {"for": "5m"}}), vec![alerts(&json!({"for": "5m"}))]),
        change(
            json!({"alerts": {"severity": "audit"}}),
            vec![alerts(&json!({"labels": {"severity": "audit"}}))],
        ),
        change(
            json!({"alerts": {"labels": {"team": "data"}}}),
            vec![alerts(&json!({"labels": {"team": "data"}}))],
        ),
        change(
            // They replace the defaults of kube-prometheus.
            json!({"alerts": {"ruleLabels": {"release": "prometheus"}}}),
            vec![(RULE, json!({"metadata": {"labels": {"release": "prometheus", "prometheus": null}}}))],
        ),
        change(json!({"scaling": {"behavior": behavior}}), vec![autoscaler(&json!({"behavior": behavior}))]),
        change(
            json!({"scaling": {"strategy": {"type": "Recreate"}}}),
            vec![(DEPLOYMENT, json!({"spec": {"strategy": {"type": "Recreate"}}}))],
        ),
        change(
            json!({"scaling": {"strategy": null}}),
            vec![(DEPLOYMENT, json!({"spec": {"strategy": {"type": "RollingUpdate"}}}))],
        ),
        change(
            json!({"consumerSpec": {"topic": "fast-data-topic"}}),
            vec![autoscaler(&json!({"maxReplicas": 10})), somehow(RULE), somehow(DEPLOYMENT)],
        ),
        change(
            json!({"scaling": {"partitions": "Max"}}),
            vec![autoscaler(&json!({"maxReplicas": 6})), somehow(RULE)],
        ),
        change(
            json!({"scaling": {"behavior": null}}),
            vec![autoscaler(&json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}}}))],
        ),
    ]
}

async fn every_change_reaches_every_child_that_it_concerns(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("spec-changes").await?;
    ns.create_topic("fast-data-topic", 6).await?;
    ns.create_topic("orders", 4).await?;
    ns.create_group(NAME, &json!({"scaling": {"partitions": "Sum"}})).await?;
    ns.group_is_ready(NAME).await?;
    let whole = ns.audit()?;
    for Change { spec, children } in of_the_consumer().into_iter().chain(of_the_rest()) {
        let audit = ns.audit()?;
        ns.patch(GROUP, NAME, &json!({"spec": spec})).await?;
        // The status is written after the children.
        let what = format!("{spec} to be reconciled");
        ns.eventually(GROUP, NAME, &what, is_observed).await?;
        let mut concerned: Vec<&str> = children.iter().map(|(kind, _)| kind.plural).collect();
        concerned.sort_unstable();
        let written = audit.children()?;
        assert_eq!(written, concerned, "{spec}");
        for (kind, fields) in &children {
            assert_contains(&ns.get(*kind, NAME).await?, fields);
        }
    }
    let mut children = CHILDREN.map(|kind| kind.plural);
    children.sort_unstable();
    assert_eq!(whole.ended_creations()?, children, "once for each child");
    removed_fields_leave_no_trace(&ns).await?;
    ns.close().await
}

/// A field that is added and removed again leaves no trace: the children equal those of a new group
/// with that spec.
async fn removed_fields_leave_no_trace(ns: &Namespace) -> Result<()> {
    let mut spec = json!({});
    // Its groupId differs, but no child has it, because a variable in the spec overrides it.
    for Change { spec: change, .. } in of_the_consumer().into_iter().chain(of_the_rest()) {
        json_patch::merge(&mut spec, &change);
    }
    spec["consumerSpec"]["groupId"] = json!("fresh");
    ns.create_group("fresh", &spec).await?;
    // The variable is the same, too.
    ns.group_is("fresh", "False", "GroupIdShared").await?;
    for kind in kcg_tests::objects::CHILDREN {
        let [old, fresh] = [ns.get(kind, NAME).await?, ns.get(kind, "fresh").await?].map(|mut child| {
            for server_s_own in ["clusterIP", "clusterIPs", "replicas"] {
                child["spec"].as_object_mut().map(|spec| spec.remove(server_s_own));
            }
            // One got the container name explicitly, for the other it is the default.
            child["spec"].to_string().replace("fresh", NAME)
        });
        assert_eq!(old, fresh, "{}", kind.name);
    }
    Ok(())
}

/// The API server fills in the part of a behavior that is not stated. After each change it is as in a
/// new group.
async fn an_autoscaler_s_behavior_changes_over_in_every_direction(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("behavior-changes").await?;
    ns.create_group(NAME, &json!({})).await?;
    let policies = json!([{"type": "Pods", "value": 1, "periodSeconds": 60}]);
    let behaviors = [
        json!({"scaleDown": {"policies": policies, "stabilizationWindowSeconds": 10}}),
        json!({"scaleUp": {"selectPolicy": "Disabled"}}),
        json!({"scaleUp": {"policies": policies}, "scaleDown": {"selectPolicy": "Disabled"}}),
        json!({"scaleDown": {"stabilizationWindowSeconds": 7}}),
        json!(null),
        json!({"scaleUp": {"stabilizationWindowSeconds": 60}}),
        json!(null),
    ];
    for (number, behavior) in behaviors.into_iter().enumerate() {
        let change = json!([{"op": "add", "path": "/spec/scaling/behavior", "value": behavior}]);
        ns.json_patch(GROUP, NAME, &change).await?;
        let fresh = format!("fresh-{number}");
        ns.create_group(&fresh, &json!({"scaling": {"behavior": behavior}})).await?;
        let want = ns.exists(AUTOSCALER, &fresh).await?["spec"]["behavior"].clone();
        let what = format!("the behavior of a new group with {behavior}");
        ns.eventually(AUTOSCALER, NAME, &what, |seen| seen["spec"]["behavior"] == want).await?;
        ns.group_is_ready(NAME).await?;
    }
    ns.close().await
}

async fn disabling_alerts_deletes_only_the_prometheus_rule(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("alerts-off").await?;
    ns.create_group(NAME, &json!({})).await?;
    ns.group_is_ready(NAME).await?;
    let audit = ns.audit()?;
    ns.patch(GROUP, NAME, &json!({"spec": {"alerts": {"enabled": false}}})).await?;
    ns.eventually_gone(RULE, NAME).await?;
    ns.eventually(GROUP, NAME, "it is settled", is_observed).await?;
    let writes = audit.of_child(RULE, NAME)?;
    assert_eq!((audit.children()?, writes[0].verb.as_str()), (vec![RULE.plural.to_owned()], "delete"));

    ns.patch(GROUP, NAME, &json!({"spec": {"alerts": {"enabled": true}}})).await?;
    ns.eventually(RULE, NAME, "it is back", |_| true).await?;
    audit.eventually_of_child(RULE, NAME, 2).await?;
    assert_eq!(audit.children()?, [RULE.plural, RULE.plural]);
    ns.close().await
}
