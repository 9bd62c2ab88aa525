//! What the children hold: the original's sample as a whole, and what each part of a spec does to
//! them.

use kcg_api::GroupDefaults;
use kcg_api::valid::TopicGrants;
use serde_json::{Value, json};

use super::*;
use crate::test_support::{ceiling_of, group, new_world, settled_world, stored};

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

/// A spec that sets all that the pod template depends on.
const FULL: &str = "{consumerSpec: {topics: [second], groupId: g, bootstrapServers: 'b:9092', env: [{name: A, value: b}],
    envFrom: [{secretRef: {name: s}}], resources: {limits: {cpu: 1}}, imagePullSecrets: [{name: s}], podTemplate: {metadata: {annotations: {seen: 'yes'}},
    spec: {priorityClassName: p, containers: [{name: kconsumer, env: [{name: KAFKA_GROUP_ID, value: own}, {name: B, value: $(A)}], volumeMounts: [{name: v, mountPath: /v}]}, {name: side, image: side}],
    volumes: [{name: v, emptyDir: {}}]}}}}";

/// The Deployment whose live one has these annotations.
fn deployment_after(annotations: &Value, spec: &str) -> Value {
    let group = group(spec);
    let live = json!({"metadata": {"annotations": annotations}});
    let inherited = Inherited { template: Some(TemplateOrigin::of(&live)), ..Inherited::default() };
    let ceiling = ceiling_of(&group, &new_world(&group));
    desired_after(ChildKind::Deployment, &group, &ceiling, &inherited).expect("desired").object
}

#[test]
fn an_autoscaler_reads_the_lag_and_then_the_metrics_of_the_spec_as_they_are_written() {
    let autoscaler = child(
        ChildKind::HorizontalPodAutoscaler,
        "{consumerSpec: {resources: {requests: {cpu: 1}}}, scaling: {metrics: [
            {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}},
            {type: External, external: {metric: {name: age, selector: {matchLabels: {queue: q}}}, target: {type: Value, value: 30}}}]}}",
    );
    let lag = json!({"type": "Pods", "pods": {
        "metric": {"name": "kafka_consumer_fetch_manager_records_lag_pod_sum"},
        "target": {"type": "AverageValue", "averageValue": "1k"}}});
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}});
    let age = json!({"type": "External", "external": {
        "metric": {"name": "age", "selector": {"matchLabels": {"queue": "q"}}},
        "target": {"type": "Value", "value": "30"}}});
    assert_eq!(autoscaler["spec"]["metrics"], json!([lag, cpu, age]));
}

#[test]
fn the_first_defaults_make_the_templates_that_they_always_made() {
    let templates = ["{}", FULL].map(|spec| deployment_after(&json!({}), spec)["spec"]["template"].clone());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/children/templates_of_version_1.yaml");
    kcg_golden::check([(file, serde_saphyr::to_string(&templates).expect("YAML"))]);
}

#[test]
fn an_upgrade_changes_no_template_and_the_next_change_of_the_template_takes_the_newest_defaults() {
    let upgraded = deployment_after(&json!({}), "{}");
    let annotations = upgraded["metadata"]["annotations"].clone();
    // The hash is stored: another one would roll out every group.
    assert_eq!(
        annotations,
        json!({"thenextapps.com/defaults-version": "1", "thenextapps.com/template-hash": "725857f6"})
    );
    for unrelated in ["{minReplicas: 2}", "{scaling: {minReadySeconds: 0}}", "{metrics: {interval: 10s}}"] {
        assert_eq!(
            deployment_after(&annotations, unrelated)["spec"]["template"],
            upgraded["spec"]["template"]
        );
    }
    let changed = deployment_after(&annotations, "{consumerSpec: {image: other}}");
    assert_eq!(changed["metadata"]["annotations"]["thenextapps.com/defaults-version"], "2");
    assert_eq!(changed["spec"]["template"]["spec"]["enableServiceLinks"], false);
}

