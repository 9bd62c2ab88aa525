//! What is to say about one topic, in words with the cure.

use kcg_api::condition::Reason;

/// How a finding affects condition TopicsResolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The KafkaTopic's own count is not used, and something is wrong.
    Problem,
    /// The KafkaTopic's own count is not used yet.
    Pending,
    /// The KafkaTopic's own count is used.
    Note,
}

/// A finding about a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it affects the condition.
    pub severity: Severity,
    /// The reason of the condition.
    pub reason: Reason,
    /// What is the matter, and what to do.
    pub sentence: String,
}

impl Finding {
    pub(super) fn problem(reason: Reason, sentence: impl Into<String>) -> Self {
        Self { severity: Severity::Problem, reason, sentence: sentence.into() }
    }

    pub(super) fn pending(reason: Reason, sentence: impl Into<String>) -> Self {
        Self { severity: Severity::Pending, reason, sentence: sentence.into() }
    }

    pub(super) fn note(reason: Reason, sentence: impl Into<String>) -> Self {
        Self { severity: Severity::Note, reason, sentence: sentence.into() }
    }
}
