//! A container's environment and arguments, computed as a kubelet does. No I/O: the caller passes
//! the data of ConfigMaps and Secrets.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, Pod};

/// The keys and values of a ConfigMap or a Secret.
pub(super) type Keys = BTreeMap<String, String>;

/// The objects that the environment refers to; `None` is an object that does not exist.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub config_maps: BTreeMap<String, Option<Keys>>,
    pub secrets: BTreeMap<String, Option<Keys>>,
}

/// Adds the container's variables to `base`. The error is the message that `kubectl describe`
/// shows.
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
            (_, Some(from)) => resolve(from, pod, pod_ip, sources)?,
            (Some(value), None) => Some(expand(value, &variables)),
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            variables.insert(name.clone(), value);
        }
    }
    Ok(variables)
}

fn resolve(
    from: &EnvVarSource,
    pod: &Pod,
    pod_ip: &str,
    sources: &Sources,
) -> Result<Option<String>, String> {
    if let Some(field) = &from.field_ref {
        return field_of(pod, pod_ip, &field.field_path).map(Some);
    }
    let (kind, name, key, optional, found) = if let Some(map) = &from.config_map_key_ref {
        ("configmap", &map.name, &map.key, map.optional, sources.config_maps.get(&map.name))
    } else if let Some(secret) = &from.secret_key_ref {
        ("secret", &secret.name, &secret.key, secret.optional, sources.secrets.get(&secret.name))
    } else {
        return Err("this node supports only fieldRef, configMapKeyRef and secretKeyRef in valueFrom".into());
    };
    let value = found.and_then(|keys| keys.as_ref()?.get(key));
    match value {
        Some(value) => Ok(Some(value.clone())),
        None if optional == Some(true) => Ok(None),
        None => Err(format!("couldn't find key {key} in {kind} {name}")),
    }
}

/// A field of the pod, as the downward API names it.
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
        "status.hostIP" | "status.hostIPs" => Some(kcg_devcluster::pod_network::NODE_ADDRESS.to_string()),
        _ => return Err(format!("this node does not support field {path}")),
    };
    Ok(value.unwrap_or_default())
}

/// Replaces `$(NAME)` if the variable exists, and leaves it if not; `$$` is one dollar.
pub(super) fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod() -> Pod {
        let meta = json!({"name": "one", "namespace": "here", "labels": {"app": "web"}});
        serde_json::from_value(json!({"metadata": meta})).unwrap_or_default()
    }

    fn sources() -> Sources {
        let keys = Some(Keys::from([("color".to_owned(), "blue".to_owned())]));
        let absent = |name: &str| (name.to_owned(), None);
        Sources {
            config_maps: BTreeMap::from([("map".to_owned(), keys.clone()), absent("none")]),
            secrets: BTreeMap::from([("secret".to_owned(), keys), absent("none")]),
        }
    }

    fn render(env: &Value, env_from: &Value) -> Result<String, String> {
        let container = json!({"name": "a", "env": env, "envFrom": env_from});
        let container: Container = serde_json::from_value(container).unwrap_or_default();
        let base = Keys::from([("BASE".to_owned(), "b".to_owned())]);
        let made = variables(base, &container, &pod(), "10.244.1.1", &sources())?;
        Ok(made.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_variable_comes_from_a_value_the_pod_a_config_map_or_a_secret() {
        let field = |path: &str| json!([{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}]);
        let key = |kind: &str, name: &str, optional: bool| json!([{"name": "A", "valueFrom": {kind: {"name": name, "key": "color", "optional": optional}}}]);
        for (env, want) in [
            (
                json!([{"name": "A", "value": "$(BASE)$(B)"}, {"name": "B", "value": "$(A)"}]),
                Ok("A=b$(B) B=b$(B) BASE=b"),
            ),
            (json!([{"name": "BASE", "value": "own"}]), Ok("BASE=own")),
            (field("metadata.labels['app']"), Ok("A=web BASE=b")),
            (field("status.podIP"), Ok("A=10.244.1.1 BASE=b")),
            (field("spec.unheard"), Err("this node does not support field spec.unheard")),
            (key("configMapKeyRef", "map", false), Ok("A=blue BASE=b")),
            (key("secretKeyRef", "secret", false), Ok("A=blue BASE=b")),
            (key("secretKeyRef", "none", true), Ok("BASE=b")),
            (key("secretKeyRef", "none", false), Err("couldn't find key color in secret none")),
        ] {
            assert_eq!(render(&env, &json!([])).as_deref(), want.map_err(str::to_owned).as_deref(), "{env}");
        }
    }

    #[test]
    fn all_keys_of_an_object_get_the_prefix() {
        let from = |name: &str, optional: bool| json!([{"prefix": "P_", "configMapRef": {"name": name, "optional": optional}}]);
        let none = json!([]);
        assert_eq!(render(&none, &from("map", false)).as_deref(), Ok("BASE=b P_color=blue"));
        assert_eq!(render(&none, &from("none", true)).as_deref(), Ok("BASE=b"));
        assert_eq!(render(&none, &from("none", false)), Err("configmap \"none\" not found".to_owned()));
    }

    #[test]
    fn unknown_and_escaped_variables_are_not_replaced() {
        let variables = Keys::from([("A".to_owned(), "1".to_owned())]);
        for (text, want) in [
            ("$(A)-$(A)", "1-1"),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$A $", "$A $"),
            ("$(A", "$(A"),
        ] {
            assert_eq!(expand(text, &variables), want, "{text}");
        }
    }
}
