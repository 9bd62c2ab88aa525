//! `validate PATH...`: applies the rules of the webhook and the controller to manifests.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use kcg_api::names;
use serde::Serialize;

use super::check::{self, CheckedGroup, ManifestArgs};
use super::documents::{Documents, FileItem, counted};
use super::files::FileArgs;
use super::metadata::SeenGroups;
use super::partitions::PartitionArgs;
use super::{CliError, terminal};

#[derive(Debug, Args)]
pub(super) struct ValidateArgs {
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    partitions: PartitionArgs,
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Succeed even if there is no KconsumerGroup
    #[arg(long)]
    allow_none: bool,
    /// Output format
    #[arg(long, short, value_enum, default_value_t = ResultFormat::Text, value_name = "FORMAT")]
    output: ResultFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ResultFormat {
    /// A line for each group and a summary on standard output; what is wrong on standard error
    // KCG_OUTPUT sets it for every command.
    #[value(alias = "table")]
    Text,
    /// One object with the fields valid, groups, errors, skipped, unusedPartitions, pathsWithoutGroups and
    /// otherDocuments
    Json,
}

/// Everything that was looked at, in its order.
#[derive(Debug)]
struct Report {
    findings: Vec<(String, Finding)>,
    /// What was read.
    documents: Documents,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "most findings are groups")]
enum Finding {
    Group(CheckedGroup),
    /// A file or a document that could not be judged.
    Error(String),
    /// The same, with `--skip-unreadable`.
    Skipped(String),
}