#[test]
fn another_name_of_the_topic_in_kafka_keeps_the_defaults() {
    let group = group("{}");
    let mut world = new_world(&group);
    let origin = |world: &crate::facts::Observed| {
        let deployment =
            desired_after(ChildKind::Deployment, &group, &ceiling_of(&group, world), &Inherited::default());
        TemplateOrigin::of(&deployment.expect("desired").object)
    };
    let before = origin(&world);
    for lookup in world.topics.values_mut() {
        let kcg_api::topic::TopicLookup::Found(facts) = lookup else { panic!("seen") };
        facts.topic_name = kcg_api::topic::TopicName::Reported("renamed".into());
    }
    assert_eq!(origin(&world), before);
}

#[test]
fn a_pod_has_no_service_links_and_no_token_of_an_account_that_it_does_not_name() {
    let pod = |overlay: &str| {
        let spec = format!("{{consumerSpec: {{podTemplate: {{spec: {overlay}}}}}}}");
        let pod = child(ChildKind::Deployment, &spec)["spec"]["template"]["spec"].clone();
        [pod["enableServiceLinks"].clone(), pod["automountServiceAccountToken"].clone()]
    };
    assert_eq!(pod("{}"), [json!(false), json!(false)]);
    assert_eq!(pod("{serviceAccountName: s}"), [json!(false), Value::Null]);
    assert_eq!(pod("{automountServiceAccountToken: true}"), [json!(false), json!(true)]);
}

#[test]
fn an_image_is_pulled_as_kubernetes_does_it_unless_the_spec_says_otherwise() {
    let digest = format!("a@sha256:{}", "0".repeat(64));
    let tagged_digest = format!("a:latest@sha256:{}", "0".repeat(64));
    for (image, policy) in [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1.4", "IfNotPresent"),
        ("localhost:5000/a", "Always"),
        ("localhost:5000/a:1.4", "IfNotPresent"),
        (&digest, "IfNotPresent"),
        (&tagged_digest, "Always"),
    ] {
        let spec = format!("{{consumerSpec: {{image: '{image}'}}}}");
        assert_eq!(consumer(&spec)["imagePullPolicy"], policy, "{image}");
    }
    assert_eq!(consumer("{consumerSpec: {image: a, imagePullPolicy: Never}}")["imagePullPolicy"], "Never");
    let overlaid =
        "{consumerSpec: {image: a, podTemplate: {spec: {containers: [{name: kconsumer, image: 'a:1'}]}}}}";
    assert_eq!(consumer(overlaid)["imagePullPolicy"], "IfNotPresent");
}

#[test]
fn a_service_has_no_address_unless_it_has_one_already() {
    let group = group("{}");
    let mut world = settled_world(&group);
    let address = |world: &crate::facts::Observed| {
        let state = crate::desired::DesiredState::new(group.clone(), world);
        state.child(ChildKind::Service).expect("desired").object["spec"].get("clusterIP").cloned()
    };
    assert_eq!(address(&new_world(&group)), Some(json!("None")));
    assert_eq!(address(&world), Some(json!("None")));
    world.children[ChildKind::Service].as_mut().unwrap().detail =
        crate::facts::Detail::Service { has_cluster_ip: true };
    assert_eq!(address(&world), None);
}

#[test]
fn the_monitor_s_endpoint_has_what_the_spec_adds_and_never_follows_a_redirect() {
    let endpoints = |metrics: &str| child(ChildKind::ServiceMonitor, metrics)["spec"]["endpoints"].clone();
    assert_eq!(
        endpoints(
            "metrics: {interval: 60s, endpoint: {scheme: https, scrapeTimeout: 20s, tlsConfig: {insecureSkipVerify: true},
                relabelings: [{targetLabel: a, replacement: ''}]}}"
        ),
        json!([{
            "port": "metrics", "path": "/actuator/prometheus", "interval": "60s",
            "honorLabels": false, "followRedirects": false,
            "scheme": "https", "scrapeTimeout": "20s", "tlsConfig": {"insecureSkipVerify": true},
            "relabelings": [{"targetLabel": "a", "replacement": ""}],
        }])
    );
    let plain = endpoints("{}");
    assert_eq!(endpoints("metrics: {endpoint: {tlsConfig: {}}}"), plain);
    assert_eq!((&plain[0]["scheme"], &plain[0]["followRedirects"]), (&json!("http"), &json!(false)));
}

