//! What docs/operations.md says about kustomizations on top of an overlay, and the component for
//! kustomizations with groups.

use kcg_tests::{Outcome, deploy_copy, repository};
use serde_json::{Value, json};

use crate::kustomize::{build, of_kind, on_top};

/// The patches of docs/operations.md: its YAML blocks that begin with `patches:`.
fn documented_patches() -> Outcome<Vec<Value>> {
    let text = std::fs::read_to_string(repository("docs/operations.md"))?;
    let blocks = text.split("\n```yaml\n").skip(1).filter_map(|block| block.split("\n```").next());
    let mut patches = Vec::new();
    for block in blocks.filter(|block| block.starts_with("patches:")) {
        let read: Value = serde_saphyr::from_str(block)?;
        patches.push(read["patches"].clone());
    }
    Ok(patches)
}

#[tokio::test]
async fn the_patches_of_the_docs_change_what_they_say() -> Outcome {
    let patches = documented_patches()?;
    assert_eq!(patches.len(), 5, "{patches:?}");
    let all: Vec<Value> = patches.into_iter().filter_map(|list| list.as_array().cloned()).flatten().collect();
    for overlay in ["cluster/cert-manager", "namespaced/self-managed"] {
        let own = json!({
            "resources": [format!("deploy/overlays/{overlay}")],
            "components": ["deploy/components/kube-prometheus-stack", "deploy/components/host-network"],
            "patches": all,
        });
        let objects = on_top(&own).await?;
        assert_eq!(of_kind(&objects, "Namespace").count(), 0);
        for kind in ["PodMonitor", "PrometheusRule"] {
            let object = of_kind(&objects, kind).next().ok_or(kind)?;
            assert_eq!(object["metadata"]["labels"]["release"], "prometheus", "{kind}");
        }
        let named = |kind: &'static str| {
            let name = "kconsumer-group-operator-webhook";
            of_kind(&objects, kind).find(|object| object["metadata"]["name"] == name).ok_or(kind)
        };
        let container = &named("Deployment")?["spec"]["template"]["spec"]["containers"][0];
        let args = container["args"].as_array().ok_or("no args")?;
        let addresses: Vec<&Value> = args
            .iter()
            .filter(|flag| flag.as_str().is_some_and(|flag| flag.starts_with("--webhook-bind-address")))
            .collect();
        assert_eq!(addresses, ["--webhook-bind-address=:10250"]);
        assert_eq!(args.len(), if overlay.starts_with("namespaced") { 8 } else { 7 }, "{args:?}");
        for flag in ["--metrics-bind-address=:9080", "--health-probe-bind-address=:9081"] {
            assert!(args.contains(&json!(flag)), "{args:?}");
        }
        let ports = json!([
            {"name": "admission", "containerPort": 10250},
            {"name": "metrics", "containerPort": 9080},
            {"name": "probes", "containerPort": 9081},
        ]);
        assert_eq!(container["ports"], ports);
        assert_eq!(named("NetworkPolicy")?["spec"]["ingress"][0]["ports"], json!([{"port": 10250}]));
        let policy = of_kind(&objects, "NetworkPolicy")
            .find(|object| object["metadata"]["name"] == "kconsumer-group-operator");
        let spec = &policy.ok_or("no policy")?["spec"];
        let selected = json!({"matchLabels": {"kubernetes.io/metadata.name": "observability"}});
        assert_eq!(spec["ingress"][0]["from"], json!([{"namespaceSelector": selected}]));
        assert_eq!(spec["egress"][0], json!({"ports": [{"port": 16443}]}));
    }
    Ok(())
}

