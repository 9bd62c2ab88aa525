//! The webhook as seen through kubectl: refusals word for word, warnings, defaults, and updates of
//! groups that were already invalid.

use std::sync::Arc;

use anyhow::Result;
use kcg_tests::objects::{GROUP, TOPIC, assert_contains, group};
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    a_refusal_of_one_violation_is_one_sentence,
    a_refusal_of_many_violations_lists_them_all,
    invalid_samples_are_refused_and_the_others_accepted,
    kubectl_itself_reports_an_unknown_field,
    defaults_are_set_and_written_values_are_kept,
    a_dry_run_has_no_effect,
    an_invalid_group_can_be_edited_but_not_made_worse,
    what_is_most_often_a_mistake_is_warned_of,
];

async fn a_refusal_of_one_violation_is_one_sentence(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("refused-one").await?;
    let answer = ns.kubectl_create(&group("kconsumer", &json!({"minReplicas": 4}))).await?;
    assert_eq!(
        (answer.code, answer.stdout.as_str(), answer.stderr.as_str()),
        (
            1,
            "",
            "The KconsumerGroup \"kconsumer\" is invalid: spec.minReplicas: Invalid value: 4: must not be more than 3: topic \
             fast-data-topic has 3 partitions, so a fourth consumer would be idle\n"
        )
    );
    assert!(ns.list(GROUP).await?.is_empty());
    ns.close().await
}

async fn a_refusal_of_many_violations_lists_them_all(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("refused-many").await?;
    let sample = kcg_tests::deploy("samples/bad-many.yaml");
    let answer = ns.kubectl(&["create", "-f", &sample.display().to_string()]).await?;
    assert_eq!(answer.code, 1);
    assert_eq!(answer.stderr, REFUSAL);
    ns.close().await
}

const REFUSAL: &str = "\
The KconsumerGroup \"bad-many\" is invalid: 
* spec.minReplicas: Invalid value: 5: must not be more than spec.maxReplicas, which is 2
* spec.averageRecordsLagLimit: Invalid value: 0: must be at least 1
* spec.consumerSpec.image: Invalid value: \"not an image\": must be an image reference such as registry.example.com/team/consumer:1.0
* spec.consumerSpec.podTemplate.spec.hostNetwork: Forbidden: a consumer may not use its node's network
* spec.consumerSpec.podTemplate.spec.containers[0].securityContext.privileged: Forbidden: a consumer may not be privileged
* spec.alerts.for: Invalid value: \"soon\": must be a Prometheus duration such as 5s or 1m30s
* spec.minReplicas: Invalid value: 5: must not be more than 3: topic fast-data-topic has 3 partitions, so a fourth consumer would be idle
";

async fn invalid_samples_are_refused_and_the_others_accepted(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("samples").await?;
    for topic in ["orders", "payments.retries"] {
        ns.create_topic(topic, 3).await?;
    }
    let folder = kcg_tests::deploy("samples");
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if file == "kafkatopic.yaml" || path.extension().is_none_or(|end| end != "yaml") {
            continue;
        }
        let answer = ns.kubectl(&["create", "-f", &path.display().to_string()]).await?;
        let bad = file.starts_with("bad-");
        assert_eq!(answer.code == 1, bad, "{file}: {}{}", answer.stdout, answer.stderr);
        assert_eq!(answer.stderr.contains("is invalid"), bad, "{file}: {}", answer.stderr);
        if !bad {
            assert_eq!(answer.stderr, "", "{file}");
        }
    }
    ns.close().await
}