#[test]
fn a_scrape_never_takes_longer_than_an_interval_that_the_installation_shortens() {
    let spec = "metrics: {endpoint: {scrapeTimeout: 1m}, additionalEndpoints: [{port: 1, scrapeTimeout: 8s},
        {port: 2, scrapeTimeout: 10s, interval: 1m30s}, {port: 3}, {port: 4, scrapeTimeout: 1500ms}]}";
    let timeouts = |interval: &str| {
        let defaults = kcg_api::GroupDefaults::parse(&format!("metrics: {{interval: {interval}}}")).unwrap();
        let grants = kcg_api::valid::TopicGrants::Every;
        let stored = crate::test_support::stored(&format!("{{{spec}}}"));
        let group = ValidGroup::read_stored(&stored, &grants, &defaults).unwrap();
        let monitor = desired_one(ChildKind::ServiceMonitor, &group, &ceiling_of(&group, &new_world(&group)));
        let endpoints = monitor.unwrap().object["spec"]["endpoints"].clone();
        endpoints.as_array().unwrap().iter().map(|it| it["scrapeTimeout"].clone()).collect::<Vec<_>>()
    };
    let unset = Value::Null;
    assert_eq!(timeouts("60s"), [json!("1m"), json!("8s"), json!("10s"), unset.clone(), json!("1500ms")]);
    assert_eq!(timeouts("2s"), [json!("2s"), json!("2s"), json!("10s"), unset, json!("1500ms")]);
}

#[test]
fn a_scrape_of_a_stored_group_keeps_the_limits_of_the_installation_and_changes_no_pod() {
    let of = |spec: &str, installation: &str| {
        let defaults = kcg_api::GroupDefaults::parse(installation).unwrap();
        let grants = kcg_api::valid::TopicGrants::Every;
        ValidGroup::read_stored(&crate::test_support::stored(spec), &grants, &defaults).unwrap()
    };
    let built = |kind: ChildKind, group: &ValidGroup| {
        desired_one(kind, group, &ceiling_of(group, &new_world(group))).unwrap().object
    };
    let limits = |group: &ValidGroup| {
        let monitor = built(ChildKind::ServiceMonitor, group);
        ["sampleLimit", "labelLimit", "bodySizeLimit"].map(|field| monitor["spec"][field].clone())
    };
    assert_eq!(limits(&of("{}", "")), [json!(50_000), json!(64), json!("16MB")]);
    let own = "{metrics: {sampleLimit: 60000, labelLimit: 1000, bodySizeLimit: 1GB, interval: 1ms, path: '/a?b=$(c)',
        additionalEndpoints: [{port: 1, interval: 10ms}]}}";
    let stored = of(own, "");
    assert_eq!(limits(&stored), [json!(60_000), json!(128), json!("64MB")]);
    let endpoints = &built(ChildKind::ServiceMonitor, &stored)["spec"]["endpoints"];
    assert_eq!([&endpoints[0]["interval"], &endpoints[1]["interval"]], [&json!("1s"), &json!("1s")]);
    assert_eq!(stored.tolerated.len(), 5, "{:?}", stored.tolerated);
    let none =
        "metrics: {bodySizeLimit: '0'}\nlimits: {sampleLimit: 1000, labelLimit: 0, bodySizeLimit: '0'}";
    assert_eq!(limits(&of("{}", none)), [json!(1000), json!(64), Value::Null]);
    let pods = |spec: &str| built(ChildKind::Deployment, &of(spec, ""));
    assert_eq!(pods("{metrics: {sampleLimit: 60000, interval: 1ms}}"), pods("{}"));
}

