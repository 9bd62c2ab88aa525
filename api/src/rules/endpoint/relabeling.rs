//! Relabelings: what prometheus-operator requires of them, and which labels they must leave alone.

use super::super::field_errors::FieldErrors;
use super::regex::{DEFAULT as DEFAULT_REGEX, Pattern};
use super::{MAX_RELABELINGS, MAX_SOURCE_LABELS, text};
use crate::endpoint::RelabelConfig;
use crate::names;

/// The actions as the ServiceMonitor's schema spells them.
pub(crate) const ACTIONS: [&str; 22] = [
    "replace",
    "Replace",
    "keep",
    "Keep",
    "drop",
    "Drop",
    "hashmod",
    "HashMod",
    "labelmap",
    "LabelMap",
    "labeldrop",
    "LabelDrop",
    "labelkeep",
    "LabelKeep",
    "lowercase",
    "Lowercase",
    "uppercase",
    "Uppercase",
    "keepequal",
    "KeepEqual",
    "dropequal",
    "DropEqual",
];
/// What a relabeling has without a replacement, and without a separator.
const DEFAULT_REPLACEMENT: &str = "$1";
const DEFAULT_SEPARATOR: &str = ";";

/// The labels by which alerts, the metrics adapter's rules and tenants of a Prometheus find the
/// series of a group.
const IDENTITY: [&str; 6] = ["namespace", "service", "pod", "container", "endpoint", "job"];
/// What a target is scraped by: another address would make Prometheus send requests anywhere.
const TARGET: [&str; 5] =
    ["__address__", "__scheme__", "__metrics_path__", "__scrape_interval__", "__scrape_timeout__"];
/// The labels of the lag itself.
const SERIES: [&str; 3] = ["__name__", "topic", "partition"];

/// When the relabelings apply.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage<'a> {
    /// To the labels of a pod, before it is scraped.
    Target,
    /// To the scraped series. The endpoint must keep these metrics.
    Series { metrics: &'a [&'a str] },
}

impl Stage<'_> {
    /// The labels that a relabeling must neither write nor remove.
    fn protected(self) -> Vec<&'static str> {
        let more: &[&str] = match self {
            Self::Target => &TARGET,
            Self::Series { .. } => &SERIES,
        };
        IDENTITY.iter().chain(more).copied().collect()
    }
}

/// The action of a relabeling, in lower case.
pub(super) fn action(relabeling: &RelabelConfig) -> String {
    relabeling.action.as_deref().filter(|action| !action.is_empty()).unwrap_or("replace").to_lowercase()
}

pub(super) fn check(
    relabelings: &[RelabelConfig],
    stage: Stage<'_>,
    path: &str,
    errors: &mut FieldErrors<'_>,
) {
    if relabelings.len() > MAX_RELABELINGS {
        // The items of a list that is too long are not validated.
        return errors.too_many(path, relabelings.len(), MAX_RELABELINGS);
    }
    for (index, relabeling) in relabelings.iter().enumerate() {
        one(relabeling, stage, &format!("{path}[{index}]"), errors);
    }
}

fn one(relabeling: &RelabelConfig, stage: Stage<'_>, path: &str, errors: &mut FieldErrors<'_>) {
    errors.one_of(
        format!("{path}.action"),
        relabeling.action.as_deref().filter(|it| !it.is_empty()),
        &ACTIONS,
    );
    source_labels(relabeling, path, errors);
    let texts = [
        ("regex", &relabeling.regex),
        ("separator", &relabeling.separator),
        ("replacement", &relabeling.replacement),
        ("targetLabel", &relabeling.target_label),
    ];
    let mut are_texts = true;
    for (field, value) in texts {
        are_texts &= text(value.as_deref(), &format!("{path}.{field}"), errors);
    }
    let action = action(relabeling);
    fields_fit(relabeling, &action, path, errors);
    if !are_texts {
        return;
    }
    match Pattern::parse(relabeling.regex.as_deref().unwrap_or_default()) {
        Ok(pattern) => {
            let rule = Rule { relabeling, action: &action, pattern: &pattern };
            rule.leaves_labels_alone(stage, path, errors);
            rule.keeps_metrics(stage, path, errors);
        }
        Err(why) => {
            let message = format!("must be a regular expression in RE2's syntax: {why}");
            errors.invalid(format!("{path}.regex"), relabeling.regex.as_deref(), &message);
        }
    }
}

fn source_labels(relabeling: &RelabelConfig, path: &str, errors: &mut FieldErrors<'_>) {
    let labels = &relabeling.source_labels;
    if labels.len() > MAX_SOURCE_LABELS {
        return errors.too_many(format!("{path}.sourceLabels"), labels.len(), MAX_SOURCE_LABELS);
    }
    for (index, label) in labels.iter().enumerate() {
        let field = format!("{path}.sourceLabels[{index}]");
        errors.follows(field, label.as_str(), &names::LABEL_NAME, super::LABEL_NAME);
    }
}

