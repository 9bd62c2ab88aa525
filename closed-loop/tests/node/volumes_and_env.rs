//! The environment of a pod: its address, its environment, its files.

use serde_json::{Value, json};

use crate::harness::{Harness, Outcome, pod, spec};

fn config_map(namespace: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"namespace": namespace, "name": "config"}, "data": data,
    })
}

/// The spec with a volume, mounted read-only or not.
fn mounting(mut spec: Value, mut volume: Value, place: &str) -> Value {
    volume["name"] = json!("volume");
    spec["volumes"] = json!([volume]);
    spec["containers"][0]["volumeMounts"] = json!([{"name": "volume", "mountPath": place}]);
    spec
}

pub async fn a_service_has_the_pods_addresses_once_their_probe_passes(harness: &Harness) -> Outcome {
    let namespace = "addresses";
    harness.namespace(namespace).await?;
    let template =
        mounting(spec(0, "/file/config/ready"), json!({"configMap": {"name": "config"}}), "/config");
    let labels = json!({"app": "web"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": namespace, "name": "web"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template},
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": namespace, "name": "web"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": "http"}]},
    });
    harness.apply(&[config_map(namespace, &json!({"other": "x"})), service, deployment]).await?;
    let endpoints = |ready: bool| {
        let path = format!("{{.items[*].endpoints[?(@.conditions.ready=={ready})].addresses[0]}}");
        format!("-o=jsonpath={path}")
    };
    let both = |seen: &str| seen.split_whitespace().count() == 2;
    harness.sees(namespace, &["endpointslices", &endpoints(false)], both).await?;
    harness.apply(&[config_map(namespace, &json!({"ready": "yes"}))]).await?;
    let routed = harness.sees(namespace, &["endpointslices", &endpoints(true)], both).await?;
    let of_pods =
        harness.kubectl(&["get", "-n", namespace, "pods", "-o=jsonpath={.items[*].status.podIP}"]).await?;
    let sorted = |text: &str| {
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words.sort();
        words.dedup();
        words
    };
    assert_eq!(sorted(&routed), sorted(&of_pods));
    assert_eq!(sorted(&routed).len(), 2, "an address belongs to one pod: {routed}");
    Ok(())
}