#[test]
fn an_additional_endpoint_has_a_port_of_the_service_and_changes_no_pod() {
    let spec = "metrics: {additionalEndpoints: [{port: 15020, path: /stats/prometheus, interval: 1m, scheme: https}, {port: 9404}]}";
    let endpoints = child(ChildKind::ServiceMonitor, spec)["spec"]["endpoints"].clone();
    let endpoint = |port: &str, path: &str, interval: &str, scheme: &str| json!({"port": port, "path": path, "interval": interval, "scheme": scheme, "honorLabels": false, "followRedirects": false});
    assert_eq!(
        endpoints,
        json!([
            endpoint("metrics", "/actuator/prometheus", "5s", "http"),
            endpoint("metrics-15020", "/stats/prometheus", "1m", "https"),
            endpoint("metrics-9404", "/metrics", "5s", "http"),
        ])
    );
    let port = |name: &str, number: i32| json!({"name": name, "port": number, "targetPort": number, "protocol": "TCP"});
    assert_eq!(
        child(ChildKind::Service, spec)["spec"]["ports"],
        json!([port("metrics", 8085), port("metrics-15020", 15020), port("metrics-9404", 9404)])
    );
    assert_eq!(child(ChildKind::Deployment, spec), child(ChildKind::Deployment, "{}"));
}

#[test]
fn a_pod_is_up_by_its_own_endpoint_whatever_its_additional_ones_say() {
    let expressions = |spec: &str| child(ChildKind::PrometheusRule, spec).to_string();
    let own = r#"up{namespace=\"default\",service=\"kconsumer\",endpoint=\"metrics\"}"#;
    assert!(!expressions("{}").contains("endpoint="));
    let with = expressions("metrics: {additionalEndpoints: [{port: 9404}]}");
    assert_eq!(with.matches("up{").count(), with.matches(own).count());
    assert!(with.contains(own));
}

#[test]
fn a_new_pod_is_available_after_15_seconds_unless_the_spec_says_otherwise() {
    let seconds = |spec: &str| child(ChildKind::Deployment, spec)["spec"]["minReadySeconds"].clone();
    assert_eq!([seconds("{}"), seconds("{scaling: {minReadySeconds: 0}}")], [json!(15), json!(0)]);
}

#[test]
fn every_child_inherits_the_labels_and_annotations_and_no_pod_does() {
    let spec = "{inheritedMetadata: {labels: {cost-center: '4711'}, annotations: {owner: data}}, metrics: {labels: {cost-center: own}}}";
    for child in children(spec) {
        let want = if child.kind == ChildKind::ServiceMonitor { "own" } else { "4711" };
        let metadata = &child.object["metadata"];
        assert_eq!([&metadata["labels"]["cost-center"], &metadata["annotations"]["owner"]], [want, "data"]);
        assert_eq!(metadata["labels"]["app"], "kconsumer");
    }
    let deployment = child(ChildKind::Deployment, spec);
    assert_eq!(deployment["spec"]["template"]["metadata"]["labels"].get("cost-center"), None);
    assert_eq!(deployment["metadata"]["annotations"]["thenextapps.com/defaults-version"], "3");
    let autoscaler = child(ChildKind::HorizontalPodAutoscaler, spec);
    assert!(autoscaler["metadata"]["annotations"]["thenextapps.com/held-partitions"].is_string());
}

