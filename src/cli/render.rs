//! `render FILE`: the owned resources that the controller would create.

use std::process::ExitCode;

use clap::Args;
use kcg_api::{ValidGroup, names};
use kcg_core::{ceiling, children};
use serde_json::Value;

use super::partitions::PartitionArgs;
use super::validate::{self, CheckedGroup, ManifestArgs};
use super::{CliError, manifests, terminal};

#[derive(Debug, Args)]
pub(super) struct RenderArgs {
    /// File with YAML or JSON; - is standard input. Objects of other kinds are ignored
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    partitions: PartitionArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
}

pub(super) fn run(args: &RenderArgs) -> Result<ExitCode, CliError> {
    let mut objects = Vec::new();
    let mut errors = Vec::new();
    for group in manifests::groups(&args.file) {
        match group.map(|group| validate::check(group, &args.manifest, &args.partitions)) {
            Ok(CheckedGroup { name, outcome: Ok((group, _)) }) if group.name.is_empty() => errors.push(format!(
                "{} {name:?} has a generateName: the names of its owned resources are not known until it is created; set metadata.name",
                names::KIND
            )),
            Ok(CheckedGroup { outcome: Ok((group, _)), .. }) => objects.extend(rendered(&group, &args.partitions)),
            Ok(CheckedGroup { name, outcome: Err(violations) }) => {
                errors.push(validate::refusal(&name, &violations));
            }
            Err(error) => errors.push(error.to_string()),
        }
    }
    // Print nothing, so that a pipe does not apply only some of the objects.
    if !errors.is_empty() {
        for error in errors {
            terminal::print_error(&format!("{}: {error}", manifests::display_name(&args.file)));
        }
        return Ok(ExitCode::FAILURE);
    }
    terminal::print(&manifests::yaml(&objects)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The owned resources of a group, without an owner reference: the group has no uid.
fn rendered(group: &ValidGroup, partitions: &PartitionArgs) -> Vec<Value> {
    let ceiling = ceiling::resolve(group, &partitions.lookups(&group.consumer.topics), None);
    let objects = children::desired(group, &ceiling).into_iter().map(|child| child.object);
    objects.map(without_owner).collect()
}

fn without_owner(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("ownerReferences");
    }
    object
}
