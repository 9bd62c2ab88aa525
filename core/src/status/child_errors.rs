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
    let gravest = found.iter().map(|(reason, _)| *reason).min()?;
    let sentences: Vec<String> =
        found.into_iter().filter(|(reason, _)| *reason == gravest).map(|(_, sentence)| sentence).collect();
    Some(no(gravest, sentences.join("; ")))
}
