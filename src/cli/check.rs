//! Every rule of the webhook and the controller, applied to one group of a manifest.

use clap::Args;
use kcg_api::rule_input::RuleInput;
use kcg_api::rules::{self, live};
use kcg_api::spec_bounds;
use kcg_api::topic;
use kcg_api::valid::{self, ParsedGroup, TopicGrants};
use kcg_api::violation::Rule;
use kcg_api::{GroupDefaults, KconsumerGroup, ValidGroup, Violation, names};
use kcg_core::desired::{DesiredState, desired_state};
use kcg_core::facts::Observed;
use serde_json::Value;

use super::args::DefaultsArg;
use super::partitions::PartitionArgs;
use super::{args, unknown_fields};

/// What a manifest leaves open.
#[derive(Clone, Debug, Args)]
pub(super) struct ManifestArgs {
    /// Namespace of groups without a metadata.namespace [default: that of the context if a cluster
    /// is read, otherwise default]
    #[arg(short, long, value_parser = args::namespace, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Namespaces, besides its own, whose KafkaTopics a group may use, as in the operator's flag; *
    /// allows all
    #[arg(long, value_delimiter = ',', value_parser = args::namespace_item_or_all, value_name = "NAMESPACE,...")]
    topic_namespaces: Vec<String>,
    /// Bytes of a group's spec as compact JSON, as in the operator's flag
    #[arg(long, default_value_t = spec_bounds::MAX_BYTES, value_parser = args::spec_bytes, value_name = "BYTES")]
    max_spec_bytes: usize,
    /// File with the defaults of the installation, as in the operator's flag
    #[arg(long, value_parser = args::defaults_file, value_name = "FILE")]
    defaults: Option<DefaultsArg>,
}

impl ManifestArgs {
    /// With this namespace if no flag names one.
    pub(super) fn or_in_namespace(&self, namespace: &str) -> Self {
        let mut args = self.clone();
        args.namespace.get_or_insert_with(|| namespace.to_owned());
        args
    }

    fn set_namespace(&self, group: &mut Value) {
        if let Some(metadata) = group.get_mut("metadata").and_then(Value::as_object_mut) {
            let namespace = self.namespace.as_deref().unwrap_or("default");
            metadata.entry("namespace").or_insert_with(|| Value::from(namespace));
        }
    }

    /// A group as it would be stored with this uid.
    pub(super) fn stored(&self, mut group: Value, uid: Option<String>) -> ParsedGroup {
        self.set_namespace(&mut group);
        let mut stored = valid::parse_group(group);
        stored.group.metadata.uid = uid;
        stored
    }

    /// What the controller would make of a stored group.
    pub(super) fn desired_state(
        &self,
        stored: &ParsedGroup,
        observed: &Observed,
    ) -> Result<DesiredState, Vec<Violation>> {
        desired_state(stored, observed, &self.grants(), &self.defaults())
    }

    fn grants(&self) -> TopicGrants {
        TopicGrants::from_flag(&args::without_empty(&self.topic_namespaces))
    }

    fn defaults(&self) -> GroupDefaults {
        self.defaults.as_ref().map(|file| file.defaults.clone()).unwrap_or_default()
    }
}

/// The result of validating one group.
#[derive(Debug)]
pub(super) struct CheckedGroup {
    pub(super) namespace: String,
    pub(super) name: String,
    /// The valid group with its warnings, or its violations.
    pub(super) outcome: Result<(ValidGroup, Vec<String>), Vec<String>>,
}

/// All violations of one group, in the format in which kubectl prints an error of the API server.
pub(super) fn refusal(name: &str, violations: &[String]) -> String {
    let head = format!("The {} {name:?} is invalid:", names::KIND);
    match violations {
        [one] => format!("{head} {one}"),
        several => format!("{head}\n* {}", several.join("\n* ")),
    }
}

/// Applies every rule to one group.
pub(super) fn check(mut group: Value, manifest: &ManifestArgs, partitions: &PartitionArgs) -> CheckedGroup {
    manifest.set_namespace(&mut group);
    let metadata = |field: &str| group["metadata"][field].as_str().filter(|text| !text.is_empty());
    let name = metadata("name").or_else(|| metadata("generateName")).unwrap_or_default().to_owned();
    let namespace = metadata("namespace").unwrap_or_default().to_owned();
    let outcome = unsupported_version(&group).map_or_else(
        || spec_bounds::check_value(&group["spec"], manifest.max_spec_bytes),
        |found| vec![found],
    );
    let outcome = if outcome.is_empty() {
        check_fields(group, manifest, partitions)
    } else {
        Err(outcome.iter().map(ToString::to_string).collect())
    };
    CheckedGroup { namespace, name, outcome }
}

