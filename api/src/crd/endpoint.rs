//! The constraints on spec.metrics.endpoint and additionalEndpoints. What a relabeling may do to
//! labels is left to the webhook and the controller: CEL cannot compare two regular expressions.

use serde_json::{Value, json};

use super::{at, grammar};
use crate::messages;
use crate::names;
use crate::rules::endpoint::{
    ACTIONS, ADDITIONAL, MAIN, MAX_ENDPOINTS, MAX_RELABELINGS, MAX_SOURCE_LABELS, MAX_TEXT, SCHEMES,
    TLS_VERSIONS,
};

const ITEM: &str = "spec.metrics.additionalEndpoints.[]";

/// The constraints by field.
pub(super) fn constraints() -> impl Iterator<Item = (String, Value)> {
    let item = |field: &str| format!("{ITEM}.{field}");
    let own = [
        (
            ADDITIONAL.to_owned(),
            json!({"maxItems": MAX_ENDPOINTS, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port"]}),
        ),
        (item("port"), json!({"minimum": 1, "maximum": 65535})),
        (item("path"), grammar(&names::HTTP_PATH, messages::PATH)),
        (item("interval"), grammar(&names::DURATION, messages::DURATION)),
    ];
    own.into_iter().chain(of_one(MAIN)).chain(of_one(ITEM))
}

fn of_one(path: &'static str) -> impl Iterator<Item = (String, Value)> {
    let below = move |field: &str| format!("{path}.{field}");
    let text = || json!({"maxLength": MAX_TEXT});
    let own = [
        (path.to_owned(), json!({"x-kubernetes-validations": [credentials_rule()]})),
        (below("scheme"), json!({"enum": SCHEMES})),
        (below("scrapeTimeout"), grammar(&names::DURATION, messages::DURATION)),
        (below("tlsConfig.serverName"), text()),
        (below("tlsConfig.minVersion"), json!({"enum": TLS_VERSIONS})),
        (below("tlsConfig.maxVersion"), json!({"enum": TLS_VERSIONS})),
        (below("authorization.type"), text()),
    ];
    let relabelings = ["relabelings", "metricRelabelings"].into_iter().flat_map(move |list| {
        let item = move |field: &str| format!("{path}.{list}.[].{field}");
        [
            (below(list), json!({"maxItems": MAX_RELABELINGS})),
            (item("action"), json!({"enum": ACTIONS})),
            (item("sourceLabels"), json!({"maxItems": MAX_SOURCE_LABELS})),
            (item("sourceLabels.[]"), json!({"maxLength": names::LABEL_NAME.length})),
            (item("targetLabel"), json!({"maxLength": names::LABEL_TEMPLATE.length})),
            (item("regex"), text()),
            (item("separator"), text()),
            (item("replacement"), text()),
        ]
    });
    own.into_iter().chain(relabelings)
}

fn credentials_rule() -> Value {
    json!({
        "rule": "!has(self.basicAuth) || !has(self.authorization)",
        "fieldPath": ".basicAuth",
        "reason": "FieldValueForbidden",
        "message": messages::TWO_CREDENTIALS,
    })
}

/// Removes the descriptions of Kubernetes' types, and those that an additional endpoint would
/// repeat. A port identifies an additional endpoint.
pub(super) fn shrink(schema: &mut Value) {
    let selectors = ["tlsConfig.ca", "tlsConfig.cert", "tlsConfig.keySecret", "authorization.credentials"]
        .into_iter()
        .chain(["basicAuth.username", "basicAuth.password"])
        .map(|field| format!("{MAIN}.{field}"));
    let repeated = ["tlsConfig", "authorization", "basicAuth", "relabelings", "metricRelabelings"];
    for path in selectors.chain(repeated.map(|field| format!("{ITEM}.{field}"))) {
        super::keep_own_description(at(schema, &path));
    }
    let item = at(schema, ITEM);
    item["required"] = json!(["port"]);
    super::remove(at(item, "port"), "default");
}