#[test]
fn a_readiness_probe_follows_from_a_preset_that_is_set_or_is_requested() {
    let probe = |spec: &str| {
        let get = consumer(spec)["readinessProbe"]["httpGet"].clone();
        format!("{}{}", get["port"], get["path"].as_str().unwrap_or_default())
    };
    for (spec, want) in [
        ("{}", "null"),
        ("{metrics: {preset: Spring}}", "8085/actuator/health/readiness"),
        ("{metrics: {preset: Spring, port: 1, path: /m/prometheus}}", "1/m/health/readiness"),
        ("{metrics: {preset: Spring, path: /metrics}}", "null"),
        ("{metrics: {preset: JmxExporter}}", "5556/-/healthy"),
        ("{metrics: {preset: Librdkafka}}", "9090/metrics"),
        ("{metrics: {preset: Librdkafka}, consumerSpec: {readiness: None}}", "null"),
        ("{consumerSpec: {readiness: Preset}}", "8085/actuator/health/readiness"),
        ("{consumerSpec: {readiness: /ready}}", "8085/ready"),
    ] {
        assert_eq!(probe(spec), want, "{spec}");
    }
}

#[test]
fn a_probe_of_the_users_own_is_the_only_one() {
    let probes = |readiness: &str, own: &str| {
        let get = "{httpGet: {path: /own, port: 1}}";
        let spec = format!(
            "{{metrics: {{preset: Spring}}, consumerSpec: {{{readiness} podTemplate: {{spec: {{containers: [{{name: kconsumer, {own}: {get}}}]}}}}}}}}"
        );
        consumer(&spec)["readinessProbe"]["httpGet"]["path"].clone()
    };
    assert_eq!(probes("", "readinessProbe"), "/own");
    assert_eq!(probes("readiness: /asked,", "readinessProbe"), "/own");
    assert_eq!(probes("", "livenessProbe"), Value::Null);
    assert_eq!(probes("readiness: /asked,", "livenessProbe"), "/asked");
}

#[test]
fn a_group_of_before_gets_no_probe_for_a_preset_that_the_crd_filled_in() {
    let annotations =
        deployment_after(&json!({}), "{metrics: {preset: Spring}}")["metadata"]["annotations"].clone();
    let probe = |spec: &str| {
        let deployment = deployment_after(&annotations, spec);
        deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"].clone()
    };
    assert_eq!(probe("{metrics: {preset: Spring}}"), Value::Null);
    assert_eq!(probe("{metrics: {preset: Spring}, consumerSpec: {image: other}}"), Value::Null);
    assert_eq!(
        probe("{metrics: {preset: Spring}, consumerSpec: {readiness: Preset}}"),
        "/actuator/health/readiness"
    );
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
        json!([{"name": "KAFKA_TOPICS", "value": "other"}, {"name": "KAFKA_GROUP_ID", "value": "kconsumer"}])
    );
}

#[test]
fn hardening_can_be_overridden_by_the_overlay() {
    let spec = "{consumerSpec: {podTemplate: {spec: {securityContext: {seccompProfile: {type: Localhost, localhostProfile: p}}, terminationGracePeriodSeconds: 5,
        containers: [{name: kconsumer, securityContext: {allowPrivilegeEscalation: true}}]}}}}";
    let pod = child(ChildKind::Deployment, spec)["spec"]["template"]["spec"].clone();
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "Localhost");
    assert_eq!(pod["terminationGracePeriodSeconds"], 5);
    assert_eq!(consumer(spec)["securityContext"]["allowPrivilegeEscalation"], true);
}

#[test]
fn a_variable_that_the_overlay_replaces_keeps_its_place() {
    let spec = "{consumerSpec: {env: [{name: CLIENT_ID, value: $(KAFKA_GROUP_ID)-client}], podTemplate: {spec: {containers: [
        {name: kconsumer, env: [{name: KAFKA_GROUP_ID, value: orders-blue}, {name: LOG_LEVEL, value: info}]}]}}}}";
    let container = consumer(spec);
    let env = container["env"].as_array().expect("variables").iter();
    let names: Vec<&str> = env.filter_map(|variable| variable["name"].as_str()).collect();
    assert_eq!(names, ["KAFKA_TOPICS", "KAFKA_GROUP_ID", "CLIENT_ID", "LOG_LEVEL"]);
    assert_eq!(container["env"][1]["value"], "orders-blue");
}

