//! The rules for the pods of a group, compared with the API server that would refuse them later: the
//! same fields, in the same words.

use std::sync::Arc;

use anyhow::Result;
use kcg_api::ValidGroup;
use kcg_api::valid::{TopicGrants, parse_group};
use kcg_core::children::ChildKind;
use kcg_core::{ceiling, children};
use kcg_tests::objects::group;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;

cases![
    what_the_api_server_refuses_in_a_pod_is_refused_in_its_words,
    what_server_side_apply_refuses_is_refused,
    what_pod_security_refuses_is_refused_and_what_it_allows_is_allowed,
];

/// The Deployment that the controller would write for a group that was already stored.
fn deployment(name: &str, spec: &Value) -> Result<Value> {
    let parsed = parse_group(group(name, spec));
    let valid = ValidGroup::read_stored(&parsed.group, &TopicGrants::Own, &kcg_api::GroupDefaults::default())
        .map_err(|broken| anyhow::anyhow!("{broken:?}"))?;
    let ceiling = ceiling::resolve(&valid, &[].into(), None);
    let desired = children::desired(&valid, &ceiling);
    let found = desired.into_iter().find(|child| child.kind == ChildKind::Deployment);
    let mut object = found.ok_or_else(|| anyhow::anyhow!("no Deployment"))?.object;
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|field, _| !matches!(field.as_str(), "ownerReferences" | "namespace"));
    }
    Ok(object)
}

/// The field errors in what kubectl prints.
fn field_errors(stderr: &str) -> Vec<String> {
    let lines = stderr.lines().map(|line| line.trim_start_matches("* "));
    let lines = lines
        .filter_map(|line| line.rsplit_once("is invalid: ").map_or(Some(line), |(_, error)| Some(error)));
    lines.filter(|line| line.starts_with("spec.")).map(str::to_owned).collect()
}

