//! Why a child object is not as it should be.

use kcg_api::condition::Reason;

use crate::children::ChildKind;

/// Why the last attempt to write a child failed, or why no attempt is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildError {
    /// Another owner, or none, controls the object of that name.
    NameConflict {
        /// The object's controller in words, if it has one.
        owner: Option<String>,
    },
    /// The group owns the Deployment of that name, but its selector differs and is immutable.
    SelectorImmutable,
    /// The cluster does not serve the kind.
    NotServed,
    /// A new group's Deployment is not created before its KafkaTopics, for a time.
    WaitsForTopics {
        /// Why the first of them is not known.
        reason: Reason,
        /// The KafkaTopics, separated by commas.
        topics: String,
    },
    /// The API server rejected the write (400, 403, 422): a retry does not help.
    Refused {
        /// The API server's message.
        message: String,
    },
    /// A ResourceQuota has no room for the object (403): other objects may make room.
    QuotaExceeded {
        /// The API server's message.
        message: String,
    },
    /// The API server was not reached, or failed: a retry may help.
    Failed {
        /// What happened.
        message: String,
    },
}

impl ChildError {
    /// The reason of condition Ready. A missing kind has none: condition MonitoringAccepted reports
    /// it, and the group can do without.
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::NameConflict { .. } => Some(Reason::NameConflict),
            Self::SelectorImmutable => Some(Reason::SelectorImmutable),
            Self::WaitsForTopics { reason, .. } => Some(*reason),
            Self::Refused { .. } => Some(Reason::ApplyRefused),
            Self::QuotaExceeded { .. } => Some(Reason::QuotaExceeded),
            Self::Failed { .. } => Some(Reason::ApplyFailed),
            Self::NotServed => None,
        }
    }

    /// The error in words for the log. The API server's answer to a write repeats values of the spec,
    /// which can be secrets: only the condition has it.
    pub fn logged(&self, kind: ChildKind, name: &str) -> String {
        match self {
            Self::Refused { .. } => {
                format!("the API server rejected {} {name}: see the condition Ready", kind.kind())
            }
            _ => self.describe(kind, name),
        }
    }

    /// The error in words, with the cure, for the condition. `name` is the group's.
    pub fn describe(&self, kind: ChildKind, name: &str) -> String {
        let child = format!("{} {name}", kind.kind());
        match self {
            Self::NameConflict { owner } => format!(
                "{child} {} and is not modified: delete it, or give the group another name",
                owner.as_ref().map_or_else(
                    || "has no controller".to_owned(),
                    |owner| format!("is controlled by {owner}")
                )
            ),
            Self::SelectorImmutable => format!(
                "{child} has a different selector, which is immutable: delete it (kubectl delete deployment {name}; its consumers stop until the new ones run) and the operator creates it again"
            ),
            Self::NotServed => {
                format!("the cluster does not serve {}s: install prometheus-operator's CRDs", kind.kind())
            }
            Self::WaitsForTopics { topics, .. } => {
                format!("{child} is created when these KafkaTopics exist, or 60 s after the group: {topics}")
            }
            Self::Refused { message } => format!("the API server rejected {child}: {message}"),
            Self::QuotaExceeded { message } => {
                format!("a ResourceQuota has no room for {child}, which is tried again: {message}")
            }
            Self::Failed { message } => format!("{child} could not be written and is retried: {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_the_api_server_is_in_the_condition_and_not_in_the_log() {
        let refused = ChildError::Refused { message: "env[0].name: Invalid value: \"hunter2\"".to_owned() };
        let kind = ChildKind::Deployment;
        assert!(refused.describe(kind, "g").ends_with("\"hunter2\""));
        assert_eq!(
            refused.logged(kind, "g"),
            "the API server rejected Deployment g: see the condition Ready"
        );
        let failed = ChildError::Failed { message: "timeout".to_owned() };
        assert_eq!(failed.logged(kind, "g"), failed.describe(kind, "g"));
    }
}