#[tokio::test]
async fn webhook_configurations_follow_another_namespace_only_with_the_transformer() -> Outcome {
    for (transformers, name) in
        [(json!(["deploy/transformers/namespace"]), "ops"), (json!([]), "kconsumer-group-operator")]
    {
        let own = json!({
            "namespace": "ops",
            "resources": ["deploy/overlays/cluster/self-managed"],
            "transformers": transformers,
        });
        let objects = on_top(&own).await?;
        for registration in objects.iter().filter(|object| object.get("webhooks").is_some()) {
            assert_eq!(registration["metadata"]["name"], name);
            assert_eq!(registration["webhooks"][0]["clientConfig"]["service"]["namespace"], "ops");
        }
        // The controller writes the CA bundle of the configurations of that name.
        let env = of_kind(&objects, "Deployment").find_map(|deployment| {
            let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array()?.clone();
            env.into_iter().find(|variable| variable["name"] == "WEBHOOK_CONFIGURATION_NAME")
        });
        assert_eq!(env.ok_or("no variable")?["value"], name);
        let granted = of_kind(&objects, "ClusterRole")
            .flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default())
            .find(|rule| rule["apiGroups"] == json!(["admissionregistration.k8s.io"]));
        assert_eq!(granted.ok_or("no rule")?["resourceNames"], json!([name]));
    }
    Ok(())
}

/// How a group's endpoints name Secrets and ConfigMaps, each by its key.
fn scrape(tls_by_config_map: bool) -> Value {
    let key = |name: &str| json!({"name": name, "key": "k"});
    let certificate = || {
        if tls_by_config_map { json!({"configMap": key("map")}) } else { json!({"secret": key("secret")}) }
    };
    json!({
        "tlsConfig": {"ca": certificate(), "cert": certificate(), "keySecret": key("secret")},
        "authorization": {"credentials": key("secret")},
        "basicAuth": {"username": key("secret"), "password": key("secret")},
    })
}

/// The names of objects in a value.
fn names<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("name").and_then(Value::as_str));
            fields.values().for_each(|field| names(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn generated_names_reach_the_endpoints_of_a_group() -> Outcome {
    let copy = deploy_copy("").await?;
    let group = json!({
        "apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup", "metadata": {"name": "orders"},
        "spec": {"metrics": {"endpoint": scrape(false), "additionalEndpoints": [scrape(false), scrape(true)]}},
    });
    std::fs::write(copy.path().join("group.yaml"), group.to_string())?;
    let own = json!({
        "resources": ["group.yaml"],
        "components": ["deploy/components/group-references"],
        "secretGenerator": [{"name": "secret", "literals": ["k=v"]}],
        "configMapGenerator": [{"name": "map", "literals": ["k=v"]}],
    });
    std::fs::write(copy.path().join("kustomization.yaml"), own.to_string())?;
    for (source, endpoint) in [("Secrets", scrape(false)), ("ConfigMaps", scrape(true))] {
        let mut group = group.clone();
        group["spec"]["metrics"]["endpoint"] = endpoint;
        std::fs::write(copy.path().join("group.yaml"), group.to_string())?;
        let objects = build(copy.path()).await?;
        let group = of_kind(&objects, "KconsumerGroup").next().ok_or("no group")?;
        let mut found = Vec::new();
        names(&group["spec"], &mut found);
        assert_eq!(found.len(), 18, "{source}: {found:?}");
        for name in found {
            assert!(name.starts_with("secret-") || name.starts_with("map-"), "{source}: {name}");
        }
    }
    Ok(())
}

/// A pod spec that names objects and images in every place where kustomize knows them in a Deployment.
fn pod_spec() -> Value {
    let container = || {
        json!({
            "name": "c", "image": "registry.example.com/shop/orders:1.4",
            "env": [
                {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "orders-config", "key": "k"}}},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "orders-secret", "key": "k"}}},
            ],
            "envFrom": [
                {"configMapRef": {"name": "orders-config"}}, {"secretRef": {"name": "orders-secret"}},
            ],
        })
    };
    json!({
        "serviceAccountName": "orders", "priorityClassName": "orders",
        "imagePullSecrets": [{"name": "orders-secret"}],
        "containers": [container()], "initContainers": [container()],
        "volumes": [
            {"name": "a", "configMap": {"name": "orders-config"}},
            {"name": "b", "secret": {"secretName": "orders-secret"}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "orders"}},
            {"name": "d", "projected": {"sources": [
                {"configMap": {"name": "orders-config"}}, {"secret": {"name": "orders-secret"}},
            ]}},
        ],
    })
}

