//! The CRD's own validation, without the webhook, on a real API server.

use std::time::Duration;

use kcg_api::ValidGroup;
use kcg_api::valid::{TopicGrants, parse_group};
use kcg_devcluster::{ControlPlane, Crds};
use kcg_tests::env::api_server;
use kcg_tests::namespace::Namespace;
use kcg_tests::{Outcome, eventually, kubectl, met};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// The API server of the tests that do not change the CRD.
static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();

/// The CRD as the code renders it, and the folder with its file.
fn rendered_crd() -> Outcome<(tempfile::TempDir, Crds)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("crd.json");
    std::fs::write(&file, serde_json::to_string(&kcg_api::crd::crd())?)?;
    Ok((folder, Crds { manifests: Some(file), ..Crds::default() }))
}

async fn start() -> Outcome<ControlPlane> {
    let (_folder, crds) = rendered_crd()?;
    Ok(api_server(crds).await?)
}

async fn shared() -> Outcome<&'static ControlPlane> {
    SHARED.get_or_try_init(start).await
}

async fn default_namespace(plane: &ControlPlane) -> Outcome<Namespace> {
    Ok(Namespace::new(plane, &plane.client().await?, "default"))
}

/// The original's sample with `over` merged into its spec.
fn group(name: &str, over: &Value) -> Value {
    let mut spec = json!({"minReplicas": 1, "averageRecordsLagLimit": 1000,
        "consumerSpec": {"containerName": "kconsumer", "image": "thenextapps/kconsumer:latest", "topic": "fast-data-topic"}});
    json_patch::merge(&mut spec, over);
    json!({"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup", "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

/// The messages of the webhook about the same object, one for each violation.
fn webhook_messages(group: &Value) -> Vec<String> {
    let written = parse_group(group.clone());
    let broken = ValidGroup::read(&written.group, &TopicGrants::Own, &kcg_api::GroupDefaults::default())
        .err()
        .unwrap_or_default();
    broken.into_iter().map(|violation| violation.detail).collect()
}

#[tokio::test]
async fn the_rules_of_the_crd_refuse_with_the_messages_of_the_webhook() -> Outcome {
    let plane = shared().await?;
    let namespace = default_namespace(plane).await?;
    let cases = [
        ("min-above-max", json!({"minReplicas": 4, "maxReplicas": 3})),
        ("no-topic", json!({"consumerSpec": {"topic": null}})),
        ("image-spaces", json!({"consumerSpec": {"image": "a b"}})),
        ("image-blank", json!({"consumerSpec": {"image": " "}})),
        ("topic-name", json!({"consumerSpec": {"topic": "Fast_Data"}})),
        ("topics-name", json!({"consumerSpec": {"topics": ["a", "-b"]}})),
        ("topic-namespace", json!({"consumerSpec": {"topicNamespace": "a.b"}})),
        ("container-name", json!({"consumerSpec": {"containerName": "A"}})),
        ("group-id", json!({"consumerSpec": {"groupId": " a"}})),
        ("bootstrap", json!({"consumerSpec": {"bootstrapServers": ""}})),
        ("env-name", json!({"consumerSpec": {"env": [{"name": "A=B"}]}})),
        ("lag-metric", json!({"metrics": {"lagMetric": "lag max"}})),
        ("lag-twice", json!({"metrics": {"lagMetric": "lag", "lagStatistic": "Max"}})),
        ("alert-for", json!({"alerts": {"rules": {"KafkaConsumerGroupLagHigh": {"for": "soon"}}}})),
        ("alert-severity", json!({"alerts": {"rules": {"KafkaConsumerGroupLagHigh": {"severity": " "}}}})),
        ("interval", json!({"metrics": {"interval": "5"}})),
        ("path", json!({"metrics": {"path": "metrics"}})),
        ("for", json!({"alerts": {"for": "soon"}})),
        ("for-empty", json!({"alerts": {"for": ""}})),
        ("monitor-label-key", json!({"metrics": {"labels": {"a b": "c"}}})),
        ("monitor-label-own", json!({"metrics": {"labels": {"app": "c"}}})),
        ("monitor-label-value", json!({"metrics": {"labels": {"release": "-c"}}})),
        ("rule-label-key", json!({"alerts": {"ruleLabels": {"a b": "c"}}})),
        ("alert-label", json!({"alerts": {"labels": {"__name__": "c"}}})),
        ("alert-label-own", json!({"alerts": {"labels": {"severity": "c"}}})),
        ("1name", json!({})),
    ];
    for (name, over) in cases {
        let group = group(name, &over);
        let answer = namespace.kubectl_create(&group).await?;
        assert_ne!(answer.code, 0, "{name} is refused");
        let messages = webhook_messages(&group);
        assert!(!messages.is_empty(), "{name} breaks a rule");
        for message in messages {
            assert!(answer.stderr.contains(&message), "{name}: {message:?} in {}", answer.stderr);
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_schema_refuses_the_same_fields_as_the_webhook() -> Outcome {
    let plane = shared().await?;
    let namespace = default_namespace(plane).await?;
    let cases = [
        ("min", json!({"minReplicas": 0}), "spec.minReplicas"),
        ("max", json!({"maxReplicas": 0}), "spec.maxReplicas"),
        ("lag", json!({"averageRecordsLagLimit": 0}), "spec.averageRecordsLagLimit"),
        ("alert-name", json!({"alerts": {"rules": {"RecordsLagBreached": {}}}}), "spec.alerts.rules"),
        (
            "per",
            json!({"consumerSpec": {"partitionsPerConsumer": 0}}),
            "spec.consumerSpec.partitionsPerConsumer",
        ),
        ("image", json!({"consumerSpec": {"image": null}}), "spec.consumerSpec.image"),
        (
            "many",
            json!({"consumerSpec": {"topics": (0..101).map(|n| format!("t{n}")).collect::<Vec<_>>()}}),
            "spec.consumerSpec.topics",
        ),
        ("twice", json!({"consumerSpec": {"topics": ["a", "a"]}}), "spec.consumerSpec.topics"),
        ("env", json!({"consumerSpec": {"env": [{"name": "A"}, {"name": "A"}]}}), "spec.consumerSpec.env"),
        (
            "pull",
            json!({"consumerSpec": {"imagePullPolicy": "Sometimes"}}),
            "spec.consumerSpec.imagePullPolicy",
        ),
        ("port", json!({"metrics": {"port": 65536}}), "spec.metrics.port"),
        ("preset", json!({"metrics": {"preset": "Java"}}), "spec.metrics.preset"),
        ("policy", json!({"scaling": {"partitions": "Mean"}}), "spec.scaling.partitions"),
        ("strategy", json!({"scaling": {"strategy": {"type": "Bogus"}}}), "spec.scaling.strategy.type"),
        (
            "window",
            json!({"scaling": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 3601}}}}),
            "spec.scaling.behavior.scaleDown.stabilizationWindowSeconds",
        ),
        (
            "policies",
            json!({"scaling": {"behavior": {"scaleUp": {"policies": []}}}}),
            "spec.scaling.behavior.scaleUp.policies",
        ),
        (
            "period",
            json!({"scaling": {"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 0}]}}}}),
            "spec.scaling.behavior.scaleUp.policies[0].periodSeconds",
        ),
    ];
    for (name, over, field) in cases {
        let group = group(name, &over);
        let answer = namespace.kubectl_create(&group).await?;
        assert!(answer.stderr.contains(field), "{name} names {field}: {}", answer.stderr);
        let written = parse_group(group);
        let broken = ValidGroup::read(&written.group, &TopicGrants::Own, &kcg_api::GroupDefaults::default())
            .err()
            .unwrap_or_default();
        let fields: Vec<&str> =
            written.violations.iter().chain(&broken).map(|violation| violation.field.as_str()).collect();
        assert!(
            fields.iter().any(|ours| ours.starts_with(field)),
            "the webhook refuses {name} at {field}: {fields:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_crd_sets_the_static_defaults_and_keeps_written_values() -> Outcome {
    let plane = shared().await?;
    let over = json!({"minReplicas": null, "averageRecordsLagLimit": null, "consumerSpec": {"resources": {"limits": {"cpu": 1}},
        "podTemplate": {"spec": {"containers": [{"name": "kconsumer", "resources": {"requests": {"cpu": 1}}}]}}}});
    let stored = kubectl::create(plane, "default", &group("kconsumer", &over)).await?;
    let spec = &stored["spec"];
    assert_eq!((&spec["minReplicas"], &spec["averageRecordsLagLimit"]), (&json!(1), &json!(1000)));
    // What an installation can set stays visible as not set.
    assert_eq!(spec["alerts"], json!({"enabled": true, "for": "1m"}));
    assert_eq!(spec["metrics"], json!({}));
    assert_eq!(spec["scaling"], json!({"partitions": "Max", "minReadySeconds": 15}));
    assert_eq!(spec["consumerSpec"]["resources"]["limits"]["cpu"], 1);
    assert_eq!(
        spec["consumerSpec"]["podTemplate"]["spec"]["containers"][0]["resources"]["requests"]["cpu"],
        1
    );
    let group: kcg_api::KconsumerGroup = serde_json::from_value(stored)?;
    ValidGroup::read(&group, &TopicGrants::Own, &kcg_api::GroupDefaults::default())
        .map_err(|broken| format!("{broken:?}"))?;
    Ok(())
}

#[tokio::test]
async fn rules_across_fields_ratchet_and_unknown_fields_are_reported() -> Outcome {
    let plane = start().await?;
    let namespace = default_namespace(&plane).await?;
    // A group that was stored before the rule existed: the rule is removed and restored.
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    let apply = async |group: &Value| namespace.kubectl_with(&apply, &group.to_string()).await;
    let rules = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations";
    let relax = json!([{"op": "remove", "path": rules}]);
    kubectl::patch(&plane, &["crd", "kconsumergroups.thenextapps.com"], &relax).await?;
    let broken = |min: i32, paused: bool| {
        group("kconsumer", &json!({"minReplicas": min, "maxReplicas": 3, "paused": paused}))
    };
    eventually("the relaxed schema is in force", Duration::from_secs(20), async || {
        Ok(met(apply(&broken(5, false)).await?.code == 0, || "not yet"))
    })
    .await?;
    let (_folder, crds) = rendered_crd()?;
    plane.install_crds(&crds).await?;
    let another = group("another", &json!({"minReplicas": 5, "maxReplicas": 3}));
    eventually("the schema is in force again", Duration::from_secs(20), async || {
        Ok(met(apply(&another).await?.code != 0, || "not yet"))
    })
    .await?;
    apply(&broken(5, true)).await?.ok()?;
    apply(&broken(4, true)).await?.ok()?;
    let worse = apply(&broken(6, true)).await?;
    assert!(worse.stderr.contains("must not be more than spec.maxReplicas, which is 3"), "{}", worse.stderr);

    let unknown = namespace.kubectl_create(&group("unknown", &json!({"minReplica": 1}))).await?;
    assert!(unknown.stderr.contains("unknown field \"spec.minReplica\""), "{}", unknown.stderr);
    Ok(())
}

#[tokio::test]
async fn null_in_a_pod_template_is_stored_unless_kubectl_applies_it_client_side() -> Outcome {
    let plane = shared().await?;
    let namespace = default_namespace(plane).await?;
    let with = |name: &str, template: Value| {
        let mut group = group(name, &json!({}));
        group["spec"]["consumerSpec"]["podTemplate"] = template;
        group.to_string()
    };
    let null = || json!({"spec": {"terminationGracePeriodSeconds": null}});
    let stored = async |name: &str| -> Outcome<Value> {
        let group = kubectl::get(plane, &["kcg", name]).await?;
        Ok(group["spec"]["consumerSpec"]["podTemplate"].clone())
    };
    let server_side: &[&str] = &["apply", "--server-side", "-f", "-"];
    // kubectl itself drops the null, so it never reaches the cluster.
    let client_side: &[&str] = &["apply", "-f", "-"];
    let seconds = || json!({"spec": {"terminationGracePeriodSeconds": 5}});
    for (name, command, first, want) in [
        ("created", &["create", "-f", "-"][..], None, null()),
        ("replaced", &["replace", "-f", "-"], Some(client_side), null()),
        ("server-side", server_side, None, null()),
        ("server-side-later", server_side, Some(server_side), null()),
        ("client-side", client_side, None, json!({"spec": {}})),
        ("client-side-later", client_side, Some(client_side), json!({"spec": {}})),
    ] {
        if let Some(first) = first {
            namespace.kubectl_with(first, &with(name, seconds())).await?.ok()?;
        }
        namespace.kubectl_with(command, &with(name, null())).await?.ok()?;
        assert_eq!(stored(name).await?, want, "{name}");
    }
    Ok(())
}
