//! The static rules with the webhook away: the CRD alone, on a real API server.

use kcg_devcluster::{ControlPlane, Crds, KafkaTopicCrd};
use serde_json::{Value, json};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The CRD as the code renders it, and the file that holds it.
fn own_crd() -> Result<(tempfile::TempDir, Crds), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("crd.json");
    std::fs::write(&file, serde_json::to_string(&kcg_api::crd::crd())?)?;
    Ok((folder, Crds { own: Some(file), kafka_topic: KafkaTopicCrd::None, prometheus_operator: false }))
}

async fn bare() -> Result<ControlPlane, Box<dyn std::error::Error>> {
    let (_folder, crds) = own_crd()?;
    Ok(ControlPlane::builder().controller_manager(false).scheduler(false).crds(crds).start().await?)
}

/// The original's sample with `over` laid over its spec.
fn group(name: &str, over: &Value) -> Value {
    let mut spec = json!({"minReplicas": 1, "averageRecordsLagLimit": 1000,
        "consumerSpec": {"containerName": "kconsumer", "image": "thenextapps/kconsumer:latest", "topic": "fast-data-topic"}});
    json_patch::merge(&mut spec, over);
    json!({"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup", "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

fn said(holds: bool) -> Result<(), String> {
    if holds { Ok(()) } else { Err("not yet".to_owned()) }
}

/// What the webhook would say of the same object, a line a violation.
fn webhook_s_sentences(group: &Value) -> Vec<String> {
    let written = kcg_api::valid::parse_group(group.clone());
    let broken = kcg_api::ValidGroup::read(&written.group, &kcg_api::valid::TopicGrants::Own)
        .err()
        .unwrap_or_default();
    broken.into_iter().map(|violation| violation.detail).collect()
}

#[tokio::test]
async fn crd_s_own_rules_refuse_with_the_webhook_s_sentences() -> Outcome {
    let plane = bare().await?;
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
        let answer =
            plane.kubectl_command().run_with_input(&["create", "-f", "-"], &group.to_string()).await?;
        assert_ne!(answer.code, 0, "{name} is refused");
        let sentences = webhook_s_sentences(&group);
        assert!(!sentences.is_empty(), "{name} breaks a rule");
        for sentence in sentences {
            assert!(answer.stderr.contains(&sentence), "{name}: {sentence:?} in {}", answer.stderr);
        }
    }
    Ok(())
}

#[tokio::test]
async fn schema_refuses_what_needs_no_sentence_of_ours() -> Outcome {
    let plane = bare().await?;
    let cases = [
        ("min", json!({"minReplicas": 0}), "spec.minReplicas"),
        ("max", json!({"maxReplicas": 0}), "spec.maxReplicas"),
        ("lag", json!({"averageRecordsLagLimit": 0}), "spec.averageRecordsLagLimit"),
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
        let answer =
            plane.kubectl_command().run_with_input(&["create", "-f", "-"], &group.to_string()).await?;
        assert!(answer.stderr.contains(field), "{name} names {field}: {}", answer.stderr);
        let written = kcg_api::valid::parse_group(group);
        let broken = kcg_api::ValidGroup::read(&written.group, &kcg_api::valid::TopicGrants::Own)
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
async fn crd_fills_in_the_static_defaults_and_keeps_what_was_written() -> Outcome {
    let plane = bare().await?;
    let over = json!({"minReplicas": null, "averageRecordsLagLimit": null, "consumerSpec": {"resources": {"limits": {"cpu": 1}},
        "podTemplate": {"spec": {"containers": [{"name": "kconsumer", "resources": {"requests": {"cpu": 2}}}]}}}});
    plane
        .kubectl_command()
        .run_with_input(&["create", "-f", "-"], &group("kconsumer", &over).to_string())
        .await?
        .ok()?;
    let stored: Value =
        serde_json::from_str(&plane.kubectl(&["get", "kcg", "kconsumer", "-o", "json"]).await?.ok()?)?;
    let spec = &stored["spec"];
    assert_eq!((&spec["minReplicas"], &spec["averageRecordsLagLimit"]), (&json!(1), &json!(1000)));
    assert_eq!(
        spec["alerts"],
        json!({"enabled": true, "for": "1m", "severity": "warning", "ruleLabels": {"prometheus": "k8s", "role": "alert-rules"}})
    );
    assert_eq!(spec["metrics"], json!({"preset": "Spring", "interval": "5s"}));
    assert_eq!(spec["scaling"], json!({"partitions": "Sum"}));
    assert_eq!(spec["consumerSpec"]["resources"]["limits"]["cpu"], 1);
    assert_eq!(
        spec["consumerSpec"]["podTemplate"]["spec"]["containers"][0]["resources"]["requests"]["cpu"],
        2
    );
    let group: kcg_api::KconsumerGroup = serde_json::from_value(stored)?;
    kcg_api::ValidGroup::read(&group, &kcg_api::valid::TopicGrants::Own)
        .map_err(|broken| format!("{broken:?}"))?;
    Ok(())
}

#[tokio::test]
async fn rules_across_fields_ratchet_and_unknown_fields_are_said() -> Outcome {
    let plane = bare().await?;
    // Stored before the rule was there: the rule is taken away, and put back.
    let apply = async |group: &Value| {
        plane
            .kubectl_command()
            .run_with_input(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &group.to_string())
            .await
    };
    let relaxed = json!([{"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations"}]).to_string();
    plane
        .kubectl(&["patch", "crd", "kconsumergroups.thenextapps.com", "--type=json", "-p", &relaxed])
        .await?
        .ok()?;
    let broken = |min: i32, paused: bool| {
        group("kconsumer", &json!({"minReplicas": min, "maxReplicas": 3, "paused": paused}))
    };
    kcg_devcluster::wait::until(
        "the relaxed schema is in force",
        std::time::Duration::from_secs(20),
        async || Ok(said(apply(&broken(5, false)).await?.code == 0)),
    )
    .await?;
    let (_folder, crds) = own_crd()?;
    plane.install_crds(&crds).await?;
    kcg_devcluster::wait::until(
        "the schema is in force again",
        std::time::Duration::from_secs(20),
        async || {
            Ok(said(apply(&group("another", &json!({"minReplicas": 5, "maxReplicas": 3}))).await?.code != 0))
        },
    )
    .await?;
    apply(&broken(5, true)).await?.ok()?;
    apply(&broken(4, true)).await?.ok()?;
    let worse = apply(&broken(6, true)).await?;
    assert!(worse.stderr.contains("must not be more than spec.maxReplicas, which is 3"), "{}", worse.stderr);

    let unknown = plane
        .kubectl_command()
        .run_with_input(&["create", "-f", "-"], &group("unknown", &json!({"minReplica": 1})).to_string())
        .await?;
    assert!(unknown.stderr.contains("unknown field \"spec.minReplica\""), "{}", unknown.stderr);
    Ok(())
}

#[tokio::test]
async fn null_in_a_pod_template_is_stored_unless_kubectl_applies_it_on_the_client_s_side() -> Outcome {
    let plane = bare().await?;
    let with = |name: &str, template: Value| {
        let mut group = group(name, &json!({}));
        group["spec"]["consumerSpec"]["podTemplate"] = template;
        group.to_string()
    };
    let null = || json!({"spec": {"terminationGracePeriodSeconds": null}});
    let stored = async |name: &str| -> Result<Value, Box<dyn std::error::Error>> {
        let text = plane.kubectl(&["get", "kcg", name, "-o", "json"]).await?.ok()?;
        Ok(serde_json::from_str::<Value>(&text)?["spec"]["consumerSpec"]["podTemplate"].clone())
    };
    let server_side: &[&str] = &["apply", "--server-side", "-f", "-"];
    // kubectl itself drops it: the person's wish never reaches the cluster.
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
            plane.kubectl_command().run_with_input(first, &with(name, seconds())).await?.ok()?;
        }
        plane.kubectl_command().run_with_input(command, &with(name, null())).await?.ok()?;
        assert_eq!(stored(name).await?, want, "{name}");
    }
    Ok(())
}
