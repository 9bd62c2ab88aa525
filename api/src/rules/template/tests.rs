use serde_json::{Value, json};

use super::*;
use crate::group::KconsumerGroupSpec;
use crate::rule_input::TopicGrants;

/// The violations of a group named `orders` with this consumerSpec.
fn words(consumer: &Value) -> Vec<String> {
    let spec: KconsumerGroupSpec = serde_json::from_value(json!({"consumerSpec": consumer})).unwrap();
    let input = RuleInput::new(Some("orders"), "default", &spec, &TopicGrants::Own);
    let mut violations = Vec::new();
    consumer_is_a_container(&input, &mut violations);
    overlay_makes_a_pod(&input, &mut violations);
    let strip =
        |violation: &Violation| violation.to_string().replacen("spec.consumerSpec.podTemplate.spec.", "", 1);
    violations.iter().map(strip).collect()
}

#[track_caller]
fn assert_pod(pod: &Value, want: &[&str]) {
    assert_eq!(words(&json!({"podTemplate": {"spec": pod}})), want, "{pod}");
}

/// The consumer's container with these fields.
#[track_caller]
fn assert_consumer(container: &Value, want: &[&str]) {
    let mut container = container.clone();
    container["name"] = json!("orders");
    assert_pod(&json!({"containers": [container]}), want);
}

#[test]
fn names_are_distinct() {
    let image = |name: &str| json!({"name": name, "image": "i"});
    assert_pod(
        &json!({"containers": [image("a"), image("a"), image("b")], "initContainers": [image("b"), image("orders"), image("c"), image("c")]}),
        &[
            "containers[1].name: Duplicate value: \"a\"",
            "initContainers[0].name: Duplicate value: \"b\"",
            "initContainers[1].name: Duplicate value: \"orders\"",
            "initContainers[3].name: Duplicate value: \"c\"",
        ],
    );
    assert_pod(
        &json!({"volumes": [{"name": "v"}, {"name": "v"}], "imagePullSecrets": [{"name": "s"}, {"name": "s"}]}),
        &["volumes[1].name: Duplicate value: \"v\"", "imagePullSecrets[1].name: Duplicate value: \"s\""],
    );
    assert_consumer(
        &json!({"env": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "LOG_LEVEL", "value": "debug"}]}),
        &["containers[0].env[1].name: Duplicate value: \"LOG_LEVEL\""],
    );
}

#[test]
fn only_the_consumer_may_be_without_an_image() {
    assert_pod(
        &json!({"containers": [{"name": "order"}, {"name": "orders"}], "initContainers": [{"name": "init"}]}),
        &[
            "containers[0].image: Required value: container \"order\" is not the consumer (\"orders\") and has no image",
            "initContainers[0].image: Required value",
        ],
    );
    assert_consumer(&json!({"image": ""}), &["containers[0].image: Required value"]);
}

#[test]
fn the_port_metrics_is_taken() {
    let port = |name: &str, number: i32| json!({"name": name, "containerPort": number});
    assert_consumer(&json!({"ports": [port("metrics", 8085), port("http", 80)]}), &[]);
    assert_consumer(&json!({"ports": [port("web", 8085), port("metrics", 80)]}), &[]);
    assert_consumer(
        &json!({"ports": [port("metrics", 9404)]}),
        &["containers[0].ports[0].name: Duplicate value: \"metrics\""],
    );
    let sidecar = json!({"name": "s", "image": "i", "ports": [port("metrics", 9404), port("metrics", 9405)]});
    assert_pod(
        &json!({"containers": [sidecar]}),
        &["containers[0].ports[1].name: Duplicate value: \"metrics\""],
    );
}

#[test]
fn ports_have_names_numbers_and_protocols() {
    assert_consumer(
        &json!({"ports": [
            {"containerPort": 0}, {"containerPort": 70000, "protocol": "tcp"},
            {"containerPort": 1, "name": "way-too-long-name"}, {"containerPort": 2, "name": "-1"}, {"containerPort": 2}]}),
        &[
            "containers[0].ports[0].containerPort: Required value",
            "containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            "containers[0].ports[1].protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            "containers[0].ports[2].name: Invalid value: \"way-too-long-name\": must be no more than 15 characters",
            "containers[0].ports[3].name: Invalid value: \"-1\": must contain at least one letter (a-z)",
            "containers[0].ports[3].name: Invalid value: \"-1\": must not begin or end with a hyphen",
            "containers[0].ports[4].containerPort: Duplicate value: 2",
        ],
    );
    assert_consumer(
        &json!({"ports": [{"containerPort": 53}, {"containerPort": 53, "protocol": "UDP"}]}),
        &[],
    );
}

