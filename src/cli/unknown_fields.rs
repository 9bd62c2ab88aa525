//! Fields that the schema does not know. serde would ignore them, so that a misspelt field would
//! silently get its default.

use std::sync::LazyLock;

use serde_json::Value;

/// The paths of all fields of a group that are not in the CRD's schema, as the API server reports
/// them.
pub(super) fn find(group: &Value, schema: &Value) -> Vec<String> {
    let mut unknown = Vec::new();
    for part in ["spec", "status"] {
        if let Some(value) = group.get(part) {
            walk(part, value, &schema["properties"][part], &mut unknown);
        }
    }
    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
    let top = group.as_object().into_iter().flatten().map(|(name, _)| name);
    unknown.extend(top.filter(|name| !known.contains(&name.as_str())).cloned());
    unknown
}

/// The schema of a KconsumerGroup.
pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let crd = serde_json::to_value(kcg_api::crd::crd()).expect("invariant: a CRD serialises");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
});

fn walk(path: &str, value: &Value, schema: &Value, unknown: &mut Vec<String>) {
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match (schema["properties"].get(name), schema.get("additionalProperties")) {
                    (Some(schema), _) | (None, Some(schema)) => walk(&path, value, schema, unknown),
                    // A value of a wrong type is a violation of its own.
                    (None, None) if schema["type"] == "object" => unknown.push(path),
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(&format!("{path}[{index}]"), item, &schema["items"], unknown);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_misspelt_field_is_found_at_any_depth() {
        let group = json!({
            "apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup", "metadata": {"anything": 1},
            "extra": 1,
            "spec": {
                "minReplica": 2,
                "consumerSpec": {
                    "image": "a", "env": [{"name": "A", "valu": "b"}], "podTemplate": {"spec": {"any": 1}},
                    "resources": {"limits": {"cpu": 1}, "limit": {}},
                },
                "metrics": {"labels": {"any": "label"}},
            },
        });
        assert_eq!(
            find(&group, &SCHEMA),
            [
                "spec.consumerSpec.env[0].valu",
                "spec.consumerSpec.resources.limit",
                "spec.minReplica",
                "extra"
            ]
        );
    }
}
