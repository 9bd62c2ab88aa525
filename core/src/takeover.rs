//! What would block an apply, and how the operator takes it over first.
//!
//! Server-side apply removes a field only if the last apply of the same manager set it and no other
//! manager owns a part of it. Three kinds of leftovers can therefore make the API server reject an
//! apply that it would accept for a new object: an item of ours that another manager has added a
//! field to, a value that the API server filled in by default and that excludes the desired one, and
//! a list item that has the name of a desired one but another key.
//!
//! The operator claims them in managedFields, and nothing else: neither the spec nor the generation
//! changes, and no pod restarts. The next apply then removes them together with all its other
//! changes, or is rejected as a whole.

use kcg_api::names;
use serde_json::{Map, Value, json};

/// A cause of a rejection, as the API server lists it in status.details.causes.
#[derive(Clone, Copy, Debug)]
pub struct Cause<'a> {
    /// The field, for example `spec.template.spec.containers[1].image`.
    pub field: &'a str,
    /// Whether its reason is FieldValueDuplicate.
    pub is_duplicate: bool,
}

/// The managedFields of `live` with everything claimed that blocks the apply of `desired`, which the
/// API server rejected for `causes`. `None` if the operator can claim nothing more: then the
/// desired object itself is at fault, or a field of another manager.
pub fn take_over(desired: &Value, live: &Value, causes: &[Cause<'_>]) -> Option<Value> {
    let entries = live.pointer("/metadata/managedFields")?.as_array()?;
    let ours = entries.iter().position(is_ours)?;
    let version = &entries[ours]["apiVersion"];
    let same_version = |entry: &&Value| entry["apiVersion"] == *version;
    let mut search = Search {
        causes: causes.iter().map(|cause| (normalized(cause.field), cause.is_duplicate)).collect(),
        ours: entries[ours]["fieldsV1"].as_object()?,
        others: entries.iter().filter(|entry| !is_ours(entry)).filter(same_version).collect(),
        found: Vec::new(),
    };
    let spec = Position { owners: vec!["f:spec".to_owned()], path: "spec".to_owned() };
    search.object(&spec, desired["spec"].as_object()?, live["spec"].as_object()?);
    let mut claimed = entries.clone();
    for position in &search.found {
        claim(&mut claimed[ours]["fieldsV1"], &position.owners);
        let others = claimed.iter_mut().filter(|entry| !is_ours(entry) && entry["apiVersion"] == *version);
        others.for_each(|entry| release(&mut entry["fieldsV1"], &position.owners));
    }
    claimed.retain(|entry| entry["fieldsV1"].as_object().is_none_or(|fields| !fields.is_empty()));
    (claimed != *entries).then_some(Value::Array(claimed))
}

/// Another field manager that owns a part of the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OtherManager<'a> {
    /// Its name.
    pub name: &'a str,
    /// It owns the part by server-side apply, and gives it up by an apply without it.
    pub applies: bool,
}

/// The other field managers that own a part of the spec, sorted.
pub fn other_managers<'a>(live: &'a Value) -> Vec<OtherManager<'a>> {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array);
    let owns_spec = |entry: &&Value| {
        !is_ours(entry) && entry["subresource"].is_null() && entry.pointer("/fieldsV1/f:spec").is_some()
    };
    let owners = entries.into_iter().flatten().filter(owns_spec);
    let manager = |entry: &'a Value| {
        Some(OtherManager { name: entry["manager"].as_str()?, applies: entry["operation"] == "Apply" })
    };
    let mut managers: Vec<OtherManager<'_>> = owners.filter_map(manager).collect();
    managers.sort_unstable();
    managers.dedup();
    managers
}

fn is_ours(entry: &Value) -> bool {
    entry["manager"] == names::OPERATOR && entry["operation"] == "Apply" && entry["subresource"].is_null()
}

/// A path without the positions in lists, which differ between the live and the merged object.
fn normalized(field: &str) -> String {
    let mut path = String::with_capacity(field.len());
    for (index, part) in field.split('[').enumerate() {
        let (key, rest) = if index == 0 { ("", part) } else { part.split_once(']').unwrap_or((part, "")) };
        if index > 0 {
            let is_position = key.bytes().all(|byte| byte.is_ascii_digit());
            path.push_str(if is_position { "[]" } else { "." });
            path.push_str(if is_position { "" } else { key });
        }
        path.push_str(rest);
    }
    path
}

/// A place in an object: in managedFields, and as a cause names it.
struct Position {
    owners: Vec<String>,
    path: String,
}

impl Position {
    fn below(&self, owner: String, path: String) -> Self {
        Self { owners: [self.owners.as_slice(), &[owner]].concat(), path }
    }

