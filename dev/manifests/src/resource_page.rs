//! docs/resource.md: the reference of the resource, rendered from the CRD's schema and the doc
//! comments of the conditions, so that it always matches what the API server serves.

use std::fmt::Write as _;

use kcg_api::condition::{ConditionType, Reason};
use kcg_api::event::EventReason;
use kcg_api::preset::{LagStatistic, Preset};
use serde_json::Value;

const TITLE: &str = "\
# KconsumerGroup (thenextapps.com/v1alpha1)
Every field, as `kubectl explain kconsumergroup --recursive` shows it. The admission webhook checks the rules that need
the topics' live partitions, the installer's grants or the content of the pod template, and the rules of endpoints that
compare fields or regular expressions. The API server itself checks all others, even if the webhook is not available.

";

/// The reference as Markdown, from the CRD as JSON.
pub fn render(crd: &Value) -> String {
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut text = format!(
        "<!-- Rendered from the code: edit the doc comments in api/src, then run {} -->\n{TITLE}",
        crate::RENEW
    );
    table(&mut text, "Spec", "spec", &schema["spec"]);
    presets(&mut text);
    table(&mut text, "Status", "status", &schema["status"]);
    conditions(&mut text);
    text
}

fn table(text: &mut String, title: &str, root: &str, schema: &Value) {
    let _ = write!(text, "## {title}\n| field | type | default | meaning |\n|---|---|---|---|\n");
    rows(text, root, schema);
    text.push('\n');
}

fn rows(text: &mut String, path: &str, schema: &Value) {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let meaning =
            field["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        let needed = if required.contains(&name.as_str()) { "**required** " } else { "" };
        let _ = writeln!(
            text,
            "| `{path}` | {} | {} | {needed}{meaning}{} |",
            kind(field),
            default(field),
            rules(field)
        );
        if is_ours(&path) {
            rows(text, &path, field);
            rows(text, &format!("{path}[]"), &field["items"]);
        }
    }
}

/// Whether a field's own fields are listed. Types of Kubernetes are not: `kubectl explain`
/// describes them.
fn is_ours(path: &str) -> bool {
    const FOREIGN: [&str; 14] = [
        "env",
        "envFrom",
        "resources",
        "imagePullSecrets",
        "behavior",
        "strategy",
        "conditions",
        "podTemplate",
        "ca",
        "cert",
        "keySecret",
        "credentials",
        "username",
        "password",
    ];
    // Types of Kubernetes, and what has the fields of the endpoint.
    const ROOTS: [&str; 2] = ["spec.scaling.metrics", "spec.metrics.additionalEndpoints[]."];
    !ROOTS.iter().any(|root| path.starts_with(root))
        && path.rsplit('.').next().is_none_or(|last| !FOREIGN.contains(&last))
}

fn kind(field: &Value) -> String {
    let of = |schema: &Value| {
        schema["format"].as_str().or_else(|| schema["type"].as_str()).unwrap_or("any").to_owned()
    };
    match field["type"].as_str() {
        Some("array") => format!("list of {}", of(&field["items"])),
        Some("object") if field["additionalProperties"].is_object() => {
            format!("map to {}", of(&field["additionalProperties"]))
        }
        _ => of(field),
    }
}

fn default(field: &Value) -> String {
    match &field["default"] {
        Value::Null | Value::Object(_) => String::new(),
        value => format!("`{value}`"),
    }
}

/// The field's validation: bounds, enums, and the messages of its CEL rules.
fn rules(field: &Value) -> String {
    let mut rules = Vec::new();
    let number = |key: &str| field[key].as_f64().map(|number| format!("{number:.0}"));
    if let Some(least) = number("minimum") {
        rules.push(match number("maximum") {
            Some(most) => format!("between {least} and {most}"),
            None => format!("at least {least}"),
        });
    }
    if let Some(most) = field["maxItems"].as_u64() {
        rules.push(format!("at most {most} items"));
    }
    if let Some(known) = field["enum"].as_array() {
        rules
            .push(format!("one of {}", known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
    }
    for rule in field["x-kubernetes-validations"].as_array().into_iter().flatten() {
        rules.extend(rule["message"].as_str().map(str::to_owned));
    }
    if rules.is_empty() { String::new() } else { format!(" _Rule: {}._", rules.join("; ")) }
}

fn presets(text: &mut String) {
    text.push_str(
        "### Presets of spec.metrics.preset\n| preset | port | path | lag, by partition | assigned partitions | as a custom metric: Sum, Max |\n|---|---|---|---|---|---|\n",
    );
    for preset in Preset::ALL {
        let (endpoint, metrics) = (preset.endpoint(), preset.client_metrics());
        let name = serde_json::to_value(preset).expect("invariant: a preset serializes to its name");
        let name = name.as_str().unwrap_or_default();
        let [sum, max] = LagStatistic::ALL.map(|statistic| preset.lag_metric(statistic));
        let _ = writeln!(
            text,
            "| `{name}` | {} | `{}` | `{}` | `{}` | `{sum}`, `{max}` |",
            endpoint.port, endpoint.path, metrics.records_lag, metrics.assigned_partitions
        );
    }
    text.push('\n');
}

fn conditions(text: &mut String) {
    text.push_str("## Conditions\n| type | True means |\n|---|---|\n");
    for type_ in ConditionType::ALL {
        let _ = writeln!(text, "| `{}` |{} |", type_.as_str(), type_.meaning());
    }
    text.push_str("\n### Reasons\nThe same reason names the condition, the Event and the metric's label.\n\n| reason | meaning |\n|---|---|\n");
    for reason in Reason::ALL {
        let _ = writeln!(text, "| `{}` |{} |", reason.as_str(), reason.meaning());
    }
    text.push_str("\n## Events\nA Warning has the reason of its condition. The reasons of Normal Events:\n\n| reason | meaning |\n|---|---|\n");
    for reason in EventReason::ALL {
        let _ = writeln!(text, "| `{}` |{} |", reason.as_str(), reason.meaning());
    }
}
