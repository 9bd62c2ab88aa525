//! What the API server refuses in the metadata of a group before the webhook sees it, and two groups of
//! one name.

use std::collections::HashMap;

use kcg_api::names;
use kcg_api::valid::ParsedGroup;
use kcg_api::violation::{Rule, Violation};
use serde_json::Value;

use super::manifests::name_of;

const NAMESPACE: &str = "must be a lowercase DNS label of at most 63 characters";
const GENERATE_NAME: &str = "must be lowercase letters, digits and dashes that start with a letter: the API server adds five characters to it";

/// The violations of the names in the metadata. Metadata of a wrong type has violations of its own.
pub(super) fn check(parsed: &ParsedGroup) -> Vec<Violation> {
    let metadata = &parsed.group.metadata;
    let set = |name: &'_ Option<String>| name.clone().filter(|name| !name.is_empty());
    let mut violations = Vec::new();
    match (set(&metadata.name), set(&metadata.generate_name)) {
        // The rule of the webhook checks it.
        (Some(_), _) => {}
        (None, Some(prefix)) => {
            if !names::SERVICE_NAME.matches(&format!("{}x", prefix.chars().take(58).collect::<String>())) {
                violations.push(Violation::invalid(
                    Rule::Name,
                    "metadata.generateName",
                    prefix,
                    GENERATE_NAME,
                ));
            }
        }
        (None, None) => {
            let is_reported =
                parsed.violations.iter().any(|violation| violation.field.starts_with("metadata"));
            let missing =
                || Violation::required(Rule::Name, "metadata.name", "name or generateName is required");
            violations.extend((!is_reported).then(missing));
        }
    }
    if let Some(namespace) = set(&metadata.namespace).filter(|namespace| !names::DNS_LABEL.matches(namespace))
    {
        violations.push(Violation::invalid(Rule::Name, "metadata.namespace", namespace, NAMESPACE));
    }
    violations
}

/// The groups that were read so far, and the file of each.
#[derive(Debug, Default)]
pub(super) struct SeenGroups(HashMap<(String, String), String>);

impl SeenGroups {
    /// Notes a group, whose namespace is `default_namespace` if it states none. The sentence about an
    /// earlier one of the same name.
    pub(super) fn add(&mut self, file: &str, group: &Value, default_namespace: &str) -> Option<String> {
        let metadata = &group["metadata"];
        // The API server makes a new name for each generateName.
        metadata["name"].as_str().filter(|name| !name.is_empty())?;
        let (name, namespace) =
            (name_of(group), metadata["namespace"].as_str().unwrap_or(default_namespace).to_owned());
        let earlier = self.0.insert((namespace.clone(), name.clone()), file.to_owned())?;
        let detail = if earlier == file { "this file".to_owned() } else { earlier };
        let violation = Violation::duplicate(Rule::Name, "metadata.name", name);
        let detail = format!(
            "{detail} has another {} of this name in namespace {namespace}, and the later one overwrites it: \
             remove one, or judge the files of each cluster on their own",
            names::KIND
        );
        Some(Violation { detail, ..violation }.to_string())
    }
}