fn check_fields(
    group: Value,
    manifest: &ManifestArgs,
    partitions: &PartitionArgs,
) -> Result<(ValidGroup, Vec<String>), Vec<String>> {
    let unknown = unknown_fields::find(&group, &unknown_fields::SCHEMA);
    let unknown =
        unknown.iter().map(|field| format!("{field}: Unknown field: a {} has no such field", names::KIND));
    let parsed = valid::parse_group(group);
    let grants = manifest.grants();
    let defaults = manifest.defaults();
    let statics = ValidGroup::read(&parsed.group, &grants, &defaults);
    let live = live_rule(&parsed.group, partitions);

    let mut violations: Vec<String> = unknown.collect();
    violations.extend(parsed.violations.iter().map(ToString::to_string));
    violations.extend(missing_name(&parsed).map(|violation| violation.to_string()));
    // A value of a wrong type was removed. That it is missing now is not a second mistake.
    let was_parsed =
        |violation: &&Violation| !parsed.violations.iter().any(|earlier| earlier.field == violation.field);
    violations.extend(statics.iter().flat_map(|_| &live.violation).map(ToString::to_string));
    if let Err(broken) = &statics {
        violations.extend(broken.iter().chain(&live.violation).filter(was_parsed).map(ToString::to_string));
    }
    match statics {
        Ok(valid) if violations.is_empty() => {
            let filled = defaults.fill_in(&parsed.group.spec);
            let input = RuleInput::new(Some(&valid.name), &valid.namespace, &filled, &grants);
            let warnings = rules::advice(&input).into_iter().chain(live.warnings).collect();
            Ok((valid, warnings))
        }
        _ => Err(violations),
    }
}

/// The violation of a group with a version that is not served. Its fields may mean anything, so
/// nothing else is checked.
fn unsupported_version(group: &Value) -> Option<Violation> {
    let served = format!("{}/{}", names::GROUP, names::VERSION);
    let version = group["apiVersion"].as_str().unwrap_or_default();
    (version != served).then(|| Violation::not_supported(Rule::Type, "apiVersion", version, &[&served]))
}

/// The violation of a group with neither a name nor a generateName, in the API server's words.
/// Metadata of a wrong type has a violation of its own.
fn missing_name(parsed: &ParsedGroup) -> Option<Violation> {
    let metadata = &parsed.group.metadata;
    let is_set = |name: &Option<String>| name.as_deref().is_some_and(|name| !name.is_empty());
    let is_reported = parsed.violations.iter().any(|violation| violation.field.starts_with("metadata"));
    let is_missing = !is_set(&metadata.name) && !is_set(&metadata.generate_name) && !is_reported;
    is_missing.then(|| Violation::required(Rule::Name, "metadata.name", "name or generateName is required"))
}

/// The rule that needs the topics' partitions. It is not checked if none are known.
pub(super) fn live_rule(group: &KconsumerGroup, partitions: &PartitionArgs) -> live::LiveCheck {
    if partitions.is_empty() {
        return live::LiveCheck::default();
    }
    let namespace = group.metadata.namespace.as_deref().unwrap_or_default();
    let lookups = partitions.lookups(&topic::named_by(&group.spec, namespace));
    live::check(&group.spec, namespace, &lookups)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        manifest: ManifestArgs,
        #[command(flatten)]
        partitions: PartitionArgs,
    }

    /// The warnings of a group of an installation with this file of defaults.
    fn warnings(defaults: &str) -> Vec<String> {
        let mut flags = Flags::parse_from(["check"]);
        let defaults = GroupDefaults::parse(defaults).unwrap();
        flags.manifest.defaults = Some(DefaultsArg { defaults, hash: String::new() });
        let group = json!({
            "apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup", "metadata": {"name": "a"},
            "spec": {"minReplicas": 1, "averageRecordsLagLimit": 1, "consumerSpec": {"image": "i", "topic": "t"},
                "scaling": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}},
        });
        check(group, &flags.manifest, &flags.partitions).outcome.unwrap().1
    }

    #[test]
    fn the_warnings_are_those_of_the_webhook_with_the_same_file_of_defaults() {
        assert!(warnings("{}")[0].contains("Micrometer"));
        assert_eq!(warnings("metrics: {preset: JmxExporter}"), [""; 0]);
    }
}