/// Exit code 0 if there are groups and all are valid, 1 otherwise.
pub(super) fn run(args: &ValidateArgs) -> Result<ExitCode, CliError> {
    let report = Report::of(args, Documents::of(&args.files));
    match args.output {
        ResultFormat::Text => report.print(args)?,
        ResultFormat::Json => terminal::print_json(&report.json(args)?)?,
    }
    Ok(if report.is_success(args) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The JSON output for a text instead of the files.
pub(super) fn json_of(args: &ValidateArgs, text: &str) -> Result<String, CliError> {
    Report::of(args, Documents::of_text(&args.files, text)).json(args)
}

impl Report {
    fn of(args: &ValidateArgs, mut documents: Documents) -> Self {
        let mut seen = SeenGroups::default();
        let findings = documents
            .by_ref()
            .map(|(file, found)| {
                let finding = match found {
                    FileItem::Group(group) => {
                        let earlier = seen.add(&file, &group, args.manifest.namespace());
                        let mut checked = check::check(group, &args.manifest, &args.partitions);
                        checked.add_violation(earlier);
                        Finding::Group(checked)
                    }
                    FileItem::Error(why) => Finding::Error(why),
                    FileItem::Skipped(why) => Finding::Skipped(why),
                };
                (file, finding)
            })
            .collect();
        Self { findings, documents }
    }

    /// A note for each count of a topic that no group names. Nothing is said while a group cannot be
    /// read: it may name the topic.
    fn unused_partitions(&self, args: &ValidateArgs) -> Vec<String> {
        let mut named = BTreeSet::new();
        for (_, finding) in &self.findings {
            match finding {
                Finding::Group(CheckedGroup { topics: Some(topics), .. }) => {
                    named.extend(topics.iter().cloned());
                }
                Finding::Group(_) | Finding::Error(_) => return Vec::new(),
                Finding::Skipped(_) => {}
            }
        }
        if named.is_empty() { Vec::new() } else { args.partitions.unused(&named) }
    }

    fn has_groups(&self) -> bool {
        self.findings.iter().any(|(_, finding)| matches!(finding, Finding::Group(_)))
    }

    /// Documents of other kinds.
    fn other_documents(&self) -> usize {
        self.documents.paths().iter().map(|path| path.other_documents).sum()
    }

    fn is_success(&self, args: &ValidateArgs) -> bool {
        let is_good = |finding: &Finding| match finding {
            Finding::Group(group) => group.outcome.is_ok(),
            Finding::Error(_) => false,
            Finding::Skipped(_) => true,
        };
        (self.has_groups() || args.allow_none) && self.findings.iter().all(|(_, finding)| is_good(finding))
    }

    fn print(&self, args: &ValidateArgs) -> Result<(), CliError> {
        for (file, finding) in &self.findings {
            match finding {
                Finding::Group(CheckedGroup { name, outcome: Ok((_, warnings)), .. }) => {
                    for warning in warnings {
                        terminal::print_error(&format!("{file}: Warning: {warning}"));
                    }
                    terminal::print_text(&format!("{file}: {} {name:?} is valid\n", names::KIND))?;
                }
                Finding::Group(CheckedGroup { name, outcome: Err(violations), .. }) => {
                    terminal::print_error(&format!("{file}: {}", check::refusal(name, violations)));
                }
                Finding::Error(why) => terminal::print_error(&format!("{file}: {why}")),
                Finding::Skipped(why) => terminal::print_error(&format!("{file}: skipped: {why}")),
            }
        }
        for note in self.unused_partitions(args) {
            terminal::print_error(&note);
        }
        if !args.allow_none {
            for path in self.documents.without_groups() {
                terminal::print_error(&path.to_string());
            }
        }
        terminal::print_text(&self.summary())?;
        let is_explained = self.findings.iter().any(|(_, finding)| matches!(finding, Finding::Error(_)));
        if !self.has_groups() && !args.allow_none && !is_explained {
            terminal::print_error(&format!(
                "no {} was found: check the paths (-R reads nested folders), or use --allow-none",
                names::KIND
            ));
        }
        Ok(())
    }

    /// One line: what was looked at.
    fn summary(&self) -> String {
        let count = |matches: fn(&Finding) -> bool| {
            self.findings.iter().filter(|(_, finding)| matches(finding)).count()
        };
        let valid = count(|finding| matches!(finding, Finding::Group(group) if group.outcome.is_ok()));
        let mut parts = vec![counted(valid, "group") + " valid"];
        for (number, what) in [
            (count(|finding| matches!(finding, Finding::Group(group) if group.outcome.is_err())), "invalid"),
            (count(|finding| matches!(finding, Finding::Error(_))), "not judged"),
            (count(|finding| matches!(finding, Finding::Skipped(_))), "skipped"),
        ] {
            parts.extend((number > 0).then(|| format!("{number} {what}")));
        }
        parts.push(counted(self.other_documents(), "other document") + " passed over");
        format!("{}\n", parts.join(", "))
    }

    fn json(&self, args: &ValidateArgs) -> Result<String, CliError> {
        let mut result = JsonResult { valid: self.is_success(args), ..JsonResult::default() };
        result.other_documents = self.other_documents();
        result.unused_partitions = self.unused_partitions(args);
        result.paths_without_groups = self.documents.without_groups().map(|path| &*path.path).collect();
        for (file, finding) in &self.findings {
            match finding {
                Finding::Group(CheckedGroup { namespace, name, outcome, .. }) => {
                    result.groups.push(JsonGroup {
                        file,
                        namespace,
                        name,
                        valid: outcome.is_ok(),
                        warnings: outcome.as_ref().map_or(&[], |(_, warnings)| warnings),
                        violations: outcome.as_ref().err().map_or(&[], Vec::as_slice),
                    });
                }
                Finding::Error(message) => result.errors.push(JsonError { file, message }),
                Finding::Skipped(message) => result.skipped.push(JsonError { file, message }),
            }
        }
        let text = serde_json::to_string_pretty(&result).map_err(CliError::temporary)?;
        Ok(text + "\n")
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonResult<'a> {
    valid: bool,
    groups: Vec<JsonGroup<'a>>,
    errors: Vec<JsonError<'a>>,
    skipped: Vec<JsonError<'a>>,
    unused_partitions: Vec<String>,
    paths_without_groups: Vec<&'a str>,
    other_documents: usize,
}

#[derive(Serialize)]
struct JsonGroup<'a> {
    file: &'a str,
    namespace: &'a str,
    name: &'a str,
    valid: bool,
    warnings: &'a [String],
    violations: &'a [String],
}

#[derive(Serialize)]
struct JsonError<'a> {
    file: &'a str,
    message: &'a str,
}
