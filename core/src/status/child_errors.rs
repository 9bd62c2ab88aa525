//! Condition Ready, if a child could not be written.

use kcg_api::ValidGroup;
use kcg_api::condition::Reason;

use super::condition::{ConditionValue, no};
use crate::child_error::ChildError;
use crate::children::PerChild;

/// The gravest reason, with every child that has it.
pub(super) fn child_errors(
    group: &ValidGroup,
    errors: &PerChild<Option<ChildError>>,
) -> Option<ConditionValue> {
    let found: Vec<(Reason, String)> = errors
        .iter()
        .filter_map(|(kind, error)| {
            let error = error.as_ref()?;
            Some((error.reason()?, error.describe(kind, &group.name)))
        })
        .collect();
    // A quota may have room again. What only a person can change weighs more.
    let weight = |reason: &Reason| (*reason == Reason::QuotaExceeded, *reason);
    let gravest = found.iter().map(|(reason, _)| *reason).min_by_key(weight)?;
    let sentences: Vec<String> =
        found.into_iter().filter(|(reason, _)| *reason == gravest).map(|(_, sentence)| sentence).collect();
    let sentences = sentences.join("; ");
    // First, so that it is there however long the answers are.
    let cure = if gravest == Reason::ApplyRefused && may_demand_metadata(&sentences) {
        "if a label or an annotation is missing, set it in spec.inheritedMetadata: "
    } else {
        ""
    };
    Some(no(gravest, format!("{cure}{sentences}")))
}

/// Whether a policy (a ValidatingAdmissionPolicy, or the webhook of a policy engine) denied an owned
/// resource and mentions its metadata. The words of a policy are those of its author.
fn may_demand_metadata(answers: &str) -> bool {
    let answers = answers.to_lowercase();
    ["denied request", "denied the request"].iter().any(|words| answers.contains(words))
        && ["label", "annotation"].iter().any(|words| answers.contains(words))
}
