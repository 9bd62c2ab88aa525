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
fn what_server_side_apply_takes_for_one_item_is_listed_once() {
    assert_pod(
        &json!({"evictionResponders": [{"name": "a.io/x", "priority": 1}, {"name": "a.io/x", "priority": 2}]}),
        &["evictionResponders[1].name: Duplicate value: \"a.io/x\""],
    );
    let claims = json!([{"name": "gpu", "request": "a"}, {"name": "gpu", "request": "b"}]);
    let codes = json!({"operator": "In", "values": [1, 2, 1]});
    let container = json!({"name": "orders", "restartPolicy": "Never", "resources": {"claims": claims},
        "restartPolicyRules": [{"action": "Restart", "exitCodes": codes}],
        "volumeMounts": [{"name": "v", "mountPath": "/v", "bindMountOptions": ["nodev", "nodev"]}]});
    assert_pod(
        &json!({"volumes": [{"name": "v"}], "containers": [container],
            "resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}]}),
        &[
            "containers[0].volumeMounts[0].bindMountOptions[1]: Duplicate value: \"nodev\"",
            "containers[0].resources.claims[1].name: Duplicate value: \"gpu\"",
            "containers[0].restartPolicyRules[0].exitCodes.values[2]: Duplicate value: 1",
        ],
    );
}

#[test]
fn a_claim_of_the_pod_has_one_source() {
    let quoted = |name: &str, sources: [&str; 2]| {
        format!(
            r#"{{"Name":"{name}","ResourceClaimName":{},"ResourceClaimTemplateName":{}}}"#,
            sources[0], sources[1]
        )
    };
    assert_pod(
        &json!({"resourceClaims": [{"name": "a"}, {"name": "b", "resourceClaimName": "x", "resourceClaimTemplateName": "y"}]}),
        &[
            &format!(
                "resourceClaims[0]: Invalid value: {}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
                quoted("a", ["null", "null"])
            ),
            &format!(
                "resourceClaims[1]: Invalid value: {}: at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
                quoted("b", ["\"x\"", "\"y\""])
            ),
        ],
    );
}

#[test]
fn an_overhead_is_of_quantities() {
    let grammar = crate::quantity::GRAMMAR;
    assert_pod(
        &json!({"overhead": {"cpu": "much", "cpus": "1"}}),
        &[
            &format!("overhead.limits[cpu]: Invalid value: \"much\": {grammar}"),
            "overhead.limits[cpus]: Invalid value: \"cpus\": must be a standard resource type or fully qualified",
            "overhead.limits[cpus]: Invalid value: \"cpus\": must be a standard resource for containers",
        ],
    );
}

#[test]
fn no_limit_of_a_container_is_above_that_of_the_pod() {
    let group = |own: Value, overlay: Value| {
        json!({"resources": {"limits": own}, "podTemplate": {"spec": {"resources": {"limits": {"memory": "1Gi", "cpu": 2}},
            "containers": [{"name": "orders", "resources": {"limits": overlay}}]}}})
    };
    // The consumer's own limits count where the overlay has none.
    assert_eq!(
        words(&group(json!({"memory": "2Gi", "cpu": 3}), json!({"cpu": 4}))),
        [
            "spec.consumerSpec.resources.limits[memory]: Invalid value: \"2Gi\": must be less than or equal to pod limits of 1Gi",
            "resources.containers[0][cpu].limits: Invalid value: \"4\": must be less than or equal to pod limits of 2",
        ]
    );
    assert_eq!(words(&group(json!({"memory": "2Gi"}), json!({"memory": "1Gi"}))), Vec::<String>::new());
    let without = json!({"resources": {"limits": {"cpu": 3}}, "podTemplate": {"spec": {"resources": {"limits": {"cpu": 2}}}}});
    assert_eq!(
        words(&without),
        [
            "spec.consumerSpec.resources.limits[cpu]: Invalid value: \"3\": must be less than or equal to pod limits of 2"
        ]
    );
}

#[test]
fn labels_and_annotations_follow_their_grammar() {
    let metadata = json!({
        "labels": {"team name": "a", "a/b/c": "", "example.com/": "x", "ok": "not ok", "Example.com/a": "b"},
        "annotations": {"Example.com/Note": "any text at all", "-": ""},
    });
    let words = words(&json!({"podTemplate": {"metadata": metadata}}));
    for part in [
        "labels: Invalid value: \"team name\": name part must consist of alphanumeric",
        "labels: Invalid value: \"a/b/c\": a valid label key must consist of",
        "labels: Invalid value: \"example.com/\": name part must be non-empty",
        "labels: Invalid value: \"not ok\": a valid label must be an empty string or",
        "labels: Invalid value: \"Example.com/a\": prefix part a lowercase RFC 1123 subdomain",
        "annotations: Invalid value: \"-\": name part must consist of",
    ] {
        let with = format!("spec.consumerSpec.podTemplate.metadata.{part}");
        assert_eq!(words.iter().filter(|word| word.starts_with(&with)).count(), 1, "{part} in {words:#?}");
    }
    // "example.com/" is wrong in two ways.
    assert_eq!(words.len(), 7, "{words:#?}");
    let long = "a".repeat(64);
    assert_pod(
        &json!({"nodeSelector": {"a": long}}),
        &[&format!("nodeSelector: Invalid value: \"{long}\": must be no more than 63 bytes")],
    );
}

#[test]
fn tolerations_and_spread_constraints_are_those_of_a_scheduler() {
    assert_pod(
        &json!({"tolerations": [
            {"key": "a", "operator": "Exists"}, {"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5},
            {"value": "b"}, {"key": "a", "operator": "Exists", "value": "b"}, {"key": "a", "operator": "Is"}, {"key": "a", "effect": "No", "tolerationSeconds": 1},
        ]}),
        &[
            "tolerations[3].operator: Invalid value: \"\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            "tolerations[4].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
            "tolerations[5].operator: Unsupported value: \"Is\": supported values: \"Equal\", \"Exists\"",
            "tolerations[6].effect: Invalid value: \"No\": effect must be 'NoExecute' when `tolerationSeconds` is set",
            "tolerations[6].effect: Unsupported value: \"No\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
        ],
    );
    let spread = |skew: i32, key: &str, action: &str| json!({"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": action});
    let mut domains = spread(1, "z", "ScheduleAnyway");
    domains["minDomains"] = json!(2);
    assert_pod(
        &json!({"topologySpreadConstraints": [spread(0, "zone", "DoNotSchedule"), spread(1, "zone", "DoNotSchedule"), spread(1, "", "Never"), domains]}),
        &[
            "topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
            "topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{zone, DoNotSchedule}\"",
            "topologySpreadConstraints[2].topologyKey: Required value: can not be empty",
            "topologySpreadConstraints[2].whenUnsatisfiable: Unsupported value: \"Never\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\"",
            "topologySpreadConstraints[3].minDomains: Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
        ],
    );
}

#[test]
fn affinity_selects_by_operators_that_exist() {
    let wanted =
        |operator: &str, values: &[&str]| json!({"key": "zone", "operator": operator, "values": values});
    let nodes = json!({
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [wanted("In", &["a"]), wanted("In", &[]), wanted("Exists", &["a"]), wanted("Gt", &[]), wanted("Is", &[])]}]},
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 101, "preference": {"matchFields": [{"key": "spec.x", "operator": "In", "values": ["a"]}]}}],
    });
    let pods = json!({"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b c"}}}]});
    let (required, preferred) =
        ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution");
    let terms = format!("affinity.nodeAffinity.{required}.nodeSelectorTerms[0].matchExpressions");
    let words = words(
        &json!({"podTemplate": {"spec": {"affinity": {"nodeAffinity": nodes, "podAntiAffinity": pods}}}}),
    );
    for part in [
        format!("{terms}[1].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"),
        format!(
            "{terms}[2].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        ),
        format!(
            "{terms}[3].values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'"
        ),
        format!("{terms}[4].operator: Invalid value: \"Is\": not a valid selector operator"),
        format!(
            "affinity.nodeAffinity.{preferred}[0].weight: Invalid value: 101: must be in the range 1-100"
        ),
        format!(
            "affinity.nodeAffinity.{preferred}[0].preference.matchFields[0].key: Invalid value: \"spec.x\": not a valid field selector key"
        ),
        format!(
            "affinity.podAntiAffinity.{required}[0].labelSelector.matchLabels: Invalid value: \"b c\": a valid label must"
        ),
    ] {
        assert!(words.iter().any(|word| word.starts_with(&part)), "{part} in {words:#?}");
    }
    assert_eq!(words.len(), 7, "{words:#?}");
}