async fn kubectl_itself_reports_an_unknown_field(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("unknown-field").await?;
    let answer = ns.kubectl_create(&group("kconsumer", &json!({"minReplica": 4}))).await?;
    assert_eq!(
        answer.stderr,
        "Error from server (BadRequest): error when creating \"STDIN\": KconsumerGroup in version \"v1alpha1\" cannot be handled \
         as a KconsumerGroup: strict decoding error: unknown field \"spec.minReplica\"\n"
    );
    // In the one field without a schema the webhook reports it, with all other mistakes.
    let container = json!({"name": "kconsumer", "args": [8080], "imag": "x"});
    let template = json!({"spec": {"contaners": [], "containers": [container], "hostNetwork": true}});
    let spec = json!({"consumerSpec": {"podTemplate": template}});
    let answer = ns.kubectl_create(&group("kconsumer", &spec)).await?;
    assert_eq!(
        answer.stderr,
        "The KconsumerGroup \"kconsumer\" is invalid: \n\
         * spec.consumerSpec.podTemplate.spec.containers[0].args[0]: Invalid value: 8080: must be of type string, not integer\n\
         * spec.consumerSpec.podTemplate.spec.containers[0].imag: Unknown field: a PodTemplateSpec has no such field\n\
         * spec.consumerSpec.podTemplate.spec.contaners: Unknown field: a PodTemplateSpec has no such field\n\
         * spec.consumerSpec.podTemplate.spec.hostNetwork: Forbidden: a consumer may not use its node's network\n"
    );
    ns.close().await
}

async fn defaults_are_set_and_written_values_are_kept(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("defaults").await?;
    let written = group(
        "kconsumer",
        &json!({"consumerSpec": {"groupId": "mine"}, "alerts": {"labels": {"team": "data"}}}),
    );
    let stored = ns.create_object(GROUP, &written).await?;
    assert_contains(&stored["spec"], &written["spec"]);
    assert_contains(
        &stored["spec"],
        &json!({
            "minReplicas": 1, "averageRecordsLagLimit": 1000,
            "consumerSpec": {"containerName": "kconsumer", "groupId": "mine", "partitionsPerConsumer": 1},
            "alerts": {"enabled": true, "for": "1m", "labels": {"team": "data"}},
        }),
    );
    // What an installation can set is not stored: it must stay visible whether the group sets it.
    for field in ["/metrics/preset", "/metrics/interval", "/alerts/severity", "/alerts/ruleLabels"] {
        assert_eq!(stored["spec"].pointer(field), None, "{field}");
    }
    // Without a name nothing can be derived yet; the controller derives it later.
    let mut generated = group("", &json!({}));
    generated["metadata"] = json!({"generateName": "made-"});
    let stored = ns.create_object(GROUP, &generated).await?;
    let name = stored["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    assert!(name.starts_with("made-") && stored["spec"]["consumerSpec"]["containerName"].is_null());
    ns.group_is_ready(&name).await?;
    let deployment = ns.get(kcg_tests::objects::DEPLOYMENT, &name).await?;
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["name"], name);
    ns.close().await
}

async fn a_dry_run_has_no_effect(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("dry-run").await?;
    let audit = ns.audit()?;
    let dry = async |object: &Value| {
        ns.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &object.to_string()).await
    };
    let answer = dry(&group("kconsumer", &json!({}))).await?;
    assert_eq!(answer.stdout, "kconsumergroup.thenextapps.com/kconsumer created (server dry run)\n");
    let answer = dry(&group("kconsumer", &json!({"minReplicas": 4}))).await?;
    assert!(answer.stderr.contains("so a fourth consumer would be idle"), "{}", answer.stderr);
    // A real creation after the dry runs: any effect of theirs would be logged before it.
    ns.create_group("real", &json!({})).await?;
    ns.group_is_ready("real").await?;
    assert!(audit.by_operator()?.iter().all(|event| event.object_ref.name != "kconsumer"));
    assert_eq!(ns.list(GROUP).await?.len(), 1);
    ns.close().await
}

