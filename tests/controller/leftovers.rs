//! What an earlier apply, another field manager or the API server itself left in a child neither
//! stays nor blocks later changes, and nothing is written that the API server then rejects.

use anyhow::Context as _;
use kcg_tests::Outcome;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{DEPLOYMENT, GROUP, RULE, SERVICE, condition};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::env::ControllerEnv;

const CONTAINERS: &str = "/spec/template/spec/containers";

fn with_pod(pod: &Value) -> Value {
    json!({"consumerSpec": {"podTemplate": {"spec": pod}}})
}

fn generation(object: &Value) -> Option<i64> {
    object["metadata"]["generation"].as_i64()
}

async fn started(name: &str, spec: &Value) -> Outcome<ControllerEnv> {
    let env = ControllerEnv::start(name).await?;
    env.create_group("g", spec).await?;
    env.children_exist("g").await?;
    Ok(env)
}

/// Changes the group once, so that its children are applied and not only created.
async fn apply_once(ns: &Namespace) -> Outcome {
    ns.patch(GROUP, "g", &json!({"spec": {"consumerSpec": {"image": "example.com/consumer:2"}}})).await?;
    ns.eventually(DEPLOYMENT, "g", "the image", |seen| {
        seen["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/consumer:2"
    })
    .await?;
    Ok(())
}

/// Replaces the whole spec of the group except for its image and topic.
async fn set_pod(ns: &Namespace, pod: &Value) -> Outcome {
    let path = "/spec/consumerSpec/podTemplate";
    ns.json_patch(GROUP, "g", &json!([{"op": "add", "path": path, "value": {"spec": pod}}])).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ports_of_one_name_are_rejected_and_restart_no_pod() -> Outcome {
    let env = started("two-ports", &json!({})).await?;
    let before = env.get(DEPLOYMENT, "g").await?;
    let port = json!({"name": "metrics", "containerPort": 9404});
    set_pod(&env, &json!({"containers": [{"name": "g", "ports": [port]}]})).await?;
    let message = env.reason_is("g", "Ready", "ApplyRefused").await?;
    assert!(message.contains("ports[1].name: Duplicate value"), "{message}");
    // The first attempt and two retries.
    for _ in 0..3 {
        env.faults.log.clear();
        env.faults.log.eventually("PATCH", "/deployments/g?").await?;
    }
    let after = env.get(DEPLOYMENT, "g").await?;
    assert_eq!((&after["spec"], generation(&after)), (&before["spec"], generation(&before)));
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renumbered_port_is_repaired_by_one_change_of_the_spec() -> Outcome {
    let env = started("renumbered", &json!({})).await?;
    let renumbered =
        json!([{"op": "replace", "path": format!("{CONTAINERS}/0/ports/0/containerPort"), "value": 9999}]);
    let changed = env.json_patch(DEPLOYMENT, "g", &renumbered).await?;
    let ports = json!([{"name": "metrics", "containerPort": 8085, "protocol": "TCP"}]);
    let repaired = env
        .eventually(DEPLOYMENT, "g", "its own port", |seen| {
            seen.pointer(&format!("{CONTAINERS}/0/ports")) == Some(&ports)
        })
        .await?;
    assert_eq!(generation(&repaired), generation(&changed).map(|before| before + 1));
    env.stop().await
}

/// Sets a variable of the sidecar by server-side apply, as a person does during an incident.
async fn apply_a_variable(ns: &Namespace) -> Outcome {
    let variable = json!({"name": "LOG_LEVEL", "value": "debug"});
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "g"},
        "spec": {"template": {"spec": {"containers": [{"name": "shipper", "env": [variable]}]}}},
    });
    ns.api(DEPLOYMENT).patch("g", &PatchParams::apply("incident"), &Patch::Apply(&object)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_goes_with_what_another_manager_added_to_it() -> Outcome {
    let sidecar = with_pod(&json!({"containers": [{"name": "shipper", "image": "example.com/shipper:2"}]}));
    let env = started("sidecar", &sidecar).await?;
    apply_a_variable(&env).await?;
    let before = env.get(DEPLOYMENT, "g").await?;
    let changes = json!([
        {"op": "remove", "path": "/spec/consumerSpec/podTemplate"},
        {"op": "add", "path": "/spec/consumerSpec/image", "value": "example.com/consumer:2"},
    ]);
    env.json_patch(GROUP, "g", &changes).await?;
    let after = env
        .eventually(DEPLOYMENT, "g", "the new image", |seen| {
            seen.pointer(&format!("{CONTAINERS}/0/image")) == Some(&json!("example.com/consumer:2"))
        })
        .await?;
    assert_eq!(after.pointer(CONTAINERS).and_then(Value::as_array).map(Vec::len), Some(1), "one container");
    assert_eq!(generation(&after), generation(&before).map(|before| before + 1), "one rollout");
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_goes_with_a_variable_that_kubectl_set() -> Outcome {
    let sidecar = with_pod(&json!({"containers": [{"name": "shipper", "image": "example.com/shipper:2"}]}));
    let env = started("sidecar-set-env", &sidecar).await?;
    env.kubectl(&["set", "env", "deployment/g", "LOG_LEVEL=debug"]).await?.ok()?;
    env.json_patch(GROUP, "g", &json!([{"op": "remove", "path": "/spec/consumerSpec/podTemplate"}])).await?;
    let after = env
        .eventually(DEPLOYMENT, "g", "one container", |seen| {
            seen.pointer(CONTAINERS).and_then(Value::as_array).map(Vec::len) == Some(1)
        })
        .await?;
    let set = json!({"name": "LOG_LEVEL", "value": "debug"});
    let variables = after.pointer(&format!("{CONTAINERS}/0/env")).and_then(Value::as_array);
    assert!(variables.is_some_and(|variables| variables.contains(&set)), "that of the consumer stays");
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_that_another_manager_may_cause_names_it() -> Outcome {
    let env = started("named", &json!({})).await?;
    let limits = json!({"spec": {"template": {"spec": {"containers": [{"name": "g", "resources": {"limits": {"cpu": "1"}}}]}}}});
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "g"}, "spec": limits["spec"]});
    env.api(DEPLOYMENT).patch("g", &PatchParams::apply("incident"), &Patch::Apply(&object)).await?;
    env.patch(GROUP, "g", &json!({"spec": {"consumerSpec": {"resources": {"requests": {"cpu": "2"}}}}}))
        .await?;
    let message = env.reason_is("g", "Ready", "ApplyRefused").await?;
    assert!(message.contains("incident"), "{message}");
    // The command that the message ends with frees the fields.
    let (_, command) =
        message.rsplit_once("To remove the fields of incident: echo '").context("a command")?;
    let (object, kubectl) = command.split_once("' | kubectl ").context("a pipe")?;
    let kubectl = kubectl.split(" -f -").next().context("arguments")?;
    let args: Vec<&str> = kubectl.split(' ').chain(["-f", "-"]).collect();
    env.kubectl_with(&args, object).await?.ok()?;
    let asked = format!("{CONTAINERS}/0/resources");
    let wants = json!({"requests": {"cpu": "2"}});
    env.eventually(DEPLOYMENT, "g", "the request", |seen| seen.pointer(&asked) == Some(&wants)).await?;
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_is_there_twice_is_a_rejection_and_not_a_failure() -> Outcome {
    let env = ControllerEnv::start("twice").await?;
    let variable = |value: &str| json!({"name": "LOG_LEVEL", "value": value});
    let shipper = json!({"name": "shipper", "image": "s", "env": [variable("info"), variable("debug")]});
    env.create_group("g", &with_pod(&json!({"containers": [shipper]}))).await?;
    let message = env.reason_is("g", "Ready", "ApplyRefused").await?;
    assert!(message.contains("duplicate entries for key"), "{message}");
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strategy_changes_to_recreate_and_back() -> Outcome {
    let rolling = json!({"type": "RollingUpdate"});
    let env = started("strategy", &json!({"scaling": {"strategy": rolling}})).await?;
    for strategy in [json!({"type": "Recreate"}), rolling.clone(), json!({"type": "Recreate"})] {
        let change = json!([{"op": "replace", "path": "/spec/scaling/strategy", "value": strategy}]);
        env.json_patch(GROUP, "g", &change).await?;
        env.eventually(DEPLOYMENT, "g", "the strategy", |seen| {
            let defaulted = seen["spec"]["strategy"]["rollingUpdate"].is_object();
            seen["spec"]["strategy"]["type"] == strategy["type"] && defaulted == (strategy == rolling)
        })
        .await?;
    }
    env.patch(GROUP, "g", &json!({"spec": {"consumerSpec": {"image": "example.com/consumer:2"}}})).await?;
    env.eventually(DEPLOYMENT, "g", "the new image", |seen| {
        seen.pointer(&format!("{CONTAINERS}/0/image")) == Some(&json!("example.com/consumer:2"))
    })
    .await?;
    env.stop().await
}

/// Values of which the API server allows one at a time, and fills in a part of.
fn alternatives() -> Vec<(&'static str, Vec<Value>)> {
    let container = |field: &str, value: &Value| {
        let mut container = json!({"name": "g"});
        container[field] = value.clone();
        json!({"containers": [container]})
    };
    let handlers = [
        json!({"httpGet": {"path": "/", "port": 8085}}),
        json!({"tcpSocket": {"port": 8085}}),
        json!({"exec": {"command": ["true"]}}),
        json!({"grpc": {"port": 8085}}),
        json!({"httpGet": {"port": 8085}}),
    ];
    let sources = [
        json!({}),
        json!({"configMap": {"name": "c"}}),
        json!({"secret": {"secretName": "s"}}),
        json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}),
        json!({"csi": {"driver": "example.com"}}),
        json!({"emptyDir": {"medium": "Memory"}}),
        json!({"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}}),
        json!({}),
    ];
    let variables = [
        json!({"value": "1"}),
        json!({"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        json!({"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
        json!({"valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}),
        json!({"value": "1"}),
    ];
    let named = |value: &Value| {
        let mut value = value.clone();
        value["name"] = json!("x");
        value
    };
    let hooks = [&handlers[0], &handlers[2], &handlers[0]];
    vec![
        ("livenessProbe", handlers.iter().map(|handler| container("livenessProbe", handler)).collect()),
        ("lifecycle", hooks.iter().map(|hook| container("lifecycle", &json!({"preStop": hook}))).collect()),
        ("volumes", sources.iter().map(|source| json!({"volumes": [named(source)]})).collect()),
        ("env", variables.iter().map(|variable| container("env", &json!([named(variable)]))).collect()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn of_values_that_exclude_each_other_one_takes_the_place_of_another() -> Outcome {
    let env = started("alternatives", &json!({})).await?;
    for (field, pods) in alternatives() {
        for (index, pod) in pods.iter().enumerate() {
            // A second change with each, to see that nothing else is blocked.
            let mut pod = pod.clone();
            let image = format!("example.com/{}:{index}", field.to_lowercase());
            pod["priorityClassName"] = json!(image.replace(['.', '/', ':'], "-"));
            set_pod(&env, &pod).await?;
            env.eventually(DEPLOYMENT, "g", &format!("{field} {index}"), |seen| {
                seen["spec"]["template"]["spec"]["priorityClassName"] == pod["priorityClassName"]
            })
            .await
            .with_context(|| format!("{pod}"))?;
        }
    }
    env.stop().await
}

/// A pod with a value of every kind that managedFields list as a whole.
fn whole_values() -> Value {
    json!({
        "nodeSelector": {"kubernetes.io/arch": "amd64", "disktype": "ssd"},
        "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}],
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
        ]}}},
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": "g", "tier": "x"}},
        }],
        "volumes": [
            {"name": "projected", "projected": {"sources": [
                {"serviceAccountToken": {"path": "t"}},
                {"secret": {"name": "s", "optional": true}},
                {"downwardAPI": {"items": [
                    {"path": "n", "fieldRef": {"fieldPath": "metadata.name"}},
                    {"path": "c", "resourceFieldRef": {"containerName": "g", "resource": "limits.cpu"}},
                ]}},
            ]}},
            {"name": "config", "configMap": {"name": "c", "items": [{"key": "k", "path": "p", "mode": 256}]}},
            {"name": "claim", "ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}},
                "selector": {"matchLabels": {"a": "b"}},
            }}}},
        ],
        "containers": [{
            "name": "g",
            "command": ["run"], "args": ["a", "b"],
            "envFrom": [{"secretRef": {"name": "s", "optional": true}}],
            "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": true}}},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
            ],
            "livenessProbe": {"httpGet": {"port": 8085, "httpHeaders": [{"name": "A", "value": "b"}]}},
        }],
    })
}

