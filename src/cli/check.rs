//! Every rule of the webhook and the controller, applied to one group of a manifest.

use clap::Args;
use kcg_api::rule_input::RuleInput;
use kcg_api::rules::{self, live};
use kcg_api::spec_bounds;
use kcg_api::topic::{self, TopicRef};
use kcg_api::valid::{self, ParsedGroup, TopicGrants};
use kcg_api::violation::{ErrorType, Rule};
use kcg_api::{GroupDefaults, KconsumerGroup, ValidGroup, Violation, names};
use kcg_core::desired::{DesiredState, desired_state};
use kcg_core::facts::Observed;
use serde_json::Value;

use super::args::DefaultsArg;
use super::manifests::name_of;
use super::partitions::PartitionArgs;
use super::{args, metadata, unknown_fields};

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

    /// The namespace of a group that states none.
    pub(super) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    fn set_namespace(&self, group: &mut Value) {
        if let Some(metadata) = group.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.entry("namespace").or_insert_with(|| Value::from(self.namespace()));
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
    /// Its generateName if it has no name.
    pub(super) name: String,
    /// The topics that it names; `None` if its spec was not read.
    pub(super) topics: Option<Vec<TopicRef>>,
    /// The valid group with its warnings, or its violations.
    pub(super) outcome: Result<(ValidGroup, Vec<String>), Vec<String>>,
}

impl CheckedGroup {
    /// Adds a violation that does not follow from the group alone.
    pub(super) fn add_violation(&mut self, violation: Option<String>) {
        let Some(violation) = violation else { return };
        match &mut self.outcome {
            Ok(_) => self.outcome = Err(vec![violation]),
            Err(violations) => violations.push(violation),
        }
    }
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
    let name = name_of(&group);
    let namespace = group["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    let unreadable = unsupported_version(&group).map_or_else(
        || spec_bounds::check_value(&group["spec"], manifest.max_spec_bytes),
        |found| vec![found],
    );
    if !unreadable.is_empty() {
        return CheckedGroup { namespace, name, topics: None, outcome: Err(sentences(&unreadable)) };
    }
    let mut violations = unknown_fields::find(&group, &unknown_fields::SCHEMA)
        .into_iter()
        .map(|field| Violation::unknown_field(Rule::Type, field, names::KIND))
        .collect();
    let parsed = valid::parse_group(group);
    let topics = topic::named_by(&parsed.group.spec, &namespace);
    let outcome = check_fields(&parsed, manifest, partitions, &mut violations);
    let outcome = outcome.ok_or_else(|| sentences(&violations));
    CheckedGroup { namespace, name, topics: Some(topics), outcome }
}

fn sentences(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(ToString::to_string).collect()
}

/// The group with its warnings, if nothing is added to the violations and they were empty.
fn check_fields(
    parsed: &ParsedGroup,
    manifest: &ManifestArgs,
    partitions: &PartitionArgs,
    violations: &mut Vec<Violation>,
) -> Option<(ValidGroup, Vec<String>)> {
    let (grants, defaults) = (manifest.grants(), manifest.defaults());
    let statics = ValidGroup::read(&parsed.group, &grants, &defaults);
    let live = live_rule(&parsed.group, partitions);
    violations.extend(parsed.violations.iter().cloned());
    violations.extend(metadata::check(parsed));
    violations.extend(statics.iter().flat_map(|_| &live.violation).cloned());
    if let Err(broken) = &statics {
        violations.extend(broken.iter().chain(&live.violation).cloned().map(with_own_flag));
    }
    // A value of a wrong type was removed. That it is missing now is not a second mistake.
    parsed.drop_followup_errors(violations);
    let valid = statics.ok().filter(|_| violations.is_empty())?;
    let filled = defaults.fill_in(&parsed.group.spec);
    let input = RuleInput::new(Some(&valid.name), &valid.namespace, &filled, &grants);
    let warnings = rules::advice(&input).into_iter().chain(live.warnings).collect();
    Some((valid, warnings))
}

/// The cure of a rule that the operator's flags decide, with the flag of this command.
fn with_own_flag(violation: Violation) -> Violation {
    if violation.rule != Rule::TopicNamespace || violation.error_type != ErrorType::Forbidden {
        return violation;
    }
    let detail = format!("{}; if it has this flag, pass it to this command, too", violation.detail);
    Violation { detail, ..violation }
}

/// The violation of a group with a version that is not served. Its fields may mean anything, so
/// nothing else is checked.
fn unsupported_version(group: &Value) -> Option<Violation> {
    let served = format!("{}/{}", names::GROUP, names::VERSION);
    let version = group["apiVersion"].as_str().unwrap_or_default();
    (version != served).then(|| Violation::not_supported(Rule::Type, "apiVersion", version, &[&served]))
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
