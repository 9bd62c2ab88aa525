//! A condition before its times are known.

use kcg_api::condition::Reason;

/// A condition before its times are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) status: Status,
    pub(super) reason: Reason,
    pub(super) message: String,
    /// It repeats another object's words, which differ from one time to the next: new words alone are not worth a
    /// write.
    pub(super) quotes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    True,
    False,
    Unknown,
}

impl Status {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

pub(super) fn yes(reason: Reason, message: impl Into<String>) -> Verdict {
    Verdict { status: Status::True, reason, message: message.into(), quotes: false }
}

pub(super) fn no(reason: Reason, message: impl Into<String>) -> Verdict {
    Verdict { status: Status::False, reason, message: message.into(), quotes: false }
}

/// [`no`], in another object's words.
pub(super) fn no_quoting(reason: Reason, message: impl Into<String>) -> Verdict {
    Verdict { quotes: true, ..no(reason, message) }
}

pub(super) fn unknown(reason: Reason, message: impl Into<String>) -> Verdict {
    Verdict { status: Status::Unknown, reason, message: message.into(), quotes: false }
}
