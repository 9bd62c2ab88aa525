//! What the children hold: the original's sample as a whole, and what each part of a spec does to
//! them.

use kcg_api::valid::TopicGrants;
use serde_json::{Value, json};

use super::*;
use crate::test_support::{ceiling_of, group, new_world, stored};

fn children(spec: &str) -> Vec<Desired> {
    let group = group(spec);
    desired(&group, &ceiling_of(&group, &new_world(&group)))
}

fn child(kind: ChildKind, spec: &str) -> Value {
    children(spec)
        .into_iter()
        .find(|desired| desired.kind == kind)
        .map(|desired| desired.object)
        .expect("the child is desired")
}

fn consumer(spec: &str) -> Value {
    let deployment = child(ChildKind::Deployment, spec);
    let containers =
        deployment["spec"]["template"]["spec"]["containers"].as_array().expect("containers").clone();
    containers.into_iter().find(|container| container["name"] == "kconsumer").expect("the consumer")
}

#[test]
fn the_original_s_sample_has_these_five_children() {
    let objects: Vec<Value> = children("{}").into_iter().map(|desired| desired.object).collect();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/children/original_sample.yaml");
    kcg_golden::check([(file, serde_saphyr::to_string(&objects).expect("YAML"))]);
}

#[test]
fn no_child_ever_has_spec_replicas() {
    for spec in ["{}", "{minReplicas: 3}", "{consumerSpec: {podTemplate: {spec: {}}}}"] {
        assert_eq!(child(ChildKind::Deployment, spec)["spec"].get("replicas"), None);
    }
}

#[test]
fn a_variable_of_the_user_replaces_the_operator_s() {
    let env = |spec: &str| consumer(spec)["env"].clone();
    assert_eq!(
        env("{consumerSpec: {groupId: g, bootstrapServers: 'b:9092'}}"),
        json!([{"name": "KAFKA_TOPICS", "value": "fast-data-topic"}, {"name": "KAFKA_GROUP_ID", "value": "g"}, {"name": "KAFKA_BOOTSTRAP_SERVERS", "value": "b:9092"}])
    );
    assert_eq!(
        env("{consumerSpec: {env: [{name: KAFKA_GROUP_ID, value: mine}]}}"),
        json!([{"name": "KAFKA_TOPICS", "value": "fast-data-topic"}, {"name": "KAFKA_GROUP_ID", "value": "mine"}])
    );
}

#[test]
fn the_overlay_is_merged_into_the_consumer_by_its_container_s_name() {
    let spec = "{consumerSpec: {podTemplate: {metadata: {labels: {team: t}}, spec: {serviceAccountName: s, containers: [
        {name: kconsumer, securityContext: {readOnlyRootFilesystem: true}, env: [{name: KAFKA_TOPICS, value: other}]},
        {name: sidecar, image: s}]}}}}";
    let template = child(ChildKind::Deployment, spec)["spec"]["template"].clone();
    assert_eq!(
        template["metadata"]["labels"],
        json!({"app": "kconsumer", "thenextapps.com/kconsumergroup": "kconsumer", "team": "t"})
    );
    // Both names, or the API server would restore a name that was removed.
    assert_eq!([&template["spec"]["serviceAccountName"], &template["spec"]["serviceAccount"]], ["s", "s"]);
    assert_eq!(template["spec"]["containers"].as_array().map(Vec::len), Some(2));
    let consumer = consumer(spec);
    assert_eq!(consumer["image"], "thenextapps/kconsumer:latest");
    assert_eq!(
        consumer["securityContext"],
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true})
    );
    assert_eq!(
        consumer["env"],
        json!([{"name": "KAFKA_GROUP_ID", "value": "kconsumer"}, {"name": "KAFKA_TOPICS", "value": "other"}])
    );
}

