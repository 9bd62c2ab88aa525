//! Random groups, and random changes of one, by the schema of the CRD.

use std::sync::LazyLock;

use fastrand::Rng;
use kcg_api::names;
use kcg_tests::objects::GROUP;
use serde_json::{Value, json};

use crate::known;
use crate::schema::Maker;

/// The schema of spec, as it is installed.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let crd = serde_json::to_value(kcg_api::crd::crd()).expect("a CRD is JSON");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
});
/// Of a hundred optional fields, how many a spec sets, by chance.
const DENSITIES: [u8; 4] = [3, 10, 25, 60];
/// Of a hundred values, how many are the schema's alone. Half of the specs have none of these.
const WILD: [u8; 4] = [0, 0, 2, 10];

/// A random group.
pub fn group(name: &str, random: &mut Rng) -> Value {
    let spec = spec(name, random);
    json!({"apiVersion": GROUP.api_version(), "kind": GROUP.name, "metadata": {"name": name}, "spec": spec})
}

fn spec(name: &str, random: &mut Rng) -> Value {
    let mut maker = Maker::new(random.fork(), name, &Value::Null);
    maker.density = *maker.random.choice(&DENSITIES).unwrap_or(&0);
    maker.wild = *maker.random.choice(&WILD).unwrap_or(&0);
    let mut spec = maker.at(&["spec"], &SCHEMA);
    let consumer = &mut spec["consumerSpec"];
    let is_unset =
        |field: &str| consumer.get(field).is_none_or(|field| field[0].is_null() && field.is_array());
    let names_no_topic = is_unset("topic") && is_unset("topics");
    if names_no_topic && maker.chance(97) {
        let topic = maker.random.choice(known::TOPICS).map(|(topic, _)| topic);
        consumer["topic"] = json!(topic);
    }
    if maker.chance(90) {
        without_contradictions(&mut spec);
    }
    for topic in topics(&mut spec["consumerSpec"]) {
        let is_known = known::TOPICS.iter().any(|(known, _)| topic == known);
        // The Deployment of a new group waits a minute for a KafkaTopic that does not exist.
        if !is_known && topic.as_str().is_some_and(|topic| names::SUBDOMAIN.matches(topic)) {
            *topic = json!(known::TOPICS[0].0);
        }
    }
    spec
}

/// Removes one of two fields that exclude each other, and duplicates.
fn without_contradictions(spec: &mut Value) {
    if let Some(metrics) = spec.get_mut("metrics") {
        exclude(metrics, "lagMetric", "lagStatistic");
        for (name, field) in metrics.as_object_mut().into_iter().flatten() {
            let further = if name == "additionalEndpoints" { field.as_array_mut() } else { None };
            for one in further.into_iter().flatten() {
                exclude(one, "authorization", "basicAuth");
            }
        }
        if let Some(endpoint) = metrics.get_mut("endpoint") {
            exclude(endpoint, "authorization", "basicAuth");
        }
    }
    if let Some(Value::Array(secrets)) = spec["consumerSpec"].get_mut("imagePullSecrets") {
        secrets.truncate(1);
    }
}

/// Removes a field if another one is set.
fn exclude(object: &mut Value, one: &str, other: &str) {
    if let Some(object) = object.as_object_mut().filter(|object| object.contains_key(one)) {
        object.remove(other);
    }
}

/// All topics of a spec.consumerSpec.
fn topics(consumer: &mut Value) -> impl Iterator<Item = &mut Value> {
    let fields = consumer.as_object_mut().into_iter().flatten();
    let named = fields.filter(|(name, _)| matches!(name.as_str(), "topic" | "topics"));
    named.flat_map(|(_, value)| match value {
        Value::Array(items) => items.iter_mut().collect::<Vec<_>>(),
        one => vec![one],
    })
}

/// The spec after a random change: another spec as a whole, or one field of it.
pub fn changed(name: &str, spec: &Value, random: &mut Rng) -> Value {
    let other = self::spec(name, random);
    match random.u8(..10) {
        0..=2 => other,
        3 | 4 => {
            let mut changed = spec.clone();
            remove(&mut changed, random);
            changed
        }
        _ => {
            let mut changed = spec.clone();
            graft(&mut changed, &other, random);
            changed
        }
    }
}

/// Takes a random field of another value, which has the same schema.
fn graft(value: &mut Value, other: &Value, random: &mut Rng) {
    let fields: Vec<&String> = other.as_object().into_iter().flatten().map(|(name, _)| name).collect();
    let Some(name) = random.choice(fields) else {
        return;
    };
    let Some(object) = value.as_object_mut() else { return };
    let is_deeper = other[name].is_object() && object.get(name).is_some_and(Value::is_object);
    match object.get_mut(name) {
        Some(inner) if is_deeper && random.u8(..4) > 0 => graft(inner, &other[name], random),
        _ => drop(object.insert(name.clone(), other[name].clone())),
    }
}

/// Removes a random field or item.
fn remove(value: &mut Value, random: &mut Rng) {
    match value {
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let Some(name) = random.choice(names) else { return };
            let inner = &mut fields[&name];
            if (inner.is_object() || inner.is_array()) && random.u8(..4) > 0 {
                remove(inner, random);
            } else if name != "image" && name != "consumerSpec" {
                fields.remove(&name);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = random.usize(..items.len());
            if items[at].is_object() && random.bool() {
                remove(&mut items[at], random);
            } else {
                items.remove(at);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kcg_api::GroupDefaults;
    use kcg_api::valid::{TopicGrants, ValidGroup, parse_group};

    use super::*;

    /// What the rules refuse of random groups, without a cluster.
    #[test]
    fn random_groups_are_admitted_in_good_part_and_break_many_rules() {
        let mut random = Rng::with_seed(1);
        let (mut admitted, mut refused) = (0, BTreeMap::<String, (usize, String)>::new());
        for index in 0..400 {
            let parsed = parse_group(group(&format!("g-{index}"), &mut random));
            let broken = ValidGroup::read(&parsed.group, &TopicGrants::Every, &GroupDefaults::default());
            let broken = broken.err().unwrap_or_default();
            let broken: Vec<_> = parsed.violations.iter().chain(&broken).collect();
            admitted += usize::from(broken.is_empty());
            for violation in broken {
                let field = crate::tally::field(&violation.field);
                refused.entry(field).or_insert_with(|| (0, violation.detail.clone())).0 += 1;
            }
        }
        if std::env::var_os("KCG_LEGAL_FIELDS").is_some() {
            let mut fields: Vec<_> =
                refused.iter().map(|(field, (count, why))| (count, field, why)).collect();
            fields.sort();
            for (count, field, why) in fields.iter().rev() {
                println!("{count} {field}: {}", why.chars().take(150).collect::<String>());
            }
        }
        assert!(admitted >= 150, "only {admitted} of 400 are admitted");
        assert!(refused.len() >= 30, "only {} fields are refused: {refused:?}", refused.len());
    }
}
