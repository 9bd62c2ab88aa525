//! The value of a condition, before its transition time is known.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kcg_api::condition::{ConditionType, Reason};

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known.
    Unknown,
}

impl ConditionStatus {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// Reads the API's spelling; anything else is Unknown.
    pub fn parse(text: &str) -> Self {
        match text {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
}

/// The condition of a type.
pub(super) fn find(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

/// Status, reason and message of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConditionValue {
    pub(super) status: ConditionStatus,
    pub(super) reason: Reason,
    pub(super) message: String,
    /// The message quotes another object and differs from time to time: a new message alone is not
    /// written.
    pub(super) quotes: bool,
}

pub(super) fn yes(reason: Reason, message: impl Into<String>) -> ConditionValue {
    value(ConditionStatus::True, reason, message)
}

pub(super) fn no(reason: Reason, message: impl Into<String>) -> ConditionValue {
    value(ConditionStatus::False, reason, message)
}

/// [`no`], with the message of another object.
pub(super) fn no_quoting(reason: Reason, message: impl Into<String>) -> ConditionValue {
    ConditionValue { quotes: true, ..no(reason, message) }
}

pub(super) fn unknown(reason: Reason, message: impl Into<String>) -> ConditionValue {
    value(ConditionStatus::Unknown, reason, message)
}

fn value(status: ConditionStatus, reason: Reason, message: impl Into<String>) -> ConditionValue {
    ConditionValue { status, reason, message: message.into(), quotes: false }
}
