//! Why a YAML text cannot be read, in words for the person who wrote it: the parser's are for the
//! programmer who calls it.

use std::fmt;

use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Error, MessageFormatter as _, UserMessageFormatter};

use crate::{escape, wrong_type};

/// What is wrong in a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct YamlError {
    /// The line and the column, from 1; `None` if the whole text is meant.
    pub place: Option<(u64, u64)>,
    /// What is wrong, and how to fix it.
    pub message: String,
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl YamlError {
    /// The message of a key that occurs twice.
    pub fn duplicate_key(key: &str) -> String {
        format!("the key {key:?} occurs twice in one mapping: remove one of them")
    }

    /// The error of documents whose aliases repeat too many values together, up to the one that begins here.
    pub fn too_many_repeated(line: u64) -> Self {
        Self { place: Some((line, 1)), message: REPEATED.to_owned() }
    }

    /// Translates the error of a parser that has read `text`.
    pub fn new(error: &Error, text: &str) -> Self {
        let place = error.location().map(|place| (place.line(), place.column()));
        let message = place
            .filter(|_| is_syntax(error))
            .and_then(|(line, _)| cause_in(text, line))
            .map_or_else(|| words(error), ToOwned::to_owned);
        Self { place, message: escape::line(&message).into_owned() }
    }
}

const REPEATED: &str = "its aliases (*name) repeat too many values: write the values, or split it";

/// Whether the parser's words name what it expected rather than what the text has.
fn is_syntax(error: &Error) -> bool {
    matches!(
        error.without_snippet(),
        Error::Message { .. } | Error::ExternalMessage { .. } | Error::Eof { .. } | Error::Unexpected { .. }
    )
}

/// The usual causes of a syntax error, which the parser notices only later.
fn cause_in(text: &str, line: u64) -> Option<&'static str> {
    let index = usize::try_from(line).ok()?.checked_sub(1)?;
    // A parser notices it at the end of a line or at the start of the next one.
    let near = || text.lines().skip(index.saturating_sub(1)).take(2);
    let indented_by_tab = |line: &str| line[..line.len() - line.trim_start().len()].contains('\t');
    if near().any(|line| line.contains("{{")) {
        Some("it is a template and no YAML: render it first, for example with helm template")
    } else if near().any(indented_by_tab) {
        Some("YAML is not indented by tabs: use spaces")
    } else {
        None
    }
}

fn words(error: &Error) -> String {
    match error.without_snippet() {
        Error::AliasError { error, .. } => words(error),
        Error::DuplicateMappingKey { key: Some(key), .. } => YamlError::duplicate_key(key),
        Error::DuplicateMappingKey { key: None, .. } => {
            "a key occurs twice in one mapping: remove one of them".to_owned()
        }
        Error::MultipleDocuments { .. } => "it has more than one document: keep one of them".to_owned(),
        Error::Eof { .. } => "it ends too early: a value or a closing bracket is missing".to_owned(),
        Error::UnknownAnchor { .. } => {
            "an alias (*name) comes before its anchor (&name), or has none: write the value".to_owned()
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "an alias (*name) is inside its own anchor (&name): write the value".to_owned()
        }
        Error::MergeValueNotMapOrSeqOfMaps { .. } => {
            "the value of a merge key (<<) must be a mapping or a list of mappings".to_owned()
        }
        Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => REPEATED.to_owned(),
        Error::Budget { breach, .. } => breached(breach),
        Error::UnsupportedTag { tag, .. } => format!("the tag {tag:?} is not supported: remove it"),
        Error::IOError { cause } => cause.to_string(),
        Error::SerdeUnknownField { field, expected, .. } => unknown_key(field, expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            let supported: Vec<String> = expected.iter().map(|value| format!("{value:?}")).collect();
            format!("unsupported value {variant:?}: supported values: {}", supported.join(", "))
        }
        Error::SerdeMissingField { field, .. } => format!("the key {field:?} is missing: add it"),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            of_type(expected)
        }
        Error::InvalidScalar { ty, .. } => of_type(ty),
        Error::Unexpected { expected, .. } => of_type(expected),
        Error::InvalidBooleanStrict { .. } => of_type("boolean"),
        Error::NullIntoString { .. } => of_type("string"),
        other => UserMessageFormatter.format_message(other).into_owned(),
    }
}

fn of_type(expected: &str) -> String {
    format!("the value must be of type {}", wrong_type::type_named(expected))
}

fn unknown_key(key: &str, known: &[&str]) -> String {
    format!("unknown key {key:?}: the keys here are {}", known.join(", "))
}

fn breached(breach: &BudgetBreach) -> String {
    match breach {
        BudgetBreach::Depth { .. } => "it is nested too deeply: flatten it".to_owned(),
        BudgetBreach::Documents { .. } => "it has too many documents: split the file".to_owned(),
        BudgetBreach::Aliases { .. }
        | BudgetBreach::Anchors { .. }
        | BudgetBreach::RecordedAnchorEvents { .. }
        | BudgetBreach::RecordedAnchorBytes { .. }
        | BudgetBreach::MergeKeys { .. } => {
            "it has too many anchors, aliases and merge keys: write the values, or split it".to_owned()
        }
        _ => "the document is too large: split it".to_owned(),
    }
}
