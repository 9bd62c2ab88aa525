//! A container's environment and arguments, as a kubelet makes them. Pure: what ConfigMaps and Secrets hold is handed in.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, Pod};

/// The keys of a ConfigMap or a Secret.
pub(super) type Keys = BTreeMap<String, String>;

/// What the environment may draw on; `None` is an object that does not exist.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub config_maps: BTreeMap<String, Option<Keys>>,
    pub secrets: BTreeMap<String, Option<Keys>>,
}

/// The variables, on top of those that every container has; the error is what `kubectl describe` shows.
pub(super) fn variables(
    base: BTreeMap<String, String>,
    container: &Container,
    pod: &Pod,
    pod_ip: &str,
    sources: &Sources,
) -> Result<BTreeMap<String, String>, String> {
    let mut variables = base;
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let (kind, name, optional, found) = if let Some(map) = &from.config_map_ref {
            ("configmap", &map.name, map.optional, sources.config_maps.get(&map.name))
        } else if let Some(secret) = &from.secret_ref {
            ("secret", &secret.name, secret.optional, sources.secrets.get(&secret.name))
        } else {
            continue;
        };
        match found {
            Some(Some(keys)) => {
                variables.extend(keys.iter().map(|(key, value)| (format!("{prefix}{key}"), value.clone())));
            }
            _ if optional == Some(true) => {}
            _ => return Err(format!("{kind} {name:?} not found")),
        }
    }
    for EnvVar { name, value, value_from } in container.env.iter().flatten() {
        let value = match (value, value_from) {
            (_, Some(from)) => drawn(from, pod, pod_ip, sources)?,
            (Some(value), None) => Some(expanded(value, &variables)),
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            variables.insert(name.clone(), value);
        }
    }
    Ok(variables)
}

fn drawn(from: &EnvVarSource, pod: &Pod, pod_ip: &str, sources: &Sources) -> Result<Option<String>, String> {
    if let Some(field) = &from.field_ref {
        return field_of(pod, pod_ip, &field.field_path).map(Some);
    }
    let (kind, name, key, optional, found) = if let Some(map) = &from.config_map_key_ref {
        ("configmap", &map.name, &map.key, map.optional, sources.config_maps.get(&map.name))
    } else if let Some(secret) = &from.secret_key_ref {
        ("secret", &secret.name, &secret.key, secret.optional, sources.secrets.get(&secret.name))
    } else {
        return Err(
            "this node takes fieldRef, configMapKeyRef and secretKeyRef, and no other valueFrom".into()
        );
    };
    let value = found.and_then(|keys| keys.as_ref()?.get(key));
    match value {
        Some(value) => Ok(Some(value.clone())),
        None if optional == Some(true) => Ok(None),
        None => Err(format!("couldn't find key {key} in {kind} {name}")),
    }
}

/// A field of the pod that the downward API knows.
pub(super) fn field_of(pod: &Pod, pod_ip: &str, path: &str) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let keyed = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']");
    if let Some(key) = keyed("metadata.labels['") {
        return Ok(meta.labels.as_ref().and_then(|labels| labels.get(key)).cloned().unwrap_or_default());
    }
    if let Some(key) = keyed("metadata.annotations['") {
        return Ok(meta.annotations.as_ref().and_then(|all| all.get(key)).cloned().unwrap_or_default());
    }
    let value = match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()),
        "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()),
        "status.podIP" | "status.podIPs" => Some(pod_ip.to_owned()),
        "status.hostIP" | "status.hostIPs" => Some(crate::pod_network::NODE_ADDRESS.to_string()),
        _ => return Err(format!("this node knows no field {path}")),
    };
    Ok(value.unwrap_or_default())
}

/// `$(NAME)` replaced where that is known and left where it is not; `$$` is one dollar.
pub(super) fn expanded(text: &str, variables: &BTreeMap<String, String>) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match variables.get(name) {
                Some(value) => out.push_str(value),
                None => out.extend(["$(", name, ")"]),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}
