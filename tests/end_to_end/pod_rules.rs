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
    labels_scheduling_and_ids_are_refused_in_the_words_of_the_api_server,
    a_strategy_and_a_behavior_are_refused_in_the_words_of_the_api_server,
    what_the_api_server_refuses_in_a_pod_is_refused_in_its_words,
    what_server_side_apply_refuses_is_refused,
    what_pod_security_refuses_is_refused_and_what_it_allows_is_allowed,
];

/// The Deployment that the controller would write for a group that was already stored.
pub(crate) fn deployment(name: &str, spec: &Value) -> Result<Value> {
    child(name, ChildKind::Deployment, spec)
}

/// The object that the controller would write for a group that was already stored.
fn child(name: &str, kind: ChildKind, spec: &Value) -> Result<Value> {
    let parsed = parse_group(group(name, spec));
    let valid = ValidGroup::read_stored(&parsed.group, &TopicGrants::Own, &kcg_api::GroupDefaults::default())
        .map_err(|broken| anyhow::anyhow!("{broken:?}"))?;
    let ceiling = ceiling::resolve(&valid, &[].into(), None);
    let desired = children::desired(&valid, &ceiling);
    let found = desired.into_iter().find(|child| child.kind == kind);
    let mut object = found.ok_or_else(|| anyhow::anyhow!("no {kind:?}"))?.object;
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

/// Labels and annotations of a pod with a mistake each.
fn mistaken_metadata() -> Value {
    json!({
        "labels": {"team name": "a", "a/b/c": "", "Example.com/a": "b", "note": "not ok", "long": "a".repeat(64)},
        "annotations": {"a note": "any text"},
    })
}

/// A selector with a mistake in each requirement.
fn mistaken_selector() -> Value {
    json!({"matchLabels": {"a": "b c"}, "matchExpressions": [
        {"key": "-", "operator": "In", "values": ["x y"]}, {"key": "b", "operator": "In"},
        {"key": "c", "operator": "Exists", "values": ["x"]}, {"key": "d", "operator": "Gt", "values": ["1"]}]})
}

/// The fields that say where a pod may run, with a mistake each.
fn mistaken_scheduling() -> Value {
    let wanted =
        |operator: &str, values: &[&str]| json!({"key": "zone", "operator": operator, "values": values});
    let term = |key: &str| json!({"topologyKey": key, "labelSelector": mistaken_selector(), "namespaces": ["Upper"]});
    let spread = |skew: i32, key: &str, action: &str| json!({"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": action});
    let mut domains = spread(1, "other", "ScheduleAnyway");
    json_patch::merge(
        &mut domains,
        &json!({"minDomains": 0, "nodeTaintsPolicy": "Maybe", "labelSelector": mistaken_selector()}),
    );
    json!({
        "nodeSelector": {"a b": "c", "d": "e f"},
        "tolerations": [{"key": "a b", "operator": "Exists"}, {"value": "b"}, {"key": "a", "value": "b c"},
            {"key": "a", "operator": "Exists", "value": "b"}, {"key": "a", "operator": "Is"},
            {"key": "a", "operator": "Exists", "effect": "No", "tolerationSeconds": 1}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [
                    wanted("In", &[]), wanted("Exists", &["a"]), wanted("Gt", &[]), wanted("Is", &[]), wanted("In", &["a b"])]}]},
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 101, "preference": {"matchFields": [{"key": "spec.x", "operator": "Exists"}]}}]},
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term("")]},
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0, "podAffinityTerm": term("a b")}]}},
        "topologySpreadConstraints": [spread(0, "zone", "DoNotSchedule"), spread(1, "zone", "DoNotSchedule"), spread(1, "", "Never"), domains],
    })
}

