//! Random pod templates: parts of a pod with many fields ([`legal_pod`]), and further fields by the
//! schema of Kubernetes.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use kcg_tests::legal_pod::legal_pod;
use serde_json::{Map, Value, json};

use crate::schema::Maker;

/// The schema of a PodTemplateSpec; its definitions are those of every pod field.
pub static SCHEMA: LazyLock<Value> = LazyLock::new(|| schemars::schema_for!(PodTemplateSpec).to_value());

/// Of a hundred fields and items of the pod with many fields, how many a random pod has, by chance.
const SHARES: [u8; 4] = [10, 30, 60, 95];
/// The fields without which an object has no identity.
const KEPT: [&str; 3] = ["name", "image", "containers"];

/// Environment variables as they are in pods.
pub fn environment(consumer: &str) -> Vec<Value> {
    let pod = legal_pod(consumer);
    let listed = pod["containers"][0]["env"].as_array().into_iter().flatten();
    let listed = listed.filter(|one| one["valueFrom"]["fileKeyRef"].is_null()).cloned();
    let own = [
        json!({"name": "JAVA_OPTS", "value": "-Xmx512m -Da=$(A)"}),
        json!({"name": "KAFKA_GROUP_ID", "value": "another"}),
        json!({"name": "EMPTY"}),
        json!({"name": "LINES", "value": "a\nb\t\u{fc}"}),
    ];
    listed.filter(|one| one["valueFrom"]["resourceFieldRef"]["containerName"].is_null()).chain(own).collect()
}

/// Resources as they are in pods.
pub fn resources() -> Vec<Value> {
    vec![
        json!({"limits": {"cpu": 1, "memory": "1Gi"}}),
        json!({"requests": {"cpu": "0.5", "memory": "512Mi"}, "limits": {"memory": "1073741824"}}),
        json!({"requests": {"cpu": "1500m", "ephemeral-storage": "1e9"}}),
        json!({"limits": {"example.com/gpu": 1, "hugepages-2Mi": "4Mi", "cpu": "2"}}),
        json!({}),
    ]
}

/// A pod template.
pub fn template(maker: &mut Maker<'_>) -> Value {
    let mut template = Map::new();
    for field in ["labels", "annotations"] {
        if maker.chance(20) {
            let entries = [("team", "a"), ("example.com/note", "b"), ("sidecar.istio.io/inject", "false")];
            let kept: Map<String, Value> = entries
                .into_iter()
                .filter(|_| maker.chance(60))
                .map(|(key, value)| (key.to_owned(), json!(value)))
                .collect();
            template.entry("metadata").or_insert(json!({}))[field] = Value::Object(kept);
        }
    }
    let share = *maker.random.choice(&SHARES).unwrap_or(&0);
    let name = maker.name.clone();
    let mut spec = legal_pod(&name);
    thin(&mut spec, share, 4, maker);
    by_schema(&mut spec, maker);
    close(&mut spec);
    template.insert("spec".to_owned(), spec);
    Value::Object(template)
}

/// Removes fields and items at random, `levels` deep.
fn thin(value: &mut Value, share: u8, levels: u8, maker: &mut Maker<'_>) {
    if levels == 0 {
        return;
    }
    match value {
        Value::Object(fields) => {
            // What has no name is one thing: without a part of it, it is not legal.
            let is_pod = levels == 4;
            let is_named = is_pod
                || fields.contains_key("name") && fields.contains_key("image")
                || fields.contains_key("env");
            if !is_named {
                return;
            }
            fields.retain(|name, _| KEPT.contains(&name.as_str()) || maker.chance(share));
            for field in fields.values_mut() {
                thin(field, share, levels - 1, maker);
            }
        }
        Value::Array(items) => {
            items.retain(|_| maker.chance(share));
            for item in items {
                thin(item, share, levels - 1, maker);
            }
        }
        _ => {}
    }
}

/// Sets one or two further fields of the pod or of a container, by the schema.
fn by_schema(spec: &mut Value, maker: &mut Maker<'_>) {
    let definitions = &SCHEMA["$defs"];
    let of = |kind: &str| {
        let found = definitions.as_object().into_iter().flatten();
        found.into_iter().find(|(name, _)| name.ends_with(kind)).map(|(_, schema)| schema)
    };
    let (Some(pod), Some(container)) = (of(".PodSpec"), of(".Container")) else {
        return;
    };
    let outer = std::mem::replace(&mut maker.definitions, definitions);
    for _ in 0..maker.random.usize(..3) {
        let in_container = maker.random.bool() && spec["containers"][0].is_object();
        let schema = if in_container { container } else { pod };
        let fields: Vec<(&String, &Value)> = schema["properties"].as_object().into_iter().flatten().collect();
        let Some((name, field)) = maker.random.choice(fields) else { continue };
        if KEPT.contains(&name.as_str()) {
            continue;
        }
        let made = maker.at(&["podSpec", name], field);
        let target = if in_container { &mut spec["containers"][0] } else { &mut *spec };
        target[name] = made;
    }
    maker.definitions = outer;
}

/// Removes what refers to a volume that is not there.
fn close(spec: &mut Value) {
    let volumes: BTreeSet<String> = names(&spec["volumes"]);
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            for mounts in ["volumeMounts", "volumeDevices"] {
                if let Some(mounts) = container.get_mut(mounts).and_then(Value::as_array_mut) {
                    mounts.retain(|mount| mount["name"].as_str().is_some_and(|name| volumes.contains(name)));
                }
            }
        }
    }
}

fn names(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).map(str::to_owned).collect()
}

/// A value of a field of a pod, if one is known.
pub fn known(maker: &mut Maker<'_>, place: &[&str]) -> Option<Value> {
    let last = place.last()?;
    let texts: &[&str] = match *last {
        "mountPath" | "devicePath" => &["/data", "/etc/app", "/tmp/x"],
        "path" => &["/ready", "/"],
        "image" => &["registry.example.com/sidecar:1", "busybox"],
        "key" | "topologyKey" | "resourceName" => &["topology.kubernetes.io/zone", "tier", "example.com/x"],
        "operator" => &["In", "NotIn", "Exists", "DoesNotExist", "Equal"],
        "effect" => &["NoSchedule", "NoExecute", "PreferNoSchedule"],
        "imagePullPolicy" => &["Always", "IfNotPresent", "Never"],
        "dnsPolicy" => &["ClusterFirst", "Default"],
        "restartPolicy" => &["Always"],
        "type" => &["RuntimeDefault", "Localhost", "Unconfined"],
        "scheme" => &["HTTP", "HTTPS"],
        "fieldPath" => &["metadata.name", "spec.nodeName", "status.podIP", "metadata.labels['app']"],
        "whenUnsatisfiable" => &["DoNotSchedule", "ScheduleAnyway"],
        "terminationMessagePolicy" => &["File", "FallbackToLogsOnError"],
        "storage" | "sizeLimit" | "divisor" => &["1Gi", "100M"],
        "name" | "serviceAccountName" | "priorityClassName" | "claimName" | "secretName" | "hostname"
        | "subdomain" | "runtimeClassName" | "nodeName" | "schedulerName" => &["a", "orders", "x-1"],
        "{}" if place.iter().any(|step| matches!(*step, "limits" | "requests")) => {
            &["1", "100m", "64Mi", "2e3"]
        }
        "{}" => &["", "a", "true"],
        _ => return None,
    };
    maker.random.choice(texts).map(|text| json!(text))
}