#[tokio::test]
async fn a_pod_template_of_a_group_is_rewritten_as_that_of_a_deployment() -> Outcome {
    let copy = deploy_copy("").await?;
    let named = |api_version: &str, kind: &str, spec: Value| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "orders"}, "spec": spec});
    let objects = [
        named("v1", "ServiceAccount", json!({})),
        named("v1", "PersistentVolumeClaim", json!({})),
        named("scheduling.k8s.io/v1", "PriorityClass", json!({})),
        named("kafka.strimzi.io/v1", "KafkaTopic", json!({})),
        named("apps/v1", "Deployment", json!({"template": {"spec": pod_spec()}})),
        named(
            "thenextapps.com/v1alpha1",
            "KconsumerGroup",
            json!({"consumerSpec": {
                "image": "registry.example.com/shop/orders:1.4", "topic": "orders",
                "imagePullSecrets": [{"name": "orders-secret"}], "podTemplate": {"spec": pod_spec()},
            }}),
        ),
    ];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    std::fs::write(copy.path().join("objects.yaml"), list.to_string())?;
    let own = json!({
        "namePrefix": "eu-", "nameSuffix": "-1", "resources": ["objects.yaml"],
        "components": ["deploy/components/group-references"],
        "configMapGenerator": [{"name": "orders-config", "literals": ["k=v"]}],
        "secretGenerator": [{"name": "orders-secret", "literals": ["k=v"]}],
        "images": [{"name": "registry.example.com/shop/orders", "newTag": "1.5"}],
    });
    std::fs::write(copy.path().join("kustomization.yaml"), own.to_string())?;
    let built = build(copy.path()).await?;
    let spec = |kind| of_kind(&built, kind).next().map(|object| object["spec"].clone()).ok_or(kind);
    let (deployment, group) = (spec("Deployment")?, spec("KconsumerGroup")?);
    let consumer = &group["consumerSpec"];
    assert_eq!(consumer["podTemplate"]["spec"], deployment["template"]["spec"]);
    assert_eq!(consumer["image"], "registry.example.com/shop/orders:1.5");
    assert_eq!(consumer["topic"], "eu-orders-1");
    assert_eq!(consumer["imagePullSecrets"], deployment["template"]["spec"]["imagePullSecrets"]);
    let text = consumer["podTemplate"].to_string();
    for old in ["\"orders\"", "\"orders-config\"", "\"orders-secret\"", "orders:1.4"] {
        assert!(!text.contains(old), "{old}: {text}");
    }
    Ok(())
}

/// The group of a user who adds the documented kustomization next to it.
const ORDERS: &str = "
apiVersion: thenextapps.com/v1alpha1
kind: KconsumerGroup
metadata:
  name: orders
spec:
  consumerSpec:
    image: registry.example.com/shop/orders:1.4
    topic: orders
    envFrom:
    - configMapRef: {name: orders-config}
    podTemplate:
      spec:
        volumes:
        - name: config
          configMap: {name: orders-config}
";

#[tokio::test]
async fn the_kustomization_of_the_docs_gives_a_group_the_generated_name_and_the_image() -> Outcome {
    let text = std::fs::read_to_string(repository("docs/operations.md"))?;
    let mut blocks = text.split("\n```yaml\n").skip(1).filter_map(|block| block.split("\n```").next());
    let block = blocks.find(|block| block.starts_with("resources:\n- group.yaml\n")).ok_or("no block")?;
    let copy = deploy_copy("").await?;
    std::fs::write(copy.path().join("group.yaml"), ORDERS)?;
    std::fs::write(copy.path().join("kustomization.yaml"), block)?;
    let objects = build(copy.path()).await?;
    let map = of_kind(&objects, "ConfigMap").next().ok_or("no ConfigMap")?;
    let name = map["metadata"]["name"].as_str().ok_or("no name")?;
    assert!(name.starts_with("orders-config-"), "{name}");
    let group = of_kind(&objects, "KconsumerGroup").next().ok_or("no group")?;
    let consumer = &group["spec"]["consumerSpec"];
    assert_eq!(consumer["envFrom"], json!([{"configMapRef": {"name": name}}]));
    assert_eq!(consumer["podTemplate"]["spec"]["volumes"][0]["configMap"]["name"], name);
    assert_eq!(consumer["image"], "registry.example.com/shop/orders:1.5");
    Ok(())
}