/// The webhook and the API server say the same of a group and of the object made of it.
pub(crate) async fn assert_same_words(
    ns: &kcg_tests::namespace::Namespace,
    spec: &Value,
    least: usize,
    of: impl Fn(&Value) -> Value,
) -> Result<()> {
    let dry = async |object: &Value| {
        ns.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &object.to_string()).await
    };
    let ours = field_errors(&dry(&group("kconsumer", spec)).await?.stderr);
    let object = of(&deployment("kconsumer", spec)?);
    let is_pod = object["kind"] == "Pod";
    let theirs = field_errors(&dry(&object).await?.stderr);
    assert!(ours.len() >= least, "{ours:#?}\n{theirs:#?}");
    // The API server leaves out `metadata` in the path of a template's labels.
    let mut theirs: Vec<String> = theirs
        .into_iter()
        .map(|error| {
            if is_pod {
                return error.replacen("spec.", "spec.consumerSpec.podTemplate.spec.", 1);
            }
            error
                .replacen("spec.template.labels", "spec.template.metadata.labels", 1)
                .replacen("spec.template.annotations", "spec.template.metadata.annotations", 1)
                .replacen("spec.template.", "spec.consumerSpec.podTemplate.", 1)
        })
        .collect();
    // It also leaves out which mount has a wrong field.
    let without_position = |error: &String| {
        let fields = ["subPath", "subPathExpr", "mountPropagation", "recursiveReadOnly"];
        (0..10).fold(error.clone(), |error, index| {
            fields.iter().fold(error, |error, field| {
                error.replace(&format!("volumeMounts[{index}].{field}:"), &format!("volumeMounts.{field}:"))
            })
        })
    };
    theirs = theirs.iter().map(without_position).collect();
    let mut ours: Vec<String> = ours.iter().map(without_position).collect();
    for errors in [&mut ours, &mut theirs] {
        errors.sort();
        errors.dedup();
    }
    let only = |some: &[String], others: &[String]| {
        some.iter().filter(|error| !others.contains(error)).cloned().collect::<Vec<_>>()
    };
    let (only_ours, only_theirs) = (only(&ours, &theirs), only(&theirs, &ours));
    assert!(
        only_ours.is_empty() && only_theirs.is_empty(),
        "only the webhook: {only_ours:#?}\nonly the API server: {only_theirs:#?}"
    );
    Ok(())
}

async fn labels_scheduling_and_ids_are_refused_in_the_words_of_the_api_server(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.namespace_with_a_topic("words-more").await?;
    let template = |template: Value| json!({"consumerSpec": {"podTemplate": template}});
    let as_it_is = |deployment: &Value| deployment.clone();
    assert_same_words(&ns, &template(json!({"metadata": mistaken_metadata()})), 6, as_it_is).await?;
    let all = mistaken_scheduling();
    for (field, least) in
        [("nodeSelector", 2), ("tolerations", 7), ("affinity", 20), ("topologySpreadConstraints", 10)]
    {
        let pod = json!({field: all[field]});
        assert_same_words(&ns, &template(json!({"spec": pod})), least, as_it_is).await?;
    }
    let mount = |path: &str| json!({"name": "v", "mountPath": format!("/{path}"), "subPath": path});
    let numbers = json!({
        "serviceAccountName": "My_Account", "securityContext": {"runAsUser": -1, "runAsGroup": -2, "fsGroup": -3, "supplementalGroups": [-4]},
        "volumes": [{"name": "v"}],
        "containers": [{"name": "kconsumer", "securityContext": {"runAsUser": -5, "runAsGroup": -6}, "volumeMounts": [mount("a/../b"), mount("/c")]}],
    });
    assert_same_words(&ns, &template(json!({"spec": numbers})), 9, as_it_is).await?;
    // What it refuses only in the pods.
    let sidecar = json!({"name": "kconsumer"});
    let pods = json!({"containers": [sidecar, {"name": "side", "image": " i"}]});
    assert_same_words(&ns, &template(json!({"spec": pods})), 1, pod_of).await?;
    ns.close().await
}

