//! status.message of the original operator, which users' scripts read. Its wording is fixed.

use crate::ceiling::Ceiling;
use crate::child_error::ChildError;
use crate::children::{ChildKind, PerChild};

pub(super) fn original_message(what: &str, error: &str) -> String {
    format!("Message: {what}, Error: {error}")
}

/// The first error in the order of the original, or its success.
pub(super) fn message(errors: &PerChild<Option<ChildError>>, ceiling: &Ceiling) -> String {
    for (kind, error) in errors.iter() {
        if kind == ChildKind::Deployment
            && let Some(problem) = ceiling.problem()
        {
            let sentence = &problem.sentence;
            return original_message("Error reconciling Kconsumer group for topic changes", sentence);
        }
        if let Some(error) = error.as_ref().filter(|error| error.reason().is_some()) {
            let error = match error {
                ChildError::NameConflict { owner: Some(owner) } => {
                    format!("the {} of that name belongs to {owner}", kind.kind())
                }
                ChildError::NameConflict { owner: None } => {
                    format!("the {} of that name has no controller", kind.kind())
                }
                ChildError::SelectorImmutable => "the selector is another and cannot be changed".to_owned(),
                ChildError::WaitsForTopics { topics, .. } => format!("it waits for KafkaTopics {topics}"),
                ChildError::NotServed => "the kind is not served".to_owned(),
                ChildError::Refused { message }
                | ChildError::QuotaExceeded { message }
                | ChildError::Failed { message } => message.clone(),
            };
            return original_message(&format!("Error reconciling {}", kind.label()), &error);
        }
    }
    original_message("Reconciliation completed", "<nil>")
}