    fn field(&self, key: &str) -> Self {
        self.below(format!("f:{key}"), format!("{}.{key}", self.path))
    }

    fn item(&self, key: String) -> Self {
        self.below(key, format!("{}[]", self.path))
    }
}

struct Search<'a> {
    /// The normalized path of each cause, and whether it is a duplicate.
    causes: Vec<(String, bool)>,
    ours: &'a Map<String, Value>,
    others: Vec<&'a Value>,
    found: Vec<Position>,
}

impl Search<'_> {
    fn object(&mut self, at: &Position, desired: &Map<String, Value>, live: &Map<String, Value>) {
        for (key, live) in live {
            let field = at.field(key);
            match (desired.get(key).unwrap_or(&Value::Null), live) {
                (Value::Null, _) if self.field_blocks(at, &field) => self.found.push(field),
                (Value::Object(desired), Value::Object(live)) => self.object(&field, desired, live),
                (Value::Array(desired), Value::Array(live)) => self.list(&field, desired, live),
                _ => {}
            }
        }
    }

    /// Whether a live field that is not desired is, or may be, why the apply was rejected.
    fn field_blocks(&self, parent: &Position, field: &Position) -> bool {
        let mut rests = self.causes.iter().filter_map(|(cause, _)| below(cause, &field.path));
        let is_sibling = |(cause, _): &(String, bool)| {
            cause.rsplit_once('.').is_some_and(|(cause, _)| cause == parent.path)
        };
        if owner(self.ours, &field.owners).is_some() {
            return rests.next().is_some() || self.causes.iter().any(is_sibling);
        }
        // Fields of the spec itself can be the API server's own, such as clusterIP and replicas.
        let is_deep = parent.path != "spec";
        let is_default = self.others.iter().all(|entry| {
            entry["fieldsV1"].as_object().is_none_or(|fields| owner(fields, &field.owners).is_none())
        });
        // A field without an owner is a default: if it does no harm, the API server sets it again.
        is_deep && (rests.any(|rest| !rest.contains('[')) || is_default && self.causes.iter().any(is_sibling))
    }

    fn list(&mut self, at: &Position, desired: &[Value], live: &[Value]) {
        let owned = self.owned_items(at);
        let Some(keys) = owned.first().map(|(_, keys)| keys.keys().cloned().collect::<Vec<_>>()) else {
            return;
        };
        for item in live {
            let known =
                owned.iter().find(|(_, keys)| keys.iter().all(|(key, value)| item.get(key) == Some(value)));
            let text = known.map_or_else(|| key_of(item, &keys), |(text, _)| text.clone());
            let position = at.item(text);
            match (desired.iter().find(|wanted| is_same_item(wanted, item, &keys)), item) {
                (Some(Value::Object(wanted)), Value::Object(item)) => self.object(&position, wanted, item),
                _ if self.item_blocks(at, &position, desired, item) => self.found.push(position),
                _ => {}
            }
        }
    }

    /// The items of a list that any manager owns: as in managedFields, and their keys.
    fn owned_items(&self, at: &Position) -> Vec<(String, Map<String, Value>)> {
        let others = self.others.iter().filter_map(|entry| entry["fieldsV1"].as_object());
        let lists = std::iter::once(self.ours).chain(others).filter_map(|fields| owner(fields, &at.owners));
        let keys = |text: &String| {
            serde_json::from_str(text.strip_prefix("k:")?).ok().map(|keys| (text.clone(), keys))
        };
        lists.flat_map(|list| list.keys().filter_map(keys)).collect()
    }

    fn item_blocks(&self, list: &Position, at: &Position, desired: &[Value], item: &Value) -> bool {
        if owner(self.ours, &at.owners).is_some() {
            return self.causes.iter().any(|(cause, _)| below(cause, &at.path).is_some());
        }
        let is_applied = self.others.iter().filter(|entry| entry["operation"] == "Apply").any(|entry| {
            entry["fieldsV1"].as_object().is_some_and(|fields| owner(fields, &at.owners).is_some())
        });
        let mut fields =
            self.causes.iter().filter(|(_, is_duplicate)| *is_duplicate).filter_map(|(cause, _)| {
                cause
                    .strip_prefix(&list.path)?
                    .strip_prefix("[].")
                    .filter(|field| !field.contains(['.', '[']))
            });
        !is_applied
            && fields.any(|field| {
                let same: Vec<&Value> =
                    desired.iter().filter(|wanted| wanted[field] == item[field]).collect();
                !item[field].is_null() && same.len() == 1
            })
    }
}

/// What follows `path` in a cause's path, if the cause is at or below `path`.
fn below<'a>(cause: &'a str, path: &str) -> Option<&'a str> {
    cause.strip_prefix(path).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The entry of a path in fieldsV1.