/// Removals inside these values, as JSON pointers below the pod's spec.
const REMOVED: [&str; 9] = [
    "/nodeSelector/disktype",
    "/tolerations/0/tolerationSeconds",
    "/tolerations/0/effect",
    "/topologySpreadConstraints/0/labelSelector/matchLabels/tier",
    "/volumes/0/projected/sources/1/secret/optional",
    "/volumes/1/configMap/items/0/mode",
    "/containers/0/envFrom/0/secretRef/optional",
    "/containers/0/env/0/valueFrom/secretKeyRef/optional",
    "/containers/0/args/1",
];

/// What is left of [`REMOVED`] in a Deployment.
fn left(deployment: &Value) -> Vec<&'static str> {
    let text = deployment["spec"]["template"]["spec"].to_string();
    let traces =
        ["disktype", "tolerationSeconds", "NoExecute", "tier", "optional", r#""mode""#, r#"["a","b"]"#];
    traces.into_iter().filter(|trace| text.contains(trace)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_while_no_controller_runs_is_removed_from_the_children() -> Outcome {
    let mut spec = with_pod(&whole_values());
    spec["alerts"] = json!({"labels": {"team": "x"}});
    let env = started("removed", &spec).await?;
    let before = env.get(DEPLOYMENT, "g").await?;
    let env = env
        .restart(async |ns: &Namespace| {
            let pod = "/spec/consumerSpec/podTemplate/spec";
            let removals: Vec<Value> =
                REMOVED.iter().map(|path| json!({"op": "remove", "path": format!("{pod}{path}")})).collect();
            ns.json_patch(GROUP, "g", &json!(removals)).await?;
            ns.json_patch(GROUP, "g", &json!([{"op": "remove", "path": "/spec/alerts/labels"}])).await?;
            Ok(())
        })
        .await?;
    let after = env.eventually(DEPLOYMENT, "g", "nothing is left", |seen| left(seen).is_empty()).await?;
    assert_eq!(generation(&after), generation(&before).map(|before| before + 1));
    let has_label = |rule: &Value| rule.to_string().contains("\"team\":\"x\"");
    env.eventually(RULE, "g", "no label of the team", |rule| !has_label(rule)).await?;
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_while_no_controller_runs_is_changed_in_the_children() -> Outcome {
    let spec = |version: &str, inits: [&str; 2]| {
        let inits = inits.map(|name| json!({"name": name, "image": "i"}));
        let mut spec = with_pod(&json!({"initContainers": inits}));
        spec["consumerSpec"]["env"] = json!([{"name": "VERSION", "value": version}]);
        spec
    };
    let env = started("changed", &spec("1.10", ["first", "second"])).await?;
    apply_once(&env).await?;
    let before = env.get(DEPLOYMENT, "g").await?;
    let env = env
        .restart(async |ns: &Namespace| {
            ns.patch(GROUP, "g", &json!({"spec": spec("1.1", ["second", "first"])})).await?;
            // Without it the pods would have a token.
            let token = "/spec/template/spec/automountServiceAccountToken";
            ns.json_patch(DEPLOYMENT, "g", &json!([{"op": "remove", "path": token}])).await?;
            Ok(())
        })
        .await?;
    let after = env
        .eventually(DEPLOYMENT, "g", "it is as the spec says", |seen| {
            let pod = &seen["spec"]["template"]["spec"];
            let names = |list: &str| -> Vec<Value> {
                pod[list].as_array().into_iter().flatten().map(|item| item["name"].clone()).collect()
            };
            let env = pod["containers"][0]["env"].as_array().into_iter().flatten();
            let version = env.filter(|variable| variable["name"] == "VERSION").map(|found| &found["value"]);
            version.eq([&json!("1.1")])
                && names("initContainers") == ["second", "first"]
                && pod["automountServiceAccountToken"] == false
        })
        .await?;
    // The removal by hand, and the repair.
    assert_eq!(generation(&after), generation(&before).map(|before| before + 2));
    env.stop().await
}

/// Each alone is found, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_order_of_init_containers_is_found_after_a_restart() -> Outcome {
    let inits = |names: [&str; 2]| {
        let inits = names.map(|name| json!({"name": name, "image": "i"}));
        with_pod(&json!({"initContainers": inits}))
    };
    let env = started("reordered", &inits(["first", "second"])).await?;
    apply_once(&env).await?;
    let env = env
        .restart(async |ns: &Namespace| {
            ns.patch(GROUP, "g", &json!({"spec": inits(["second", "first"])})).await?;
            Ok(())
        })
        .await?;
    env.eventually(DEPLOYMENT, "g", "the new order", |seen| {
        seen["spec"]["template"]["spec"]["initContainers"][0]["name"] == "second"
    })
    .await?;
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_while_the_group_is_invalid_is_removed_once_it_is_valid() -> Outcome {
    let env = started("removed-invalid", &with_pod(&json!({"nodeSelector": {"a": "b", "disktype": "ssd"}})))
        .await?;
    let volumes = "/spec/consumerSpec/podTemplate/spec/volumes";
    let invalid = json!([{"name": "v", "hostPath": {"path": "/"}}]);
    env.json_patch(GROUP, "g", &json!([{"op": "add", "path": volumes, "value": invalid}])).await?;
    env.condition_is("g", "Ready", "InvalidSpec").await?;
    // Seen while the group is invalid, so it is not compared.
    env.patch(DEPLOYMENT, "g", &json!({"metadata": {"annotations": {"a": "b"}}})).await?;
    let valid = json!([
        {"op": "remove", "path": volumes},
        {"op": "remove", "path": "/spec/consumerSpec/podTemplate/spec/nodeSelector/disktype"},
    ]);
    env.json_patch(GROUP, "g", &valid).await?;
    env.eventually(DEPLOYMENT, "g", "no disktype", |seen| {
        seen["spec"]["template"]["spec"]["nodeSelector"] == json!({"a": "b"})
    })
    .await?;
    env.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_writes_nothing_whatever_the_api_server_filled_in() -> Outcome {
    let mut spec = with_pod(&whole_values());
    spec["alerts"] = json!({"labels": {"team": "x"}});
    spec["scaling"] = json!({
        "strategy": {"type": "RollingUpdate"},
        "behavior": {"scaleDown": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}},
    });
    let env = started("restarted", &spec).await?;
    let restarted = env.restart(async |_: &Namespace| Ok(())).await?;
    // This repair comes after the first look at every child.
    restarted.drift_is_repaired("g").await?;
    let writes = restarted.faults.log.writes();
    let children: Vec<&String> =
        writes.iter().filter(|write| write.contains("/g?") && !write.contains("/status")).collect();
    assert!(children.len() == 1 && children[0].contains(SERVICE.plural), "{children:?}");
    assert_ne!(condition(&restarted.get(GROUP, "g").await?, "Ready")[1], "ApplyRefused");
    restarted.stop().await
}
