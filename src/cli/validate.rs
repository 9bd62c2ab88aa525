//! `validate FILE...`: the rules that the webhook and the controller hold a group to, applied to manifests.

use clap::Args;
use kcg_api::rules::live;
use kcg_api::valid::{self, TopicGrants};
use kcg_api::violation::{ErrorType, Rule};
use kcg_api::{KconsumerGroup, ValidGroup, Violation, names};
use serde_json::Value;
use std::process::ExitCode;

use super::partitions::Given;
use super::{Failure, manifests, namespaces, output, unknown};

#[derive(Debug, Args)]
pub struct Flags {
    /// Files of YAML or JSON; - is standard input. Objects of other kinds are passed over
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    pub read: Reading,
}

/// How a manifest is read that does not say everything itself.
#[derive(Debug, Args)]
pub struct Reading {
    /// The namespace of groups that state none
    #[arg(short, long, default_value = "default", value_parser = namespaces::one, value_name = "NAMESPACE")]
    namespace: String,
    /// Other namespaces whose KafkaTopics a group may name, as the operator's flag of that name; * is all
    #[arg(long, value_delimiter = ',', value_parser = namespaces::listed_or_every, value_name = "NAMESPACE,...")]
    topic_namespaces: Vec<String>,
}

/// A group that keeps the rules, with the live rule's warnings; or what it breaks.
pub struct Checked {
    pub name: String,
    pub outcome: Result<(ValidGroup, Vec<String>), Vec<String>>,
}

pub fn run(flags: &Flags) -> Result<ExitCode, Failure> {
    let mut sound = true;
    for file in &flags.files {
        let shown = manifests::name(file);
        for group in manifests::groups(file) {
            match group {
                Ok(group) => sound &= report(shown, check(group, &flags.read, &flags.given))?,
                Err(error) => {
                    sound = false;
                    output::complain(&format!("{shown}: {error}"));
                }
            }
        }
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(file: &str, checked: Checked) -> Result<bool, Failure> {
    match checked.outcome {
        Ok((_, warnings)) => {
            for warning in warnings {
                output::complain(&format!("{file}: Warning: {warning}"));
            }
            output::print(&format!("{file}: {} {:?} is valid\n", names::KIND, checked.name))?;
            Ok(true)
        }
        Err(violations) => {
            output::complain(&format!("{file}: {}", refusal(&checked.name, &violations)));
            Ok(false)
        }
    }
}

/// All violations of one group in the shape in which kubectl prints an API server's refusal.
pub fn refusal(name: &str, violations: &[String]) -> String {
    let head = format!("The {} {name:?} is invalid:", names::KIND);
    match violations {
        [one] => format!("{head} {one}"),
        several => format!("{head}\n* {}", several.join("\n* ")),
    }
}

/// Applies every rule to one written group.
pub fn check(mut group: Value, read: &Reading, given: &Given) -> Checked {
    if let Some(foreign) = foreign_version(&group) {
        let metadata = |field: &str| group["metadata"][field].as_str().map(str::to_owned);
        let name = metadata("name").or_else(|| metadata("generateName")).unwrap_or_default();
        return Checked { name, outcome: Err(vec![foreign.to_string()]) };
    }
    if let Some(metadata) = group.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.entry("namespace").or_insert_with(|| Value::from(read.namespace.as_str()));
    }
    let unknown = unknown::fields(&group, &unknown::schema());
    let unknown = unknown.iter().map(|field| format!("{field}: Unknown field: no {} has it", names::KIND));
    let written = valid::parse_group(group);
    let grants = TopicGrants::from_flag(&namespaces::named(&read.topic_namespaces));
    let statics = ValidGroup::read(&written.group, &grants);
    let live = live_rule(&written.group, given);

    let mut violations: Vec<String> = unknown.collect();
    violations.extend(written.violations.iter().map(ToString::to_string));
    violations.extend(nameless(&written).map(|violation| violation.to_string()));
    // What could not be read was left out: that it is missing now is no second fault.
    let read =
        |violation: &&Violation| !written.violations.iter().any(|earlier| earlier.field == violation.field);
    violations.extend(statics.iter().flat_map(|_| &live.violation).map(ToString::to_string));
    if let Err(broken) = &statics {
        violations.extend(broken.iter().chain(&live.violation).filter(read).map(ToString::to_string));
    }
    let outcome = match statics {
        Ok(valid) if violations.is_empty() => Ok((valid, live.warnings)),
        _ => Err(violations),
    };
    Checked { name: name(&written.group), outcome }
}

/// A group of a version that is not served: nobody knows what its fields mean, so nothing else is said of it.
fn foreign_version(group: &Value) -> Option<Violation> {
    let served = format!("{}/{}", names::GROUP, names::VERSION);
    let version = group["apiVersion"].as_str().unwrap_or_default();
    let sentence = format!("supported values: \"{served}\"");
    (version != served).then(|| Violation {
        value: Some(version.into()),
        ..Violation::new(Rule::Type, ErrorType::NotSupported, "apiVersion", sentence)
    })
}

/// A group that has no name and asks for none, in the API server's words. One whose metadata cannot be read has been
/// told so.
fn nameless(written: &valid::ParsedGroup) -> Option<Violation> {
    let metadata = &written.group.metadata;
    let is_given = |name: &Option<String>| name.as_deref().is_some_and(|name| !name.is_empty());
    let told = written.violations.iter().any(|violation| violation.field.starts_with("metadata"));
    let nameless = !is_given(&metadata.name) && !is_given(&metadata.generate_name) && !told;
    nameless.then(|| Violation::required(Rule::Name, "metadata.name", "name or generateName is required"))
}

/// The one rule that needs the topics; without a word about them it is left out.
fn live_rule(group: &KconsumerGroup, given: &Given) -> live::LiveCheck {
    if !given.any() {
        return live::LiveCheck::default();
    }
    let namespace = group.metadata.namespace.as_deref().unwrap_or_default();
    let lookups = given.lookups(&valid::topics(&group.spec, namespace));
    live::check(&group.spec, namespace, &lookups)
}

fn name(group: &KconsumerGroup) -> String {
    let metadata = &group.metadata;
    metadata
        .name
        .clone()
        .filter(|name| !name.is_empty())
        .or_else(|| metadata.generate_name.clone())
        .unwrap_or_default()
}