/// A pod with a mistake in each field that the webhook checks. The consumer's container is the first
/// one, as in the Deployment, so that the indices are the same.
fn mistaken_pod() -> Value {
    let exec = json!({"exec": {"command": ["true"]}});
    let both = json!({"exec": {"command": ["true"]}, "httpGet": {"port": 80}});
    json!({
        "restartPolicy": "OnFailure", "activeDeadlineSeconds": 5, "dnsPolicy": "Fast",
        "containers": [
            {"name": "kconsumer", "livenessProbe": both, "readinessProbe": {"periodSeconds": -1},
                "startupProbe": {"exec": {}, "successThreshold": 2},
                "lifecycle": {"preStop": both},
                "resources": {"limits": {"cpu": "1", "cpus": "1"}, "requests": {"cpu": "2", "memory": "-1"}},
                "envFrom": [{}]},
            {"name": "Sidecar", "imagePullPolicy": "Sometimes", "terminationMessagePolicy": "x",
                "livenessProbe": {"httpGet": {"port": "way-too-long-name", "scheme": "http"}},
                "readinessProbe": {"tcpSocket": {"port": 0}, "terminationGracePeriodSeconds": 5},
                "ports": [{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2},
                    {"name": "way-too-long-name", "containerPort": 3}, {"name": "-1", "containerPort": 70000, "protocol": "tcp"}],
                "volumeMounts": [{"name": "nothing", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}],
                "env": [{"name": "A=B"}, {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": ""}, "configMapKeyRef": {"name": "c", "key": "k"}}},
                    {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodename"}}}],
                "envFrom": [{"configMapRef": {"name": ""}}]},
            {"name": "other", "image": "i", "env": [{"name": "A", "valueFrom": {}},
                {"name": "B", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}],
        "initContainers": [{"name": "kconsumer", "image": "i"}, {"name": "init", "image": "i", "livenessProbe": exec}],
        "volumes": [{"name": "v"}, {"name": "v"}, {"name": "two", "secret": {"secretName": "s"}, "configMap": {"name": "c"}},
            {"name": "mode", "secret": {"secretName": "s", "defaultMode": 755}}, {"name": "", "configMap": {"name": ""}},
            {"name": "claim", "persistentVolumeClaim": {"claimName": ""}}],
    })
}

async fn what_the_api_server_refuses_in_a_pod_is_refused_in_its_words(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("words").await?;
    let dry = async |object: &Value| {
        ns.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &object.to_string()).await
    };
    let spec = json!({"consumerSpec": {"podTemplate": {"spec": mistaken_pod()}}});
    let ours = dry(&group("kconsumer", &spec)).await?.stderr;
    let theirs = dry(&deployment("kconsumer", &spec)?).await?.stderr;
    let (ours, theirs) = (field_errors(&ours), field_errors(&theirs));
    assert!(ours.len() > 40, "{ours:#?}\n{theirs:#?}");
    let missing: Vec<&String> = ours
        .iter()
        .filter(|error| {
            let error = error.replacen("spec.consumerSpec.podTemplate.", "spec.template.", 1);
            // The webhook adds which container is meant.
            let error = error.split(": container ").next().unwrap_or_default();
            !theirs.iter().any(|their| their == error)
        })
        .collect();
    assert!(missing.is_empty(), "only the webhook says {missing:#?}\nthe API server says {theirs:#?}");
    // What the API server says of these fields, the webhook says, too: but for what follows from
    // another error, and the default of a field that is not written.
    let unsaid: Vec<&String> = theirs
        .iter()
        .filter(|error| {
            let error = error.replacen("spec.template.", "spec.consumerSpec.podTemplate.", 1);
            !ours.iter().any(|our| our.starts_with(&error))
        })
        .collect();
    assert!(unsaid.is_empty(), "only the API server says {unsaid:#?}");

    let both = json!({"scaling": {"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}}});
    let theirs = dry(&deployment("kconsumer", &both)?).await?.stderr;
    assert!(
        theirs.contains("spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy"),
        "{theirs}"
    );
    let ours = dry(&group("kconsumer", &both)).await?.stderr;
    let want =
        "spec.scaling.strategy.rollingUpdate: Forbidden: may not be specified when strategy type is Recreate";
    assert!(ours.contains(want), "{ours}");

    let quantity = json!({"consumerSpec": {"resources": {"limits": {"memory": "256MB"}}}});
    let theirs = dry(&deployment("kconsumer", &quantity)?).await?.stderr;
    assert!(theirs.contains(kcg_api::quantity::GRAMMAR), "{theirs}");
    let ours = dry(&group("kconsumer", &quantity)).await?.stderr;
    assert!(
        ours.contains(
            "spec.consumerSpec.resources.limits[memory]: Invalid value: \"256MB\": quantities must"
        ),
        "{ours}"
    );
    ns.close().await
}

/// The API server stores two items of one key on creation, and then refuses each apply.
async fn what_server_side_apply_refuses_is_refused(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("keys-twice").await?;
    let apply = async |object: &Value| {
        ns.kubectl_with(&["apply", "--server-side", "--dry-run=server", "-f", "-"], &object.to_string()).await
    };
    let cases = [
        (
            json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}),
            "env[1].name: Duplicate value: \"A\"",
        ),
        (
            json!({"ports": [{"containerPort": 80, "name": "a"}, {"containerPort": 80, "name": "b", "protocol": "TCP"}]}),
            "ports[1].containerPort: Duplicate value: 80",
        ),
    ];
    for (fields, want) in cases {
        let mut sidecar = fields;
        sidecar["name"] = json!("sidecar");
        sidecar["image"] = json!("i");
        let spec = json!({"consumerSpec": {"podTemplate": {"spec": {"containers": [sidecar]}}}});
        let theirs = apply(&deployment("kconsumer", &spec)?).await?;
        assert!(theirs.code != 0 && theirs.stderr.contains("duplicate entries for key"), "{}", theirs.stderr);
        let ours = ns.kubectl_create(&group("kconsumer", &spec)).await?;
        let want = format!("spec.consumerSpec.podTemplate.spec.containers[0].{want}");
        assert!(ours.code == 1 && ours.stderr.contains(&want), "{want} in {}", ours.stderr);
    }
    // A port of the consumer that has the name of the operator's: refused before it could roll pods.
    let port =
        json!({"containers": [{"name": "kconsumer", "ports": [{"name": "metrics", "containerPort": 9404}]}]});
    let spec = json!({"consumerSpec": {"podTemplate": {"spec": port}}});
    let ours = ns.kubectl_create(&group("kconsumer", &spec)).await?.stderr;
    let want = "spec.consumerSpec.podTemplate.spec.containers[0].ports[0].name: Duplicate value: \"metrics\"";
    assert!(ours.contains(want), "{ours}");
    ns.close().await
}

async fn what_pod_security_refuses_is_refused_and_what_it_allows_is_allowed(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.namespace_with_a_topic("baseline").await?;
    let name = ns.name.clone();
    ns.kubectl(&["label", "namespace", &name, "pod-security.kubernetes.io/enforce=baseline"]).await?.ok()?;
    let dry = async |object: &Value| {
        ns.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &object.to_string()).await
    };
    let container = |fields: Value| {
        let mut container = json!({"name": "kconsumer"});
        json_patch::merge(&mut container, &fields);
        json!({"containers": [container]})
    };
    let context = |context: Value| container(json!({"securityContext": context}));
    let refused = [
        json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
        json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}),
        json!({"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}),
        json!({"securityContext": {"seLinuxOptions": {"user": "system_u"}}}),
        json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}),
        context(json!({"seLinuxOptions": {"role": "sysadm_r"}})),
        context(json!({"seccompProfile": {"type": "Unconfined"}})),
        container(
            json!({"livenessProbe": {"httpGet": {"host": "169.254.169.254", "port": 80, "path": "/"}}}),
        ),
        container(json!({"lifecycle": {"preStop": {"tcpSocket": {"host": "a", "port": 80}}}})),
    ];
    for pod in refused {
        let spec = json!({"consumerSpec": {"podTemplate": {"spec": pod}}});
        let theirs = dry(&pod_of(&deployment("kconsumer", &spec)?)).await?.stderr;
        assert!(theirs.contains("violates PodSecurity \"baseline"), "{pod}: {theirs}");
        let ours = dry(&group("kconsumer", &spec)).await?;
        assert!(ours.code == 1 && ours.stderr.contains(": Forbidden: "), "{pod}: {}", ours.stderr);
    }
    let allowed = [
        json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1 2 3"}], "seLinuxOptions": {"type": "container_t", "level": "s0"}}}),
        context(json!({"capabilities": {"add": ["NET_BIND_SERVICE", "CHOWN"]}, "procMount": "Default"})),
    ];
    for pod in allowed {
        let spec = json!({"consumerSpec": {"podTemplate": {"spec": pod}}});
        dry(&pod_of(&deployment("kconsumer", &spec)?)).await?.ok()?;
        dry(&group("kconsumer", &spec)).await?.ok()?;
    }
    ns.close().await
}

/// The pod of a Deployment: Pod Security refuses pods, and only warns of a Deployment.
fn pod_of(deployment: &Value) -> Value {
    let template = &deployment["spec"]["template"];
    let mut metadata = template["metadata"].clone();
    metadata["name"] = json!("pod");
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}