/// As prometheus-operator's LabelConfigValidator requires.
fn fields_fit(relabeling: &RelabelConfig, action: &str, path: &str, errors: &mut FieldErrors<'_>) {
    let target = relabeling.target_label.as_deref().filter(|target| !target.is_empty());
    let needs_target =
        matches!(action, "replace" | "hashmod" | "lowercase" | "uppercase" | "keepequal" | "dropequal");
    match target {
        None if needs_target => {
            errors.required(format!("{path}.targetLabel"), &format!("action {action} needs it"));
        }
        Some(target) => {
            let (grammar, message) = if action == "replace" {
                (&names::LABEL_TEMPLATE, super::LABEL_TEMPLATE)
            } else {
                (&names::LABEL_NAME, super::LABEL_NAME)
            };
            errors.follows(format!("{path}.targetLabel"), target, grammar, message);
        }
        None => {}
    }
    if action == "hashmod" && relabeling.modulus.is_none_or(|modulus| modulus < 1) {
        errors.required(format!("{path}.modulus"), "action hashmod needs a modulus of at least 1");
    }
    let name = relabeling.replacement.as_deref().filter(|_| action == "labelmap");
    errors.follows(format!("{path}.replacement"), name, &names::LABEL_TEMPLATE, super::LABEL_TEMPLATE);
    for field in superfluous(relabeling, action) {
        errors.forbidden(format!("{path}.{field}"), &format!("action {action} does not use it"));
    }
}

/// The fields that prometheus-operator refuses for this action.
fn superfluous(relabeling: &RelabelConfig, action: &str) -> Vec<&'static str> {
    let differs =
        |value: &Option<String>, default: &str| value.as_deref().is_some_and(|value| value != default);
    let replacement = differs(&relabeling.replacement, DEFAULT_REPLACEMENT).then_some("replacement");
    let separator = differs(&relabeling.separator, DEFAULT_SEPARATOR).then_some("separator");
    let modulus = relabeling.modulus.is_some_and(|modulus| modulus != 0).then_some("modulus");
    let regex = differs(&relabeling.regex, DEFAULT_REGEX) && differs(&relabeling.regex, "");
    let target = differs(&relabeling.target_label, "").then_some("targetLabel");
    let sources = (!relabeling.source_labels.is_empty()).then_some("sourceLabels");
    let fields = match action {
        "lowercase" | "uppercase" => vec![replacement],
        "keepequal" | "dropequal" => vec![regex.then_some("regex"), modulus, separator, replacement],
        "labeldrop" | "labelkeep" => vec![sources, target, modulus, separator, replacement],
        _ => Vec::new(),
    };
    fields.into_iter().flatten().collect()
}

/// A relabeling whose regex has been read.
struct Rule<'a> {
    relabeling: &'a RelabelConfig,
    action: &'a str,
    pattern: &'a Pattern,
}

impl Rule<'_> {
    /// Neither writes nor removes a protected label. What depends on the values of labels is not
    /// decidable here: a rule may still drop targets or series.
    fn leaves_labels_alone(&self, stage: Stage<'_>, path: &str, errors: &mut FieldErrors<'_>) {
        let protected = stage.protected();
        let target = self.relabeling.target_label.as_deref().unwrap_or_default();
        let (field, labels, must_not) = match self.action {
            "replace" => ("targetLabel", self.pattern.can_make(target, &protected), "write"),
            "hashmod" | "lowercase" | "uppercase" => {
                ("targetLabel", among(&protected, |label| label == target), "write")
            }
            "labelmap" => {
                let template = self.relabeling.replacement.as_deref().unwrap_or(DEFAULT_REPLACEMENT);
                ("replacement", self.pattern.can_make(template, &protected), "write")
            }
            "labeldrop" => ("regex", among(&protected, |label| self.pattern.matches(label)), "remove"),
            "labelkeep" => ("regex", among(&protected, |label| !self.pattern.matches(label)), "remove"),
            _ => return,
        };
        if labels.is_empty() {
            return;
        }
        let cure = if self.action == "labelmap" { "; set one such as label_$1" } else { "" };
        let message = format!("must not {must_not} {}, which the series are found by{cure}", listed(&labels));
        errors.forbidden(format!("{path}.{field}"), &message);
    }

    /// Drops none of the metrics that the lag is computed from. Decided for rules on the name alone.
    fn keeps_metrics(&self, stage: Stage<'_>, path: &str, errors: &mut FieldErrors<'_>) {
        let Stage::Series { metrics } = stage else { return };
        if self.relabeling.source_labels != ["__name__"] {
            return;
        }
        let dropped = match self.action {
            "drop" => among(metrics, |metric| self.pattern.matches(metric)),
            "keep" => among(metrics, |metric| !self.pattern.matches(metric)),
            _ => return,
        };
        if !dropped.is_empty() {
            let message = format!("must not drop {}, which the lag is computed from", listed(&dropped));
            errors.forbidden(format!("{path}.regex"), &message);
        }
    }
}

fn among<'n>(names: &[&'n str], is_it: impl Fn(&str) -> bool) -> Vec<&'n str> {
    names.iter().copied().filter(|name| is_it(name)).collect()
}

fn listed(names: &[&str]) -> String {
    names.join(", ")
}

/// Whether the relabelings of series remove a label.
pub(super) fn remove(relabelings: &[RelabelConfig], label: &str) -> bool {
    relabelings.iter().take(MAX_RELABELINGS).any(|relabeling| {
        let matches = || {
            let regex = relabeling.regex.as_deref().unwrap_or_default();
            Pattern::parse(regex).is_ok_and(|pattern| pattern.matches(label))
        };
        match action(relabeling).as_str() {
            "labeldrop" => matches(),
            "labelkeep" => !matches(),
            _ => false,
        }
    })
}
