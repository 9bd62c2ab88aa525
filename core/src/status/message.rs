//! The original's status.message, which people's scripts read.

use super::trouble::reason;
use crate::ceiling::Ceiling;
use crate::children::ChildKind;
use crate::observed::{Observed, Trouble};

pub(super) fn original_message(what: &str, error: &str) -> String {
    format!("Message: {what}, Error: {error}")
}

/// The original's status.message: the first thing that went wrong in its order, or its success.
pub(super) fn message(observed: &Observed, ceiling: &Ceiling) -> String {
    for kind in ChildKind::ALL {
        if kind == ChildKind::Deployment {
            let problem = ceiling.counts.iter().find_map(|count| count.problem.as_ref());
            if let Some((_, sentence)) = problem {
                return original_message("Error reconciling Kconsumer group for topic changes", sentence);
            }
        }
        if let Some(trouble) =
            observed.troubles[kind.index()].as_ref().filter(|trouble| reason(trouble).is_some())
        {
            let error = match trouble {
                Trouble::NameConflict { owner } => {
                    format!("the {} of that name belongs to {owner}", kind.kind())
                }
                Trouble::SelectorImmutable => "the selector is another and cannot be changed".to_owned(),
                Trouble::NotServed => "the kind is not served".to_owned(),
                Trouble::Refused { message } | Trouble::Failed { message } => message.clone(),
            };
            return original_message(&format!("Error reconciling {}", kind.label()), &error);
        }
    }
    original_message("Reconciliation completed", "<nil>")
}