pub async fn a_pod_gets_its_environment_files_and_token(harness: &Harness) -> Outcome {
    let namespace = "surroundings";
    harness.namespace(namespace).await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": namespace, "name": "secret"},
        "stringData": {"password": "swordfish"},
    });
    let volume =
        json!({"secret": {"secretName": "secret", "items": [{"key": "password", "path": "deep/word"}]}});
    let mut wanted = mounting(spec(0, "/healthz"), volume, "/secret");
    wanted["containers"][0]["envFrom"] = json!([{"prefix": "C_", "configMapRef": {"name": "config"}}]);
    wanted["containers"][0]["env"] = json!([
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "password"}}},
        {"name": "ABSENT", "valueFrom": {"secretKeyRef": {"name": "none", "key": "none", "optional": true}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "ALL", "value": "$(POD) $(C_color) $(UNKNOWN) $$(POD)"},
    ]);
    harness
        .apply(&[config_map(namespace, &json!({"color": "blue"})), secret, pod(namespace, "one", &wanted)])
        .await?;
    harness.ready(namespace, "one").await?;
    let address =
        harness.kubectl(&["get", "-n", namespace, "pod", "one", "-o=jsonpath={.status.podIP}"]).await?;
    for (path, want) in [
        ("env/SECRET", "swordfish"),
        ("env/ALL", "one blue $(UNKNOWN) $(POD)"),
        ("env/HOSTNAME", "one"),
        ("env/ADDRESS", address.as_str()),
        ("env/KUBERNETES_SERVICE_HOST", "10.244.0.1"),
        ("file/secret/deep/word", "swordfish"),
        ("file/var/run/secrets/kubernetes.io/serviceaccount/namespace", namespace),
    ] {
        assert_eq!(harness.ask(namespace, "one", path).await?, want, "{path}");
    }
    assert!(harness.ask(namespace, "one", "env/ABSENT").await.is_err());
    let token =
        harness.ask(namespace, "one", "file/var/run/secrets/kubernetes.io/serviceaccount/token").await?;
    let who =
        harness.kubectl(&["auth", "whoami", "--token", &token, "-o=jsonpath={.status.userInfo}"]).await?;
    assert!(who.contains("system:serviceaccount:surroundings:default"), "{who}");
    assert!(who.contains(r#""authentication.kubernetes.io/pod-name":["one"]"#), "bound to the pod: {who}");
    Ok(())
}

pub async fn a_changed_config_map_is_updated_in_the_pod(harness: &Harness) -> Outcome {
    let namespace = "changes";
    harness.namespace(namespace).await?;
    let wanted = mounting(spec(0, "/healthz"), json!({"configMap": {"name": "config"}}), "/config");
    harness
        .apply(&[config_map(namespace, &json!({"color": "blue"})), pod(namespace, "one", &wanted)])
        .await?;
    harness.ready(namespace, "one").await?;
    assert_eq!(harness.ask(namespace, "one", "file/config/color").await?, "blue");
    harness.apply(&[config_map(namespace, &json!({"color": "red"}))]).await?;
    let path = format!("/api/v1/namespaces/{namespace}/pods/one:8080/proxy/file/config/color");
    harness.sees(namespace, &["--raw", &path], |color| color == "red").await?;
    Ok(())
}

pub async fn volumes_are_mounted_next_to_and_over_existing_files(harness: &Harness) -> Outcome {
    let namespace = "places";
    let link = std::path::Path::new("/etc/os-release");
    assert!(link.is_symlink(), "what this test is about: {} leads elsewhere", link.display());
    let own = std::fs::read_to_string(link)?;
    harness.namespace(namespace).await?;
    let mut wanted = spec(0, "/healthz");
    wanted["volumes"] =
        json!([{"name": "shown", "configMap": {"name": "config"}}, {"name": "own", "emptyDir": {}}]);
    wanted["containers"][0]["volumeMounts"] = json!([
        {"name": "shown", "mountPath": "/etc/kcg-devcluster-test/own/inner"},
        {"name": "own", "mountPath": "/etc/kcg-devcluster-test/own"},
        {"name": "shown", "mountPath": "/etc/os-release", "subPath": "color"},
    ]);
    harness
        .apply(&[config_map(namespace, &json!({"color": "blue"})), pod(namespace, "one", &wanted)])
        .await?;
    harness.ready(namespace, "one").await?;
    for path in ["file/etc/kcg-devcluster-test/own/inner/color", "file/etc/os-release"] {
        assert_eq!(harness.ask(namespace, "one", path).await?, "blue", "{path}");
    }
    assert_eq!(harness.ask(namespace, "one", "write/etc/kcg-devcluster-test/own/file").await?, "yes");
    assert_eq!(std::fs::read_to_string(link)?, own, "this computer's own");
    Ok(())
}

pub async fn a_pod_can_write_only_to_its_own_files(harness: &Harness) -> Outcome {
    let namespace = "writes";
    harness.namespace(namespace).await?;
    let own = mounting(spec(0, "/healthz"), json!({"emptyDir": {}}), "/own");
    let shown = mounting(spec(0, "/healthz"), json!({"configMap": {"name": "config"}}), "/config");
    harness
        .apply(&[
            config_map(namespace, &json!({"color": "blue"})),
            pod(namespace, "own", &own),
            pod(namespace, "shown", &shown),
        ])
        .await?;
    for name in ["own", "shown"] {
        harness.ready(namespace, name).await?;
    }
    for (name, path, may) in [
        ("own", "write/own/file", true),
        ("own", "write/tmp/file", true),
        ("own", "write/etc/kcg-devcluster-test", false),
        ("own", "write/usr/kcg-devcluster-test", false),
        ("shown", "write/config/file", false),
    ] {
        let answer = harness.ask(namespace, name, path).await?;
        assert_eq!(answer == "yes", may, "{path}: {answer}");
    }
    Ok(())
}
