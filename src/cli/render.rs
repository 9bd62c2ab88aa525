//! `render PATH...`: the owned resources that the controller would create, or that it applies to a
//! group of the cluster.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Args;
use kcg_api::topic::{TopicLookup, TopicRef};
use kcg_api::{ValidGroup, names};
use kcg_core::ceiling::Ceiling;
use kcg_core::children::ChildKind;
use kcg_core::desired::DesiredState;
use kcg_core::facts::Observed;
use kcg_runtime::client::RequestMetrics;
use kcg_runtime::watch::ObjectKey;
use serde_json::Value;

use super::check::{self, CheckedGroup, ManifestArgs};
use super::cluster_args::{ClusterArgs, OfflineArg};
use super::documents::{Documents, FileItem};
use super::files::FileArgs;
use super::manifests::name_of;
use super::metadata::SeenGroups;
use super::partitions::PartitionArgs;
use super::{CliError, manifests, terminal};
use crate::cluster::{LiveGroup, LiveReader};

#[derive(Debug, Args)]
#[command(mut_arg("kubeconfig", |arg| arg.help("Path of the kubeconfig [default: KUBECONFIG or ~/.kube/config]")))]
pub(super) struct RenderArgs {
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    partitions: PartitionArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
    // Before the flags that it is compared with: reading a flag takes it from clap's matches.
    #[command(flatten)]
    offline: OfflineArg,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// The output, and what is to say about it.
#[derive(Debug, Default)]
struct Rendered {
    objects: Vec<Value>,
    notes: Vec<String>,
    errors: Vec<String>,
    /// The topics that the groups name.
    topics: BTreeSet<TopicRef>,
}

/// Exit code 1 if there is no group, a group is invalid or a document cannot be read.
pub(super) fn run(args: &RenderArgs) -> Result<ExitCode, CliError> {
    let rendered = super::block_on(render(args))?;
    // Print nothing if a group is wrong, so that a pipe does not apply only some of the objects.
    let failed = !rendered.errors.is_empty();
    for line in if failed { &rendered.errors } else { &rendered.notes } {
        terminal::print_error(line);
    }
    if failed {
        return Ok(ExitCode::FAILURE);
    }
    terminal::print(&manifests::yaml(&rendered.objects)?)?;
    Ok(ExitCode::SUCCESS)
}

async fn render(args: &RenderArgs) -> Result<Rendered, CliError> {
    let mut rendered = Rendered::default();
    let mut reader = connect(args, &mut rendered.notes).await?;
    let namespace = reader.as_ref().map_or("default", LiveReader::namespace);
    let manifest = args.manifest.or_in_namespace(namespace);
    let mut documents = Documents::of(&args.files);
    let mut has_groups = false;
    let mut seen = SeenGroups::default();
    for (name, found) in documents.by_ref() {
        match found {
            FileItem::Group(group) => {
                has_groups = true;
                if let Some(violation) = seen.add(&name, &group, manifest.namespace()) {
                    let refusal = check::refusal(&name_of(&group), &[violation]);
                    rendered.errors.push(format!("{name}: {refusal}"));
                    continue;
                }
                rendered.add(&name, group, &manifest, args, &mut reader).await?;
            }
            FileItem::Error(why) => rendered.errors.push(format!("{name}: {why}")),
            FileItem::Skipped(why) => rendered.notes.push(format!("{name}: skipped: {why}")),
        }
    }
    let without_groups = documents.without_groups().map(ToString::to_string);
    if has_groups {
        rendered.notes.extend(without_groups);
        rendered.notes.extend(args.partitions.unused(&rendered.topics));
    } else {
        let is_explained = !rendered.errors.is_empty();
        rendered.errors.extend(without_groups);
        let none = || format!("no {} was found: check the paths (-R reads nested folders)", names::KIND);
        rendered.errors.extend((!is_explained).then(none));
    }
    Ok(rendered)
}

/// The cluster, if one is named or configured. Only one that is named has to respond.
async fn connect(args: &RenderArgs, notes: &mut Vec<String>) -> Result<Option<LiveReader>, CliError> {
    if args.offline.is_set() || !args.cluster.is_configured() {
        return Ok(None);
    }
    let connected = async {
        let client = args.cluster.client_config("-render").client(&RequestMetrics::default()).await?;
        LiveReader::connect(client).await.map_err(CliError::temporary)
    };
    match connected.await {
        Ok(reader) => Ok(Some(reader)),
        Err(error) if args.cluster.is_given() => Err(error),
        Err(error) => {
            notes.push(format!("nothing was read from the cluster: {error}"));
            Ok(None)
        }
    }
}

impl Rendered {
    /// Adds the owned resources of one group, or the error why it has none.
    async fn add(
        &mut self,
        file: &str,
        group: Value,
        manifest: &ManifestArgs,
        args: &RenderArgs,
        reader: &mut Option<LiveReader>,
    ) -> Result<(), CliError> {
        // Only a valid group has names that can be looked up.
        let valid = match without_rules_of_topics(&group, manifest) {
            Ok(valid) => valid,
            Err(error) => {
                self.errors.push(format!("{file}: {error}"));
                return Ok(());
            }
        };
        self.topics.extend(valid.consumer.topics.iter().cloned());
        let key = ObjectKey::new(&valid.namespace, &valid.name);
        let LiveGroup { uid, mut observed } = self.read(&key, &valid, args, reader).await?;
        let partitions = args.partitions.with_read(std::mem::take(&mut observed.topics));
        observed.topics = partitions.lookups(&valid.consumer.topics);
        let stored = manifest.stored(group, uid);
        let violation = check::live_rule(&stored.group, &partitions).violation;
        let state = violation
            .map_or_else(|| manifest.desired_state(&stored, &observed), |violation| Err(vec![violation]));
        match state {
            Ok(state) => self.render(file, &state, &observed, reader.is_some()),
            Err(violations) => {
                let violations: Vec<String> = violations.iter().map(ToString::to_string).collect();
                self.errors.push(format!("{file}: {}", check::refusal(key.name(), &violations)));
            }
        }
        Ok(())
    }

