//! What went wrong with a child, as a reason and in words with the cure.

use kcg_api::ValidGroup;
use kcg_api::condition::Reason;

use crate::children::ChildKind;
use crate::observed::Trouble;

/// A kind that is not served is no fault of the group's: MonitoringAccepted says it.
pub(super) const fn reason(trouble: &Trouble) -> Option<Reason> {
    match trouble {
        Trouble::NameConflict { .. } => Some(Reason::NameConflict),
        Trouble::SelectorImmutable => Some(Reason::SelectorImmutable),
        Trouble::Refused { .. } => Some(Reason::ApplyRefused),
        Trouble::Failed { .. } => Some(Reason::ApplyFailed),
        Trouble::NotServed => None,
    }
}

pub(super) fn in_words(kind: ChildKind, group: &ValidGroup, trouble: &Trouble) -> String {
    let child = format!("{} {}", kind.kind(), group.name);
    match trouble {
        Trouble::NameConflict { owner } => {
            format!("{child} belongs to {owner} and is left alone: delete it, or give the group another name")
        }
        Trouble::SelectorImmutable => format!(
            "{child} has another selector, which cannot be changed: delete it (kubectl delete deployment {}; its consumers stop until the new ones run) and the operator makes it anew",
            group.name
        ),
        Trouble::NotServed => {
            format!("the cluster serves no {}s: install prometheus-operator's CRDs", kind.kind())
        }
        Trouble::Refused { message } => format!("the API server refused {child}: {message}"),
        Trouble::Failed { message } => format!("{child} could not be written and is tried again: {message}"),
    }
}
