//! Pods with a mistake in each field that only Kubernetes' own validation knows, and a pod without
//! one that uses as many of these fields as it can: the webhook and the API server must agree about
//! both.

use std::sync::Arc;

use anyhow::Result;
use kcg_tests::legal_pod::legal_pod;
use serde_json::{Value, json};

use crate::cases::cases;
use crate::env::SharedEnv;
use crate::pod_rules::{assert_same_words, deployment};

cases![
    volumes_are_refused_in_the_words_of_the_api_server,
    claims_of_ephemeral_volumes_are_refused_in_the_words_of_the_api_server,
    mounts_and_devices_are_refused_in_the_words_of_the_api_server,
    sources_of_variables_are_refused_in_the_words_of_the_api_server,
    hooks_and_probes_are_refused_in_the_words_of_the_api_server,
    resources_are_refused_in_the_words_of_the_api_server,
    fields_of_the_pod_are_refused_in_the_words_of_the_api_server,
    security_contexts_are_refused_in_the_words_of_the_api_server,
    terms_of_the_scheduler_are_refused_in_the_words_of_the_api_server,
    a_pod_that_the_api_server_accepts_is_accepted,
];

/// The spec of a group with this pod.
fn spec(pod: &Value) -> Value {
    json!({"consumerSpec": {"podTemplate": {"spec": pod}}})
}

fn as_it_is(deployment: &Value) -> Value {
    deployment.clone()
}

/// The consumer's container with these fields.
fn consumer(fields: &Value) -> Value {
    let mut container = json!({"name": "kconsumer"});
    json_patch::merge(&mut container, fields);
    container
}

async fn assert_refused(env: &SharedEnv, namespace: &str, pods: &[(Value, usize)]) -> Result<()> {
    let ns = env.namespace_with_a_topic(namespace).await?;
    for (pod, least) in pods {
        assert_same_words(&ns, &spec(pod), *least, as_it_is).await?;
    }
    ns.close().await
}

async fn volumes_are_refused_in_the_words_of_the_api_server(env: Arc<SharedEnv>) -> Result<()> {
    let projected = json!([
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 300, "audience": "vault"}},
        {"serviceAccountToken": {"path": "", "expirationSeconds": 5_000_000_000_i64}},
        {"serviceAccountToken": {"path": "/token"}},
        {"secret": {"name": "", "items": [{"key": "", "path": "/a"}]}, "configMap": {"name": "c", "items": [{"key": "k", "path": "same"}]}},
        {"configMap": {"name": "", "items": [{"key": "k", "path": "same", "mode": 888}]}},
        {"downwardAPI": {"items": [
            {"path": "a/../x"}, {"path": "..x", "fieldRef": {"fieldPath": "spec.nodeName"}},
            {"path": "same", "resourceFieldRef": {"resource": "limits.cpu"}},
            {"path": "r", "resourceFieldRef": {"containerName": "kconsumer", "resource": "limit.cpu"}}]}},
    ]);
    let sources =
        json!({"volumes": [{"name": "projected", "projected": {"defaultMode": 888, "sources": projected}}]});
    let files = json!({"volumes": [
        {"name": "secret", "secret": {"secretName": "s", "defaultMode": -1, "items": [
            {"key": "a", "path": "/abs"}, {"key": "", "path": ""}, {"key": "b", "path": "a/../b", "mode": -1}]}},
        {"name": "config", "configMap": {"name": "c", "items": [{"key": "app.yaml", "path": "/../app.yaml"}, {"key": "x", "path": "..data"}]}},
        {"name": "api", "downwardAPI": {"defaultMode": 888, "items": [
            {"path": "/labels", "fieldRef": {"fieldPath": "metadata.labels"}}, {"path": "x"},
            {"path": "cpu", "resourceFieldRef": {"containerName": "kconsumer", "resource": "limits.cpu", "divisor": "2"}},
            {"path": "ip", "fieldRef": {"fieldPath": "status.podIP"}, "mode": 888}]}},
    ]});
    let others = json!({"volumes": [
        {"name": "tmp", "emptyDir": {"sizeLimit": "-1Gi"}},
        {"name": "nfs", "nfs": {"server": "", "path": "data"}}, {"name": "nfs-2", "nfs": {"server": "s", "path": ""}},
        {"name": "csi", "csi": {"driver": ""}}, {"name": "csi-2", "csi": {"driver": "a b", "nodePublishSecretRef": {"name": ""}}},
        {"name": "csi-3", "csi": {"driver": "secrets-store.csi.k8s.io", "nodePublishSecretRef": {"name": "My_Secret"}}},
        {"name": "image", "image": {"reference": "", "pullPolicy": "Sometimes"}},
    ]});
    assert_refused(&env, "words-volumes", &[(sources, 15), (files, 10), (others, 8)]).await
}