async fn a_strategy_and_a_behavior_are_refused_in_the_words_of_the_api_server(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let ns = env.namespace_with_a_topic("words-scaling").await?;
    let dry = async |object: &Value| {
        ns.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &object.to_string()).await
    };
    for (surge, unavailable) in
        [(json!("half"), json!(-1)), (json!(-1), json!("150%")), (json!("half"), json!("150%"))]
    {
        let spec = json!({"scaling": {"strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}});
        let mut ours = field_errors(&dry(&group("kconsumer", &spec)).await?.stderr);
        let theirs = field_errors(&dry(&child("kconsumer", ChildKind::Deployment, &spec)?).await?.stderr);
        let mut theirs: Vec<String> =
            theirs.iter().map(|error| error.replacen("spec.", "spec.scaling.", 1)).collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours.len(), 2, "{ours:#?}");
        assert_eq!(ours, theirs);
    }
    for (tolerance, least) in
        [(json!("abc"), kcg_api::quantity::GRAMMAR), (json!("-1"), "greater than or equal to 0")]
    {
        let spec = json!({"scaling": {"behavior": {"scaleUp": {"tolerance": tolerance}}}});
        let ours = dry(&group("kconsumer", &spec)).await?.stderr;
        assert!(ours.contains("spec.scaling.behavior.scaleUp.tolerance: Invalid value: "), "{ours}");
        assert!(ours.contains(least), "{ours}");
        let theirs = dry(&child("kconsumer", ChildKind::HorizontalPodAutoscaler, &spec)?).await?.stderr;
        assert!(theirs.contains(least), "{theirs}");
    }
    ns.close().await
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
        (
            json!({"resources": {"claims": [{"name": "gpu", "request": "a"}, {"name": "gpu", "request": "b"}]}}),
            "resources.claims[1].name: Duplicate value: \"gpu\"",
        ),
        (
            json!({"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1, 1]}}]}),
            "restartPolicyRules[0].exitCodes.values[1]: Duplicate value: 1",
        ),
        (
            json!({"volumeMounts": [{"name": "v", "mountPath": "/v", "bindMountOptions": ["nodev", "nodev"]}]}),
            "volumeMounts[0].bindMountOptions[1]: Duplicate value: \"nodev\"",
        ),
    ];
    for (fields, want) in cases {
        let mut sidecar = fields;
        sidecar["name"] = json!("sidecar");
        sidecar["image"] = json!("i");
        let claims = json!([{"name": "gpu", "resourceClaimName": "gpu"}]);
        let pod = json!({"containers": [sidecar], "volumes": [{"name": "v"}], "resourceClaims": claims});
        let spec = json!({"consumerSpec": {"podTemplate": {"spec": pod}}});
        let theirs = apply(&deployment("kconsumer", &spec)?).await?;
        assert!(theirs.code != 0 && theirs.stderr.contains("duplicate entries for key"), "{}", theirs.stderr);
        let ours = ns.kubectl_create(&group("kconsumer", &spec)).await?;
        let want = format!("spec.consumerSpec.podTemplate.spec.containers[0].{want}");
        assert!(ours.code == 1 && ours.stderr.contains(&want), "{want} in {}", ours.stderr);
    }
    let responders = json!([{"name": "a.io/x", "priority": 1}, {"name": "a.io/x", "priority": 2}]);
    let spec = json!({"consumerSpec": {"podTemplate": {"spec": {"evictionResponders": responders}}}});
    let theirs = apply(&deployment("kconsumer", &spec)?).await?;
    assert!(theirs.stderr.contains("duplicate entries for key"), "{}", theirs.stderr);
    let ours = ns.kubectl_create(&group("kconsumer", &spec)).await?.stderr;
    assert!(ours.contains("evictionResponders[1].name: Duplicate value: \"a.io/x\""), "{ours}");
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
pub(crate) fn pod_of(deployment: &Value) -> Value {
    let template = &deployment["spec"]["template"];
    let mut metadata = template["metadata"].clone();
    metadata["name"] = json!("pod");
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}
