//! What the mutating webhook fills in: the two defaults that depend on the group's name. Those that are
//! the same for every group are in the CRD ([`crate::defaults`]).

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use serde_json::Value;

use crate::consumer_group;
use crate::group::KconsumerGroupSpec;

/// The JSON patch (RFC 6902) that fills in the defaults that a schema cannot express: those that
/// depend on the group's name.
///
/// The groupId is the one that the pods join by a variable in env, or the group's name.
///
/// The patch only adds absent fields. It is empty if no field is absent, or if the name is not
/// known yet (generateName).
pub fn patch(
    name: Option<&str>,
    spec: Option<&KconsumerGroupSpec>,
    has_container_name: bool,
    has_group_id: bool,
) -> Patch {
    let Some(name) = name else {
        return Patch::default();
    };
    let joined = spec.and_then(|spec| consumer_group::group_id(spec, name));
    let group_id = joined.filter(|id| consumer_group::is_group_id(id)).unwrap_or(name);
    let operations = [("containerName", has_container_name, name), ("groupId", has_group_id, group_id)]
        .into_iter()
        .filter(|(_, present, _)| !present)
        .map(|(field, _, value)| {
            PatchOperation::Add(AddOperation {
                path: PointerBuf::from_tokens(["spec", "consumerSpec", field]),
                value: Value::from(value),
            })
        })
        .collect();
    Patch(operations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn patched(group: &Value) -> Value {
        let has = |field: &str| group["spec"]["consumerSpec"].get(field).is_some();
        let spec = serde_json::from_value(group["spec"].clone()).ok();
        let name = group["metadata"]["name"].as_str();
        let patch = patch(name, spec.as_ref(), has("containerName"), has("groupId"));
        let mut group = group.clone();
        json_patch::patch(&mut group, &patch).expect("the patch applies to the group that it was made for");
        group
    }

    #[test]
    fn only_container_name_and_group_id_are_filled_in() {
        let group = json!({"metadata": {"name": "kconsumer"}, "spec": {"consumerSpec": {"image": "a", "topic": "t"}}});
        assert_eq!(
            patched(&group)["spec"],
            json!({"consumerSpec": {"image": "a", "topic": "t", "containerName": "kconsumer", "groupId": "kconsumer"}})
        );
    }

    #[test]
    fn the_group_id_is_the_one_that_env_sets() {
        let filled_in = |id: &str| {
            let env = json!([{"name": "KAFKA_GROUP_ID", "value": id}]);
            let spec = json!({"consumerSpec": {"image": "a", "topic": "t", "env": env}});
            patched(&json!({"metadata": {"name": "k"}, "spec": spec}))["spec"]["consumerSpec"]["groupId"]
                .clone()
        };
        assert_eq!(filled_in("shop-orders"), "shop-orders");
        assert_eq!(filled_in(" not valid "), "k");
    }

    #[test]
    fn nothing_is_filled_in_before_the_name_is_known() {
        let group = json!({"metadata": {"generateName": "k-"}, "spec": {"consumerSpec": {"image": "a"}}});
        assert_eq!(patched(&group), group);
        assert!(patch(None, None, false, false).0.is_empty());
    }

    proptest! {
        #[test]
        fn the_patch_is_idempotent_and_keeps_existing_values(
            name in "[a-z]{1,8}",
            written in proptest::collection::btree_map("containerName|groupId|image|topic|other", "[a-z]{0,4}", 0..5),
        ) {
            let group = json!({"metadata": {"name": name}, "spec": {"consumerSpec": written.clone()}});
            let once = patched(&group);
            prop_assert_eq!(&patched(&once), &once);
            for (field, value) in written {
                prop_assert_eq!(&once["spec"]["consumerSpec"][field], &Value::from(value));
            }
        }
    }
}