#[test]
fn a_mount_has_a_volume_and_a_path_of_its_own() {
    let mounts = json!([{"name": "v", "mountPath": "/a"}, {"name": "w", "mountPath": "/a"}, {"name": "v", "mountPath": ""}]);
    assert_pod(
        &json!({"volumes": [{"name": "v"}], "containers": [{"name": "orders", "volumeMounts": mounts}]}),
        &[
            "containers[0].volumeMounts[1].name: Not found: \"w\"",
            "containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
            "containers[0].volumeMounts[2].mountPath: Required value",
        ],
    );
}

#[test]
fn a_volume_has_one_type_and_a_file_mode() {
    assert_pod(
        &json!({"volumes": [
            {"name": "a", "configMap": {"name": "c"}, "emptyDir": {}},
            {"name": "b", "secret": {"defaultMode": 755}},
            {"name": "", "configMap": {"name": "c", "defaultMode": 493}},
            {"name": "D", "emptyDir": {"sizeLimit": "1MB"}}]}),
        &[
            "volumes[0].configMap: Forbidden: may not specify more than 1 volume type",
            "volumes[1].secret.secretName: Required value",
            "volumes[1].secret.defaultMode: Invalid value: 755: must be a number between 0 and 0777 (octal), both inclusive",
            "volumes[2].name: Required value",
            &format!("volumes[3].emptyDir.sizeLimit: Invalid value: \"1MB\": {}", crate::quantity::GRAMMAR),
            &format!("volumes[3].name: Invalid value: \"D\": {DNS_LABEL}"),
        ],
    );
}