#[test]
fn hardening_can_be_overridden_by_the_overlay() {
    let spec = "{consumerSpec: {podTemplate: {spec: {securityContext: {seccompProfile: {type: Unconfined}}, terminationGracePeriodSeconds: 5,
        containers: [{name: kconsumer, securityContext: {allowPrivilegeEscalation: true}}]}}}}";
    let pod = child(ChildKind::Deployment, spec)["spec"]["template"]["spec"].clone();
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "Unconfined");
    assert_eq!(pod["terminationGracePeriodSeconds"], 5);
    assert_eq!(consumer(spec)["securityContext"]["allowPrivilegeEscalation"], true);
}

#[test]
fn null_in_the_overlay_removes_the_field() {
    // Set on the stored group: a merge would drop the nulls.
    let mut stored = stored("{}");
    stored.spec.consumer_spec.pod_template = Some(json!({"spec": {
        "securityContext": null, "terminationGracePeriodSeconds": null,
        "containers": [{"name": "kconsumer", "securityContext": null, "resources": null}]}}));
    let group = ValidGroup::read(&stored, &TopicGrants::Own).expect("nulls are valid");
    let deployment = desired_one(ChildKind::Deployment, &group, &ceiling_of(&group, &new_world(&group)))
        .expect("the Deployment is desired");
    let pod = &deployment.object["spec"]["template"]["spec"];
    assert_eq!([pod.get("securityContext"), pod.get("terminationGracePeriodSeconds")], [None, None]);
    assert_eq!(pod["containers"][0].get("securityContext"), None);
    assert_eq!(pod["containers"][0]["image"], "thenextapps/kconsumer:latest");
}

#[test]
fn a_template_with_every_field_set_accepts_an_overlay() {
    let spec = "{consumerSpec: {bootstrapServers: b, imagePullSecrets: [{name: s}], envFrom: [{secretRef: {name: s}}],
        resources: {limits: {cpu: 1}}, env: [{name: A, value: b}], podTemplate: {metadata: {annotations: {seen: 'yes'}}}}}";
    assert_eq!(
        child(ChildKind::Deployment, spec)["spec"]["template"]["metadata"]["annotations"]["seen"],
        "yes"
    );
}

#[test]
fn a_rollout_stops_no_consumer_before_another_is_ready() {
    let rolling =
        |spec: &str| child(ChildKind::Deployment, spec)["spec"]["strategy"]["rollingUpdate"].clone();
    assert_eq!(rolling("{}"), json!({"maxSurge": "50%", "maxUnavailable": 0}));
    assert_eq!(rolling("{minReplicas: 2}"), rolling("{}"));
}

#[test]
fn no_alert_uses_an_unknown_ceiling() {
    let alerts = |world: &crate::facts::Observed| {
        let group = group("{}");
        let rule = desired(&group, &ceiling_of(&group, world))
            .into_iter()
            .find(|desired| desired.kind == ChildKind::PrometheusRule)
            .expect("the rule is desired");
        let rules = rule.object["spec"]["groups"][0]["rules"].as_array().expect("rules").clone();
        rules.iter().map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut world = new_world(&group("{}"));
    assert_eq!(alerts(&world).len(), 6);
    world.topics.values_mut().for_each(|lookup| *lookup = kcg_api::topic::TopicLookup::NotFound);
    assert_eq!(
        alerts(&world),
        [
            "RecordsLagBreached-kconsumer",
            "RecordsLagSkewed-kconsumer",
            "RecordsLagAbsent-kconsumer",
            "NoConsumers-kconsumer"
        ]
    );
}

#[test]
fn texts_are_quoted_for_promql_and_escaped_for_templates() {
    let rule =
        child(ChildKind::PrometheusRule, "{alerts: {labels: {note: 'a {{ b }} \"c\"'}, severity: '{{x}}'}}");
    let labels = &rule["spec"]["groups"][0]["rules"][0]["labels"];
    assert_eq!(labels["note"], r#"a {{"{{"}} b }} "c""#);
    assert_eq!(labels["severity"], r#"{{"{{"}}x}}"#);
}