#[test]
fn numbers_and_paths_stay_within_their_bounds() {
    let id = "must be between 0 and 2147483647, inclusive";
    assert_pod(
        &json!({"serviceAccountName": "My_Account",
            "securityContext": {"runAsUser": -1, "supplementalGroups": [1, 2_147_483_648_i64]}}),
        &[
            &format!("serviceAccountName: Invalid value: \"My_Account\": {}", labels::SUBDOMAIN),
            &format!("securityContext.runAsUser: Invalid value: -1: {id}"),
            &format!("securityContext.supplementalGroups[1]: Invalid value: 2147483648: {id}"),
        ],
    );
    let mount = |sub: &str| json!({"name": "v", "mountPath": format!("/{sub}"), "subPath": sub});
    assert_pod(
        &json!({"volumes": [{"name": "v"}], "containers": [{"name": "s", "image": " i", "securityContext": {"runAsGroup": -2},
            "volumeMounts": [mount("a..b/c"), mount("a/../b"), mount("/c")]}]}),
        &[
            "containers[0].image: Invalid value: \" i\": must not have leading or trailing whitespace",
            "containers[0].volumeMounts[1].subPath: Invalid value: \"a/../b\": must not contain '..'",
            "containers[0].volumeMounts[2].subPath: Invalid value: \"/c\": must be a relative path",
            &format!("containers[0].securityContext.runAsGroup: Invalid value: -2: {id}"),
        ],
    );
}

