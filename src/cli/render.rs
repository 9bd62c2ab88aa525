//! `render FILE`: the children that the controller would write, for review and for a pipe.

use clap::Args;
use kcg_api::{ValidGroup, names};
use serde_json::Value;
use std::process::ExitCode;

use super::partitions::Given;
use super::validate::{self, Checked, Reading};
use super::{Failure, manifests, output};
use kcg_core::{ceiling, children};

#[derive(Debug, Args)]
pub struct Flags {
    /// A file of YAML or JSON; - is standard input. Objects of other kinds are passed over
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    read: Reading,
}

pub fn run(flags: &Flags) -> Result<ExitCode, Failure> {
    let mut objects = Vec::new();
    let mut complaints = Vec::new();
    for group in manifests::groups(&flags.file) {
        match group.map(|group| validate::check(group, &flags.read, &flags.given)) {
            Ok(Checked { name, outcome: Ok((group, _)) }) if group.name.is_empty() => complaints.push(format!(
                "{} {name:?} has a generateName: the names of its children are not known before it is created; give it a metadata.name",
                names::KIND
            )),
            Ok(Checked { outcome: Ok((group, _)), .. }) => objects.extend(rendered(&group, &flags.given)),
            Ok(Checked { name, outcome: Err(violations) }) => {
                complaints.push(validate::refusal(&name, &violations));
            }
            Err(error) => complaints.push(error.to_string()),
        }
    }
    // A part of the objects piped into a cluster would be worse than none.
    if !complaints.is_empty() {
        for complaint in complaints {
            output::complain(&format!("{}: {complaint}", manifests::name(&flags.file)));
        }
        return Ok(ExitCode::FAILURE);
    }
    output::print(&manifests::yaml(&objects)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The children of a group that no cluster holds: without an owner, since it has no uid.
fn rendered(group: &ValidGroup, given: &Given) -> Vec<Value> {
    let ceiling = ceiling::resolve(group, &given.lookups(&group.consumer.topics), None);
    let objects = children::desired(group, &ceiling).into_iter().map(|child| child.object);
    objects.map(without_owner).collect()
}

fn without_owner(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("ownerReferences");
    }
    object
}