async fn claims_of_ephemeral_volumes_are_refused_in_the_words_of_the_api_server(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let claim =
        |name: &str, template: Value| json!({"name": name, "ephemeral": {"volumeClaimTemplate": template}});
    let storage = |size: &str| json!({"requests": {"storage": size}});
    let pod = json!({"volumes": [
        {"name": "none", "ephemeral": {}},
        claim("modes", json!({"spec": {"resources": storage("1Gi")}})),
        claim("words", json!({"metadata": {"name": "x", "labels": {"a b": "c"}, "annotations": {"a/b/c": ""}},
            "spec": {"accessModes": ["ReadWrite"], "storageClassName": "Fast", "volumeMode": "Disk", "resources": storage("0")}})),
        claim("pod", json!({"spec": {"accessModes": ["ReadWriteOnce", "ReadWriteOncePod"]}})),
        claim("source", json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": storage("-1Gi"), "volumeAttributesClassName": "Fast",
            "selector": {"matchLabels": {"a": "b c"}}, "dataSource": {"kind": "VolumeSnapshot", "name": ""}}})),
    ]});
    assert_refused(&env, "words-claims", &[(pod, 12)]).await
}

async fn mounts_and_devices_are_refused_in_the_words_of_the_api_server(env: Arc<SharedEnv>) -> Result<()> {
    let mounts = json!([
        {"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}, {"name": "v", "mountPath": "/b", "mountPropagation": "Both"},
        {"name": "v", "mountPath": "/c", "recursiveReadOnly": "Enabled"}, {"name": "v", "mountPath": "/d", "recursiveReadOnly": "Yes"},
        {"name": "v", "mountPath": "/e", "readOnly": true, "recursiveReadOnly": "Enabled", "mountPropagation": "HostToContainer"},
        {"name": "v", "mountPath": "/f", "subPath": "/../x"}, {"name": "v", "mountPath": "/g", "subPath": "a", "subPathExpr": "b"}]);
    let mounts =
        json!({"volumes": [{"name": "v"}], "containers": [consumer(&json!({"volumeMounts": mounts}))]});
    let devices = json!([{"name": "v", "devicePath": "/dev/a"}, {"name": "claim", "devicePath": ""}, {"name": "claim", "devicePath": "../x"},
        {"name": "other", "devicePath": "/data"}, {"name": "", "devicePath": "/dev/a"}, {"name": "nothing", "devicePath": "/dev/c"}]);
    let claim = |name: &str| json!({"name": name, "persistentVolumeClaim": {"claimName": "c"}});
    let fields = json!({"volumeDevices": devices, "volumeMounts": [{"name": "other", "mountPath": "/other"}, {"name": "v", "mountPath": "/data"}]});
    let devices = json!({"volumes": [{"name": "v"}, claim("claim"), claim("other")], "containers": [consumer(&fields)]});
    let users = json!({"hostUsers": false, "volumes": [claim("claim")],
        "containers": [consumer(&json!({"volumeDevices": [{"name": "claim", "devicePath": "/dev/a"}]}))]});
    assert_refused(&env, "words-mounts", &[(mounts, 7), (devices, 9), (users, 1)]).await
}

async fn sources_of_variables_are_refused_in_the_words_of_the_api_server(env: Arc<SharedEnv>) -> Result<()> {
    let resource = |resource: &str, divisor: &str| json!({"resourceFieldRef": {"resource": resource, "divisor": divisor}});
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let sources = [
        resource("limit.memory", "0"),
        resource("", "1"),
        resource("limits.cpu", "1Ki"),
        resource("requests.memory", "2Mi"),
        resource("requests.memory", "1e3"),
        resource("limits.ephemeral-storage", "1m"),
        resource("limits.hugepages-2Mi", "3"),
        field("status.phase"),
        field("metadata.labels"),
        field("metadata.labels['a b']"),
        field("metadata.annotations['a/b/c']"),
        field("metadata.name['x']"),
        field(""),
        json!({"fieldRef": {"apiVersion": "v2", "fieldPath": "metadata.name"}}),
        json!({"secretKeyRef": {"name": "My_Secret", "key": "a b"}}),
        json!({"configMapKeyRef": {"name": "My_Config", "key": ".."}}),
        json!({"configMapKeyRef": {"name": "c", "key": "..x"}}),
        json!({"fileKeyRef": {"key": "a=b", "volumeName": "Nothing", "path": "a/../x"}}),
        json!({"fileKeyRef": {"key": "", "volumeName": "", "path": ""}}),
        json!({"fileKeyRef": {"key": "a", "volumeName": "claim", "path": "x"}}),
    ];
    let variables = |sources: &[Value]| {
        let named = sources.iter().enumerate();
        named
            .map(|(index, source)| json!({"name": format!("V{index}"), "valueFrom": source}))
            .collect::<Vec<_>>()
    };
    let env_from = json!([{"secretRef": {"name": "My_Secret"}}, {"configMapRef": {"name": "My_Config"}}]);
    let fields = json!({"env": variables(&sources), "envFrom": env_from});
    let pod = json!({"volumes": [{"name": "claim", "persistentVolumeClaim": {"claimName": "c"}}], "containers": [
        consumer(&json!({})), {"name": "sidecar", "image": "i", "env": fields["env"], "envFrom": fields["envFrom"]}]});
    assert_refused(&env, "words-env", &[(pod, 24)]).await
}

async fn hooks_and_probes_are_refused_in_the_words_of_the_api_server(env: Arc<SharedEnv>) -> Result<()> {
    let sleep = |seconds: i64| json!({"sleep": {"seconds": seconds}});
    let lifecycle =
        |before: i64, after: i64| json!({"lifecycle": {"postStart": sleep(before), "preStop": sleep(after)}});
    // The operator gives a pod 60 s to end.
    let ours = json!({"containers": [consumer(&lifecycle(-1, 61))]});
    let own = json!({"terminationGracePeriodSeconds": 120, "containers": [consumer(&lifecycle(120, 121))]});
    let http = |fields: Value| {
        let mut get = json!({"port": 80});
        json_patch::merge(&mut get, &fields);
        json!({"httpGet": get})
    };
    let probes = json!({"containers": [consumer(&json!({
        "livenessProbe": http(json!({"httpHeaders": [{"name": "a b", "value": "c"}, {"name": "", "value": "c"}]})),
        "readinessProbe": http(json!({"scheme": "https"})),
        "startupProbe": {"grpc": {"port": 0}, "failureThreshold": -1, "terminationGracePeriodSeconds": 0}}))]});
    let policy = |policy: &str| json!({"name": policy.to_lowercase(), "image": "i", "restartPolicy": policy});
    let mut rules = policy("Never");
    rules["restartPolicyRules"] =
        json!([{"action": "Stop"}, {"action": "Restart", "exitCodes": {"operator": "Is", "values": [1]}}]);
    let mut resized = policy("OnFailure");
    resized["resizePolicy"] = json!([{"resourceName": "disk", "restartPolicy": "Maybe"}, {"resourceName": "cpu", "restartPolicy": "NotRequired"},
        {"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
    let mut native = policy("Always");
    json_patch::merge(&mut native, &lifecycle(1, 61));
    let without = json!({"name": "without", "image": "i", "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]});
    let restarts = json!({"containers": [consumer(&json!({"restartPolicy": "Sometimes"}))], "initContainers": [policy("Sometimes"), rules, resized, native, without]});
    let pods = [(ours, 2), (own, 1), (probes, 6), (restarts, 10)];
    assert_refused(&env, "words-probes", &pods).await
}

async fn resources_are_refused_in_the_words_of_the_api_server(env: Arc<SharedEnv>) -> Result<()> {
    let container =
        |name: &str, resources: Value| json!({"name": name, "image": "i", "resources": resources});
    let pod = json!({"containers": [
        consumer(&json!({"resources": {"requests": {"nvidia.com/gpu": 1, "hugepages-2Mi": "4Mi"}}})),
        container("gpu", json!({"limits": {"nvidia.com/gpu": "500m"}})),
        container("more", json!({"limits": {"nvidia.com/gpu": 2, "cpu": "1"}, "requests": {"nvidia.com/gpu": 1, "cpu": "2"}})),
        container("huge", json!({"limits": {"hugepages-2Mi": "3Mi"}})),
        container("names", json!({"limits": {"a b/c": 1, "requests.example.com/c": 1, "kubernetes.io/c": "100m", "pods": 1, "a/b/c": 1, "Cpu": 1}})),
        container("claims", json!({"claims": [{"name": "none"}, {"name": ""}, {"name": "none"}]})),
    ]});
    let claims = json!({"resourceClaims": [{"name": "gpu", "resourceClaimName": "Upper"}, {"name": "gpu", "resourceClaimTemplateName": "a b"}, {"name": "", "resourceClaimName": "c"}],
        "containers": [consumer(&json!({"resources": {"claims": [{"name": "gpu"}, {"name": "gpu", "request": "a"}, {"name": "other", "request": "A"}]}}))]});
    let whole = json!({"resources": {"limits": {"cpu": "1", "nvidia.com/gpu": 1}, "requests": {"cpu": "2"}},
        "containers": [consumer(&json!({"resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}}))]});
    assert_refused(&env, "words-resources", &[(pod, 12), (claims, 6), (whole, 3)]).await
}

async fn fields_of_the_pod_are_refused_in_the_words_of_the_api_server(env: Arc<SharedEnv>) -> Result<()> {
    let names = json!({"hostname": "A", "subdomain": "b.c", "hostnameOverride": "A_B", "setHostnameAsFQDN": true, "priorityClassName": "Upper",
        "runtimeClassName": "Upper", "preemptionPolicy": "Sometimes", "readinessGates": [{"conditionType": "a b"}],
        "schedulingGates": [{"name": "a b"}, {"name": "x"}, {"name": "x"}], "os": {"name": "dos"}, "imagePullSecrets": [{"name": "s"}]});
    let network = json!({
        "hostAliases": [{"ip": "kafka-0", "hostnames": ["b_0", "b0"]}, {"ip": "10.0.0.300"}, {"ip": ""}],
        "dnsConfig": {"nameservers": ["a", "1.1.1.1", "1.1.1.2", "::1"], "searches": ["a b", "ok_1.example.com.", "."], "options": [{"name": ""}]}});
    let no_nameserver = json!({"dnsPolicy": "None", "dnsConfig": {"searches": ["a b"]}});
    let windows = json!({"os": {"name": "linux"}, "securityContext": {"windowsOptions": {"runAsUserName": "a"}},
        "containers": [consumer(&json!({"securityContext": {"windowsOptions": {"runAsUserName": "a"}}}))]});
    let pods =
        [(names, 11), (network, 6), (json!({"dnsPolicy": "None"}), 1), (no_nameserver, 1), (windows, 2)];
    assert_refused(&env, "words-pod", &pods).await?;
    let ns = env.namespace_with_a_topic("words-notes").await?;
    let annotations = json!({"controller.kubernetes.io/pod-deletion-cost": "many", "container.apparmor.security.beta.kubernetes.io/other": "runtime/default"});
    let template = json!({"consumerSpec": {"podTemplate": {"metadata": {"annotations": annotations}}}});
    assert_same_words(&ns, &template, 2, as_it_is).await?;
    ns.close().await
}

async fn security_contexts_are_refused_in_the_words_of_the_api_server(env: Arc<SharedEnv>) -> Result<()> {
    let localhost = |profile: Value| {
        let mut all = json!({"type": "Localhost"});
        json_patch::merge(&mut all, &profile);
        all
    };
    let sysctl = |name: &str| json!({"name": name, "value": "1"});
    let contexts = |pod: Value, container: Value| json!({"securityContext": pod, "containers": [consumer(&json!({"securityContext": container}))]});
    let missing = contexts(
        json!({"fsGroupChangePolicy": "No", "supplementalGroupsPolicy": "All", "seLinuxChangePolicy": "No",
            "seccompProfile": localhost(json!({})), "appArmorProfile": localhost(json!({})),
            "sysctls": [sysctl("net.ipv4.tcp_rmem"), sysctl("net.ipv4.tcp_rmem")]}),
        json!({"seccompProfile": localhost(json!({"localhostProfile": "/a/../b"})), "appArmorProfile": localhost(json!({"localhostProfile": " a"}))}),
    );
    let extra = contexts(
        json!({"appArmorProfile": {"type": "RuntimeDefault", "localhostProfile": "a"}}),
        json!({"appArmorProfile": localhost(json!({"localhostProfile": ""}))}),
    );
    let user = |name: &str| json!({"windowsOptions": {"runAsUserName": name}});
    let windows = contexts(
        json!({"windowsOptions": {"runAsUserName": "-_.?\\.", "gmsaCredentialSpecName": "A b", "gmsaCredentialSpec": ""}}),
        user("a\\b\\c"),
    );
    let users = contexts(user(""), user(&format!("{}\\@", "d".repeat(256))));
    let pods = [(missing, 9), (extra, 2), (windows, 5), (users, 4)];
    assert_refused(&env, "words-security", &pods).await
}

async fn terms_of_the_scheduler_are_refused_in_the_words_of_the_api_server(
    env: Arc<SharedEnv>,
) -> Result<()> {
    let selector =
        json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]});
    let terms = json!([
        {"topologyKey": "zone", "matchLabelKeys": ["a b"]},
        {"topologyKey": "zone", "labelSelector": selector, "matchLabelKeys": ["x", "a b"], "mismatchLabelKeys": ["x", "-"]}]);
    let spread = |fields: Value| {
        let mut all = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
        json_patch::merge(&mut all, &fields);
        all
    };
    let pod = json!({
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["Node_1"]}]}]}},
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}},
        "topologySpreadConstraints": [spread(json!({"matchLabelKeys": ["pod-template-hash"]})),
            spread(json!({"topologyKey": "host", "labelSelector": selector, "matchLabelKeys": ["a b"]}))]});
    assert_refused(&env, "words-terms", &[(pod, 7)]).await
}

async fn a_pod_that_the_api_server_accepts_is_accepted(env: Arc<SharedEnv>) -> Result<()> {
    let ns = env.namespace_with_a_topic("words-none").await?;
    let dry = async |object: &Value| {
        ns.kubectl_with(&["create", "--dry-run=server", "-f", "-"], &object.to_string()).await
    };
    // Limits of consumerSpec and requests of the overlay, and the other way round, are one container's.
    let split = json!({"consumerSpec": {
        "resources": {"requests": {"nvidia.com/gpu": 1, "cpu": "2"}, "limits": {"cpu": "1"}},
        "podTemplate": {"spec": {"containers": [consumer(&json!({"resources": {"limits": {"nvidia.com/gpu": 1, "cpu": "4"}}}))]}}}});
    for spec in [spec(&legal_pod("kconsumer")), split] {
        dry(&deployment("kconsumer", &spec)?).await?.ok()?;
        dry(&kcg_tests::objects::group("kconsumer", &spec)).await?.ok()?;
    }
    ns.close().await
}