#[test]
fn a_service_account_has_the_name_of_one_in_either_field() {
    let refused = format!("serviceAccount: Invalid value: \"$(A)\": {}", labels::SUBDOMAIN);
    assert_pod(&json!({"serviceAccount": "$(A)"}), &[&refused]);
    assert_pod(&json!({"serviceAccount": "$(A)", "serviceAccountName": "a"}), &[]);
    assert_pod(&json!({"serviceAccount": "a"}), &[]);
}

#[test]
fn a_consumer_does_not_run_on_windows() {
    let message = "os.name: Forbidden: the operator gives consumers a security context that only Linux has";
    assert_pod(&json!({"os": {"name": "windows"}}), &[message]);
}

#[test]
fn a_windows_user_has_a_name_and_perhaps_a_domain() {
    let user = |name: &str| {
        words(
            &json!({"podTemplate": {"spec": {"securityContext": {"windowsOptions": {"runAsUserName": name}}}}}),
        )
    };
    for name in ["Administrator", "CORP\\user.1", "a.example.com\\x y", &"u".repeat(104)] {
        assert_eq!(user(name), Vec::<String>::new(), "{name}");
    }
    for (name, faults) in [
        ("", 1),
        ("a\tb", 1),
        ("a\\b\\c", 1),
        ("\\a", 1),
        ("CORP\\", 1),
        ("..", 1),
        ("a@b", 1),
        ("-_.?\\.", 2),
        (&"u".repeat(105), 1),
        (&format!("{}\\a", "d".repeat(256)), 2),
        (".a\\b", 1),
    ] {
        assert_eq!(user(name).len(), faults, "{name}: {:?}", user(name));
    }
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
            "containers[0].resources.requests: Invalid value: \"2Gi\": must be less than or equal to memory limit of 1Gi",
            "containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
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

#[test]
fn a_hook_sleeps_no_longer_than_a_pod_has_to_end() {
    let sleep = |pod: Value, seconds: i64| {
        let hook = json!({"name": "orders", "lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}});
        let mut pod = pod;
        pod["containers"] = json!([hook]);
        pod
    };
    let refused = |seconds: i64, grace: i64| {
        format!(
            "containers[0].lifecycle.preStop.sleep: Invalid value: {seconds}: must be non-negative and less than terminationGracePeriodSeconds ({grace})"
        )
    };
    // By the operator's default, by the person's value, by Kubernetes' default.
    for (pod, grace) in [
        (json!({}), 60),
        (json!({"terminationGracePeriodSeconds": 300}), 300),
        (json!({"terminationGracePeriodSeconds": null}), 30),
    ] {
        assert_pod(&sleep(pod.clone(), grace), &[]);
        assert_pod(&sleep(pod.clone(), 0), &[]);
        assert_pod(&sleep(pod.clone(), grace + 1), &[&refused(grace + 1, grace)]);
        assert_pod(&sleep(pod, -1), &[&refused(-1, grace)]);
    }
}

#[test]
fn the_files_of_a_volume_stay_below_it() {
    let items =
        json!([{"key": "app.yaml", "path": "/etc/app.yaml"}, {"key": "", "path": "..data", "mode": 512}]);
    assert_pod(
        &json!({"volumes": [
            {"name": "c", "configMap": {"name": "c", "items": items}},
            {"name": "p", "projected": {"sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 300}},
                {"secret": {"name": "s", "items": [{"key": "a", "path": "a"}]}, "configMap": {"name": "c", "items": [{"key": "a", "path": "a"}]}}]}},
            {"name": "d", "downwardAPI": {"items": [{"path": "cpu", "resourceFieldRef": {"resource": "limits.cpu"}}]}}]}),
        &[
            "volumes[0].configMap.items[0].path: Invalid value: \"/etc/app.yaml\": must be a relative path",
            "volumes[0].configMap.items[1].key: Required value",
            "volumes[0].configMap.items[1].path: Invalid value: \"..data\": must not start with '..'",
            "volumes[0].configMap.items[1].mode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
            "volumes[1].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 300: may not specify a duration less than 10 minutes",
            "volumes[1].projected: Invalid value: \"c\": conflicting duplicate paths",
            "volumes[1].projected.sources[1]: Forbidden: may not specify more than 1 volume type per source",
            "volumes[2].downwardAPI.resourceFieldRef.containerName: Required value",
        ],
    );
}

#[test]
fn an_ephemeral_volume_claims_storage_for_some_kind_of_access() {
    let claim = |spec: Value| json!({"volumes": [{"name": "s", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}]});
    let path = "volumes[0].ephemeral.volumeClaimTemplate.spec";
    assert_pod(
        &claim(json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}})),
        &[],
    );
    assert_pod(
        &claim(json!({})),
        &[
            &format!("{path}.accessModes: Required value: at least 1 access mode is required"),
            &format!("{path}.resources[storage]: Required value"),
        ],
    );
}