#[test]
fn null_in_the_overlay_removes_the_field() {
    // Set on the stored group: a merge would drop the nulls.
    let mut stored = stored("{}");
    stored.spec.consumer_spec.pod_template = Some(json!({"spec": {
        "securityContext": null, "terminationGracePeriodSeconds": null,
        "containers": [{"name": "kconsumer", "securityContext": null, "resources": null}]}}));
    let group =
        ValidGroup::read(&stored, &TopicGrants::Own, &GroupDefaults::default()).expect("nulls are valid");
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
    assert_eq!(alerts(&world).len(), 7);
    world.topics.values_mut().for_each(|lookup| *lookup = kcg_api::topic::TopicLookup::NotFound);
    assert_eq!(
        alerts(&world),
        [
            "KafkaConsumerGroupLagHigh",
            "KafkaConsumerGroupPartitionLagHigh",
            "KafkaConsumerGroupLagMissing",
            "KafkaConsumerGroupNoConsumers",
            "KafkaConsumerGroupConsumersHung",
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

#[test]
fn each_alert_can_be_switched_off_and_has_its_own_severity_wait_and_threshold() {
    let rule = child(
        ChildKind::PrometheusRule,
        "{alerts: {for: 5m, rules: {
            KafkaConsumerGroupLagHigh: {severity: page, threshold: 70},
            KafkaConsumerGroupConsumersHung: {for: 30s, threshold: 60},
            KafkaConsumerGroupConsumersIdle: {enabled: false}}}}",
    );
    let rules = rule["spec"]["groups"][0]["rules"].as_array().expect("rules");
    let named = |name: &str| rules.iter().find(|rule| rule["alert"] == name);
    let high = named("KafkaConsumerGroupLagHigh").expect("it exists");
    assert_eq!([&high["for"], &high["labels"]["severity"]], ["5m", "page"]);
    assert!(high["expr"].as_str().is_some_and(|expr| expr.ends_with(" > 70")), "{high}");
    let hung = named("KafkaConsumerGroupConsumersHung").expect("it exists");
    assert_eq!([&hung["for"], &hung["labels"]["severity"]], ["30s", "warning"]);
    assert!(hung["expr"].as_str().is_some_and(|expr| expr.contains(" > 60 or ")), "{hung}");
    assert_eq!(named("KafkaConsumerGroupConsumersIdle"), None);
    let skewed = named("KafkaConsumerGroupPartitionLagHigh").expect("it exists");
    let expr = skewed["expr"].as_str().expect("an expression");
    assert!(expr.contains(" > 1.1 * 1000) unless on() (avg(") && expr.ends_with(" > 70)"), "{expr}");
}

#[test]
fn an_empty_behavior_leaves_the_choice_to_kubernetes() {
    for (scaling, want) in [
        ("{scaling: {behavior: {}}}", None),
        ("{scaling: {behavior: {scaleUp: {stabilizationWindowSeconds: 7}}}}", Some(7)),
        ("{}", Some(0)),
    ] {
        let autoscaler = child(ChildKind::HorizontalPodAutoscaler, scaling);
        let window = &autoscaler["spec"]["behavior"]["scaleUp"]["stabilizationWindowSeconds"];
        assert_eq!(window.as_i64(), want, "{scaling}");
        assert_eq!(autoscaler["spec"].get("behavior").is_some(), want.is_some(), "{scaling}");
    }
}

/// Micrometer shows the lag of a new partition up to a minute late, and until then the pod is
/// missing.
#[test]
fn a_group_scales_down_later_than_a_client_needs_to_show_its_lag() {
    let autoscaler = child(ChildKind::HorizontalPodAutoscaler, "{}");
    let window = &autoscaler["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"];
    assert!(window.as_i64() > Some(60), "{window}");
}