    /// The group as it is in the cluster. Only a cluster that a flag names has to respond: another
    /// one is not asked again.
    async fn read(
        &mut self,
        key: &ObjectKey,
        group: &ValidGroup,
        args: &RenderArgs,
        reader: &mut Option<LiveReader>,
    ) -> Result<LiveGroup, CliError> {
        let Some(cluster) = reader else { return Ok(LiveGroup::default()) };
        match cluster.read(key, &group.consumer.topics).await {
            Ok(live) => Ok(live),
            Err(error) if args.cluster.is_given() => Err(CliError::temporary(error)),
            Err(error) => {
                self.notes.push(format!("nothing more is read from the cluster: {error}"));
                *reader = None;
                Ok(LiveGroup::default())
            }
        }
    }

    fn render(&mut self, file: &str, state: &DesiredState, observed: &Observed, is_read: bool) {
        let missing = unknown_topics(&state.ceiling, observed);
        if let Some(topics) = &missing {
            let left_out = if state.group.cap.is_none() { "maxReplicas and " } else { "" };
            self.notes.push(format!(
                "{file}: {} {:?}: the partitions of {topics}: printed without {left_out}the PrometheusRule; \
                 name them with --partitions TOPIC=N, or a cluster with --kubeconfig or --context",
                names::KIND,
                state.group.name
            ));
        }
        for kind in ChildKind::ALL {
            let Some(mut object) = state.child(kind).map(|child| child.object) else { continue };
            if missing.is_some() && kind == ChildKind::PrometheusRule {
                continue;
            }
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("ownerReferences");
            }
            if kind == ChildKind::HorizontalPodAutoscaler {
                without_what_is_not_known(
                    &mut object,
                    !is_read,
                    missing.is_some() && state.group.cap.is_none(),
                );
            }
            self.objects.push(object);
        }
    }
}

/// The group, checked by the rules that need no cluster.
fn without_rules_of_topics(group: &Value, manifest: &ManifestArgs) -> Result<ValidGroup, String> {
    let CheckedGroup { name, outcome, .. } = check::check(group.clone(), manifest, &PartitionArgs::default());
    let (valid, _) = outcome.map_err(|violations| check::refusal(&name, &violations))?;
    if valid.name.is_empty() {
        let name = group["metadata"]["generateName"].as_str().unwrap_or_default();
        return Err(format!(
            "{} {name:?} has a generateName: the names of its owned resources are not known until it is created; set metadata.name",
            names::KIND
        ));
    }
    Ok(valid)
}

/// The topics whose partitions could not be read and are held nowhere, and why.
fn unknown_topics(ceiling: &Ceiling, observed: &Observed) -> Option<String> {
    let unknown = ceiling.counts.iter().filter(|count| count.partitions().is_none());
    let reason = |topic| match observed.topics.get(topic) {
        Some(TopicLookup::Unknown(why)) => format!("are not known ({why})"),
        Some(TopicLookup::NotFound) => "are not known (it does not exist)".to_owned(),
        Some(TopicLookup::NotServed) => "are not known (the cluster serves no KafkaTopics)".to_owned(),
        Some(TopicLookup::Found(_)) => "are not known (it states no valid number)".to_owned(),
        None => "are not known".to_owned(),
    };
    let named: Vec<String> =
        unknown.map(|count| format!("KafkaTopic {} {}", count.topic, reason(&count.topic))).collect();
    (!named.is_empty()).then(|| named.join(", "))
}

/// Removes what only the cluster knows, and a ceiling that would be lower than the real one.
fn without_what_is_not_known(autoscaler: &mut Value, held: bool, ceiling: bool) {
    if held && let Some(annotations) = autoscaler["metadata"]["annotations"].as_object_mut() {
        annotations.remove(names::ANNOTATION_HELD);
        if annotations.is_empty()
            && let Some(metadata) = autoscaler["metadata"].as_object_mut()
        {
            metadata.remove("annotations");
        }
    }
    if ceiling && let Some(spec) = autoscaler["spec"].as_object_mut() {
        spec.remove("maxReplicas");
    }
}