#[test]
fn addresses_and_names_of_the_pod_are_addresses_and_names() {
    let address = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    assert_pod(
        &json!({"hostAliases": [{"ip": "kafka-0"}, {"ip": "10.0.0.1"}, {"ip": "010.000.0.2"}, {"ip": "::1"}, {"ip": "10.0.0"}, {"ip": "10.0.0.256"}],
            "dnsPolicy": "None", "hostname": "a.b"}),
        &[
            "hostname: Invalid value: \"a.b\": must not contain dots",
            &format!("hostAliases[0].ip: Invalid value: \"kafka-0\": {address}"),
            &format!("hostAliases[4].ip: Invalid value: \"10.0.0\": {address}"),
            &format!("hostAliases[5].ip: Invalid value: \"10.0.0.256\": {address}"),
            "dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ],
    );
}

#[test]
fn what_cannot_be_overcommitted_has_a_limit_equal_to_its_request() {
    let consumer = |resources: Value| json!({"resources": resources});
    let with = |resources: Value, overlaid: Value| {
        words(
            &json!({"resources": resources, "podTemplate": {"spec": {"containers": [{"name": "orders", "resources": overlaid}]}}}),
        )
    };
    let limit = "Required value: Limit must be set for non overcommitable resources";
    let gpu = json!({"nvidia.com/gpu": 1});
    assert_eq!(
        words(&consumer(json!({"requests": gpu}))),
        [format!("spec.consumerSpec.resources.limits: {limit}")]
    );
    // The overlay's limit is of the same container.
    assert_eq!(with(json!({"requests": gpu}), json!({"limits": gpu})), [""; 0]);
    assert_eq!(
        with(json!({"requests": gpu}), json!({"limits": {"nvidia.com/gpu": 2}})),
        [
            "containers[0].resources.requests: Invalid value: \"1\": must be equal to nvidia.com/gpu limit of 2"
        ]
    );
    let pages = json!({"limits": {"hugepages-2Mi": "3Mi"}});
    assert_eq!(
        words(&consumer(pages)),
        [
            "spec.consumerSpec.resources.limits[hugepages-2Mi]: Invalid value: \"3Mi\": 3Mi is not positive integer multiple of hugepages-2Mi",
            "spec.consumerSpec.resources: Forbidden: HugePages require cpu or memory",
        ]
    );
}