fn owner<'a>(fields: &'a Map<String, Value>, path: &[String]) -> Option<&'a Map<String, Value>> {
    path.iter().try_fold(fields, |fields, key| fields.get(key)?.as_object())
}

/// Whether a desired item has the keys of a live one. Of the keys, only a protocol may be omitted.
fn is_same_item(wanted: &Value, item: &Value, keys: &[String]) -> bool {
    keys.iter().all(|key| match wanted.get(key) {
        Some(value) => item.get(key) == Some(value),
        None => key != "protocol" || item[key] == "TCP",
    })
}

/// An item's keys, as managedFields names the item.
fn key_of(item: &Value, keys: &[String]) -> String {
    let keys: Map<String, Value> = keys.iter().map(|key| (key.clone(), item[key].clone())).collect();
    format!("k:{}", Value::Object(keys))
}

/// Adds a path to fieldsV1.
fn claim(fields: &mut Value, path: &[String]) {
    let entry = path.iter().fold(fields, |fields, key| &mut fields[key.as_str()]);
    let is_item = path.last().is_some_and(|key| key.starts_with("k:"));
    match entry.as_object_mut() {
        Some(below) if below.is_empty() && !is_item => {}
        Some(below) => drop(below.insert(".".to_owned(), json!({}))),
        None if is_item => *entry = json!({".": {}}),
        None => *entry = json!({}),
    }
}