async fn an_invalid_group_can_be_edited_but_not_made_worse(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace("ratchet").await?;
    // Valid while the topic was unknown, invalid since the topic exists.
    ns.create_group("kconsumer", &json!({"minReplicas": 5, "metrics": {"lagStatistic": "Sum"}})).await?;
    ns.create_topic("fast-data-topic", 3).await?;
    ns.group_is("kconsumer", "True", "MinAboveCeiling").await?;
    let patch =
        async |patch: &str| ns.kubectl(&["patch", "kcg", "kconsumer", "--type=merge", "-p", patch]).await;

    for harmless in
        [r#"{"metadata":{"labels":{"a":"b"}}}"#, r#"{"metadata":{"finalizers":["example.com/hold"]}}"#]
    {
        let answer = patch(harmless).await?;
        assert_eq!((answer.code, answer.stderr.as_str()), (0, ""), "{harmless}");
    }
    let warning = "Warning: spec.minReplicas: must not be more than 3: topic fast-data-topic has 3 partitions, so a fourth consumer would be idle\n";
    for no_worse in [r#"{"spec":{"averageRecordsLagLimit":5}}"#, r#"{"spec":{"minReplicas":4}}"#] {
        let answer = patch(no_worse).await?;
        assert_eq!((answer.code, answer.stderr.as_str()), (0, warning), "{no_worse}");
    }
    let worse = patch(r#"{"spec":{"minReplicas":5}}"#).await?;
    assert_eq!(worse.code, 1);
    assert!(
        worse.stderr.contains("spec.minReplicas: Invalid value: 5: must not be more than 3"),
        "{}",
        worse.stderr
    );
    // A further violation is refused.
    let another = patch(r#"{"spec":{"consumerSpec":{"podTemplate":{"spec":{"hostNetwork":true}}}}}"#).await?;
    assert!(
        another.stderr.contains("hostNetwork: Forbidden") && !another.stderr.contains("Invalid value: 4"),
        "{}",
        another.stderr
    );

    ns.patch(TOPIC, "fast-data-topic", &json!({"spec": {"partitions": 4}})).await?;
    ns.group_is_ready("kconsumer").await?;
    let answer = patch(r#"{"metadata":{"finalizers":null}}"#).await?;
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
    ns.kubectl(&["delete", "kcg", "kconsumer"]).await?.ok()?;
    Ok(())
}

async fn what_is_most_often_a_mistake_is_warned_of(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("warned").await?;
    let consumer = json!({
        "envFrom": [{"configMapRef": {"name": "orders", "optional": true}}],
        "env": [{"name": "KAFKA_TOPICS", "value": "other-topic"}, {"name": "KAFKA_GROUP_INSTANCE_ID", "value": "$(HOSTNAME)"}],
        "podTemplate": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}},
    });
    let warnings = |stderr: &str| {
        let mut warnings: Vec<String> =
            stderr.lines().filter_map(|line| line.strip_prefix("Warning: ")).map(str::to_owned).collect();
        warnings.sort();
        warnings
    };
    let always = [
        "podTemplate.metadata.annotations: remove kubectl.kubernetes.io/restartedAt: it undoes kubectl rollout restart",
        "spec.consumerSpec: KAFKA_GROUP_INSTANCE_ID: a static member that ends blocks its partitions: see docs/operations.md",
        "spec.consumerSpec: KAFKA_TOPICS in env: maxReplicas, conditions and alerts still go by topic and topics",
    ];
    let group_id = "spec.consumerSpec.groupId: set it: the operator's KAFKA_GROUP_ID, the group's name, comes before one of envFrom";
    let group = group("kconsumer", &json!({"consumerSpec": consumer}));
    let created = warnings(&ns.kubectl_create(&group).await?.stderr);
    assert_eq!(created, [always[0], group_id, always[1], always[2]]);
    // The webhook has filled the groupId in.
    let patch = ["patch", "kcg", "kconsumer", "--type=merge", "-p", "{\"spec\": {\"minReplicas\": 2}}"];
    let patched = warnings(&ns.kubectl(&patch).await?.stderr);
    assert!(!patched.iter().any(|warning| warning == group_id), "{patched:#?}");
    assert!(always.iter().all(|warning| patched.iter().any(|other| other == warning)), "{patched:#?}");
    ns.close().await
}