#[test]
fn a_probe_and_a_hook_have_one_handler() {
    let both = json!({"httpGet": {"port": 80}, "tcpSocket": {"port": "web"}});
    assert_consumer(
        &json!({"livenessProbe": both, "readinessProbe": {"periodSeconds": -1}, "startupProbe": {"exec": {}, "successThreshold": 2},
            "lifecycle": {"preStop": {"httpGet": {"port": 0}, "exec": {"command": ["a"]}}}}),
        &[
            "containers[0].lifecycle.preStop.httpGet: Forbidden: may not specify more than 1 handler type",
            "containers[0].lifecycle.preStop.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
            "containers[0].readinessProbe: Required value: must specify a handler type",
            "containers[0].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
            "containers[0].startupProbe.exec.command: Required value",
            "containers[0].startupProbe.successThreshold: Invalid value: 2: must be 1",
        ],
    );
    let init = |policy: &Value| json!({"initContainers": [{"name": "i", "image": "i", "restartPolicy": policy, "livenessProbe": {"exec": {"command": ["a"]}}}]});
    assert_pod(&init(&json!("Always")), &[]);
    assert_pod(
        &init(&Value::Null),
        &[
            "initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ],
    );
}

#[test]
fn quantities_parse_and_requests_are_within_limits() {
    let grammar = crate::quantity::GRAMMAR;
    let spec = json!({"resources": {"limits": {"memory": "256MB", "cpu": 1, "cpus": "1"}, "requests": {"cpu": "1500m", "memory": "-1"}}});
    assert_eq!(
        words(&spec),
        [
            "spec.consumerSpec.resources.limits[cpus]: Invalid value: \"cpus\": must be a standard resource type or fully qualified",
            "spec.consumerSpec.resources.limits[cpus]: Invalid value: \"cpus\": must be a standard resource for containers",
            &*format!("spec.consumerSpec.resources.limits[memory]: Invalid value: \"256MB\": {grammar}"),
            "spec.consumerSpec.resources.requests[memory]: Invalid value: \"-1\": must be greater than or equal to 0",
            "spec.consumerSpec.resources.requests: Invalid value: \"1500m\": must be less than or equal to cpu limit of 1",
        ]
    );
    // The overlay's requests meet the limits of consumerSpec.
    let over = json!({"resources": {"limits": {"memory": "1Gi"}}, "podTemplate": {"spec": {"containers": [
        {"name": "orders", "resources": {"requests": {"memory": "2Gi", "nvidia.com/gpu": 1}}}]}}});
    assert_eq!(
        words(&over),
        [
            "containers[0].resources.requests: Invalid value: \"2Gi\": must be less than or equal to memory limit of 1Gi"
        ]
    );
}

#[test]
fn a_variable_has_one_source_and_a_source_one_kind() {
    let field = json!({"fieldRef": {"fieldPath": "spec.nodename"}});
    let both =
        json!({"fieldRef": {"fieldPath": "metadata.labels['a']"}, "secretKeyRef": {"name": "s", "key": ""}});
    let env = json!([{"name": "A", "valueFrom": {}}, {"name": "B", "valueFrom": field}, {"name": "C", "valueFrom": both}]);
    let env_from = json!([{}, {"configMapRef": {"name": ""}}]);
    let want = |path: &str| {
        [
            ".env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
            ".env[1].valueFrom.fieldRef.fieldPath: Invalid value: \"spec.nodename\": error converting fieldPath: field label not supported: spec.nodename",
            ".env[2].valueFrom.secretKeyRef.key: Required value",
            ".env[2].valueFrom: Invalid value: \"\": may not have more than one field specified at a time",
            ".envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
            ".envFrom[1].configMapRef.name: Required value",
        ]
        .map(|words| format!("{path}{words}"))
    };
    assert_eq!(words(&json!({"env": env, "envFrom": env_from})), want("spec.consumerSpec"));
    let container = json!({"name": "orders", "env": env, "envFrom": env_from});
    assert_eq!(words(&json!({"podTemplate": {"spec": {"containers": [container]}}})), want("containers[0]"));
}

#[test]
fn a_pod_of_a_deployment_restarts() {
    assert_pod(
        &json!({"restartPolicy": "OnFailure", "activeDeadlineSeconds": 5}),
        &[
            "restartPolicy: Unsupported value: \"OnFailure\": supported values: \"Always\"",
            "activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
        ],
    );
}

#[test]
fn labels_and_the_keys_of_annotations_are_what_the_api_server_takes() {
    let template = |metadata: Value| words(&json!({"podTemplate": {"metadata": metadata}}));
    let key = |field: &str| {
        format!(
            "spec.consumerSpec.podTemplate.metadata.{field}: Invalid value: \"a b\": {}",
            messages::LABEL_KEY
        )
    };
    assert_eq!(template(json!({"labels": {"a b": "c"}})), [key("labels")]);
    assert_eq!(template(json!({"annotations": {"a b": "c d\n"}})), [key("annotations")]);
    assert_eq!(
        template(json!({"labels": {"example.com/team": "c d"}})),
        [format!(
            "spec.consumerSpec.podTemplate.metadata.labels[example.com/team]: Invalid value: \"c d\": {}",
            messages::LABEL_VALUE
        )]
    );
    assert_eq!(
        template(json!({"labels": {"a": ""}, "annotations": {"sidecar.istio.io/inject": "false"}})),
        [""; 0]
    );
    let node = format!("nodeSelector[zone]: Invalid value: \"a/b\": {}", messages::LABEL_VALUE);
    assert_pod(&json!({"nodeSelector": {"zone": "a/b"}}), &[&node]);
}

#[test]
fn a_mount_stays_below_its_volume() {
    let volumes = json!([{"name": "v", "emptyDir": {}}]);
    let of = |mount: Value| {
        let mut mount = mount;
        (mount["name"], mount["mountPath"]) = (json!("v"), json!("/v"));
        json!({"volumes": volumes, "containers": [{"name": "orders", "volumeMounts": [mount]}]})
    };
    for (mount, want) in [
        (json!({"subPath": "a/../b"}), "subPath: Invalid value: \"a/../b\": must not contain '..'"),
        (json!({"subPath": "/a"}), "subPath: Invalid value: \"/a\": must be a relative path"),
        (
            json!({"subPathExpr": "../$(POD)"}),
            "subPathExpr: Invalid value: \"../$(POD)\": must not contain '..'",
        ),
    ] {
        assert_pod(&of(mount), &[&format!("containers[0].volumeMounts[0].{want}")]);
    }
    assert_pod(&of(json!({"subPath": "a..b/c"})), &[]);
}