/// Removes a path from fieldsV1, and the parents that are empty then.
fn release(fields: &mut Value, path: &[String]) {
    let (Some((key, rest)), Some(fields)) = (path.split_first(), fields.as_object_mut()) else {
        return;
    };
    let Some(entry) = fields.get_mut(key) else {
        return;
    };
    release(entry, rest);
    if rest.is_empty() || entry.as_object().is_some_and(Map::is_empty) {
        fields.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INCIDENT: &str = "incident";

    fn entry(manager: &str, operation: &str, spec: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsV1": {"f:spec": spec}})
    }

    fn object(entries: &[Value], spec: &Value) -> Value {
        json!({"metadata": {"managedFields": entries}, "spec": spec})
    }

    fn causes(field: &str) -> [Cause<'_>; 1] {
        [Cause { field, is_duplicate: false }]
    }

    #[test]
    fn an_item_of_ours_that_another_manager_has_added_a_field_to_is_claimed_whole() {
        let (orders, shipper) = ("k:{\"name\":\"orders\"}", "k:{\"name\":\"shipper\"}");
        let image = json!({".": {}, "f:name": {}, "f:image": {}});
        let ours = entry(names::OPERATOR, "Apply", &json!({"f:containers": {orders: image, shipper: image}}));
        let env = json!({".": {}, "f:name": {}, "f:env": {"k:{\"name\":\"A\"}": {".": {}, "f:name": {}}}});
        let theirs = entry(INCIDENT, "Apply", &json!({"f:containers": {shipper: env}}));
        let foreign = entry("injector", "Apply", &json!({"f:containers": {"k:{\"name\":\"proxy\"}": image}}));
        let live = object(
            &[theirs, ours.clone(), foreign.clone()],
            &json!({"containers": [{"name": "orders", "image": "o:1"}, {"name": "shipper", "image": "s:1"}, {"name": "proxy", "image": "p:1"}]}),
        );
        let desired = json!({"spec": {"containers": [{"name": "orders", "image": "o:2"}]}});
        let claimed = take_over(&desired, &live, &causes("spec.containers[1].image"));
        assert_eq!(claimed, Some(json!([ours, foreign])), "what is wholly another manager's stays");
        assert_eq!(take_over(&desired, &live, &causes("spec.selector")), None, "not to blame");
        assert_eq!(take_over(&live, &live, &causes("spec.containers[1].image")), None, "desired");
        let names: Vec<&str> = other_managers(&live).into_iter().map(|manager| manager.name).collect();
        assert_eq!(names, [INCIDENT, "injector"]);
    }

    #[test]
    fn a_default_that_excludes_the_desired_value_is_claimed() {
        let ours = |volume: &Value, strategy: &Value| {
            entry(
                names::OPERATOR,
                "Apply",
                &json!({"f:volumes": {"k:{\"name\":\"v\"}": volume}, "f:strategy": strategy}),
            )
        };
        let (volume, strategy) = (json!({".": {}, "f:name": {}}), json!({"f:type": {}}));
        let live = object(
            &[ours(&volume, &strategy)],
            &json!({"replicas": 1, "volumes": [{"name": "v", "emptyDir": {}}], "strategy": {"type": "RollingUpdate", "rollingUpdate": {}}}),
        );
        let desired = json!({"spec": {"volumes": [{"name": "v", "secret": {"secretName": "s"}}], "strategy": {"type": "Recreate"}}});
        let claimed = take_over(&desired, &live, &causes("spec.strategy.rollingUpdate"));
        let with_strategy = json!({"f:type": {}, "f:rollingUpdate": {}});
        assert_eq!(claimed, Some(json!([ours(&volume, &with_strategy)])));
        let claimed = take_over(&desired, &live, &causes("spec.volumes[0].secret"));
        let with_source = json!({".": {}, "f:name": {}, "f:emptyDir": {}});
        assert_eq!(claimed, Some(json!([ours(&with_source, &strategy)])));
        assert_eq!(
            take_over(&desired, &live, &causes("spec.selector")),
            None,
            "replicas stay the autoscaler's"
        );
    }

    fn ports(managers: &[Value], numbers: &[i32]) -> Value {
        let port = |number: &i32| json!({"name": "metrics", "port": number, "protocol": "TCP"});
        object(managers, &json!({"ports": numbers.iter().map(port).collect::<Vec<_>>()}))
    }

    #[test]
    fn a_port_that_another_manager_renumbered_is_claimed_unless_that_manager_applies_it() {
        let item = |number: i32| json!({"f:ports": {format!("k:{{\"port\":{number},\"protocol\":\"TCP\"}}"): {".": {}, "f:port": {}}}});
        let ours = entry(names::OPERATOR, "Apply", &json!({"f:type": {}}));
        let duplicate = [Cause { field: "spec.ports[1].name", is_duplicate: true }];
        let desired = ports(&[], &[8085]);
        let updated = ports(&[ours.clone(), entry("kubectl-edit", "Update", &item(9999))], &[9999]);
        let claimed = take_over(&desired, &updated, &duplicate).unwrap();
        let item_of_ours = "/0/fieldsV1/f:spec/f:ports/k:{\"port\":9999,\"protocol\":\"TCP\"}";
        assert_eq!(claimed.pointer(item_of_ours), Some(&json!({".": {}})), "{claimed}");
        assert_eq!(claimed.as_array().map(Vec::len), Some(1), "{claimed}");
        assert_eq!(take_over(&desired, &updated, &causes("spec.ports[1].name")), None, "another rejection");
        let applied = ports(&[ours.clone(), entry("flux", "Apply", &item(9999))], &[9999]);
        assert_eq!(take_over(&desired, &applied, &duplicate), None);
        let twice = ports(&[], &[8085, 9404]);
        let live = ports(&[entry(names::OPERATOR, "Apply", &item(8085))], &[8085]);
        assert_eq!(take_over(&twice, &live, &duplicate), None, "the desired names are at fault");
    }

    #[test]
    fn a_field_that_only_another_manager_owns_is_claimed_if_the_api_server_names_it() {
        let ours = entry(names::OPERATOR, "Apply", &json!({"f:strategy": {"f:type": {}}}));
        let theirs =
            entry("kubectl-edit", "Update", &json!({"f:strategy": {"f:rollingUpdate": {"f:maxSurge": {}}}}));
        let live = object(
            &[ours, theirs],
            &json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3}}}),
        );
        let desired = json!({"spec": {"strategy": {"type": "Recreate"}}});
        let claimed = take_over(&desired, &live, &causes("spec.strategy.rollingUpdate")).unwrap();
        assert_eq!(claimed.as_array().map(Vec::len), Some(1), "{claimed}");
        assert_eq!(take_over(&desired, &live, &causes("spec.strategy.type")), None, "it may be harmless");
    }

    #[test]
    fn an_object_that_the_operator_never_applied_is_left_alone() {
        let live = object(
            &[entry(INCIDENT, "Update", &json!({"f:strategy": {}}))],
            &json!({"strategy": {"rollingUpdate": {}}}),
        );
        let desired = json!({"spec": {"strategy": {"type": "Recreate"}}});
        assert_eq!(take_over(&desired, &live, &causes("spec.strategy.rollingUpdate")), None);
        assert_eq!(take_over(&desired, &json!({}), &causes("spec.strategy.rollingUpdate")), None);
    }

    #[test]
    fn positions_in_lists_are_left_out_and_keys_of_maps_are_kept() {
        for (field, path) in [
            ("spec.strategy", "spec.strategy"),
            ("spec.ports[1].name", "spec.ports[].name"),
            ("spec.a[0].b[12]", "spec.a[].b[]"),
            ("resources.requests[cpu]", "resources.requests.cpu"),
            ("", ""),
        ] {
            assert_eq!(normalized(field), path);
        }
    }
}
