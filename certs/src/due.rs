//! When a certificate is renewed. Floor 0.

use std::time::SystemTime;

use crate::authority::BACKDATED;
use crate::pair::{Standing, Validity};

/// Why a certificate is to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Two thirds of its life are over, as is usual among issuers.
    Spent,
    /// It has expired.
    Expired,
    /// Its first moment is to come: the clock was elsewhere when it was issued.
    NotYetValid,
}

/// Whether a certificate of ours is to be renewed at `now`, a reading of the wall clock: a timer would sleep through a
/// suspended machine or a clock that is set.
pub fn due(validity: Validity, now: SystemTime) -> Option<Due> {
    match validity.standing(now) {
        Standing::NotYetValid => Some(Due::NotYetValid),
        Standing::Expired => Some(Due::Expired),
        Standing::Valid => {
            let issue = issued(validity);
            let life = validity.not_after.duration_since(issue).unwrap_or_default();
            (now >= issue + life * 2 / 3).then_some(Due::Spent)
        }
    }
}

/// When a certificate of ours was issued.
pub fn issued(validity: Validity) -> SystemTime {
    validity.not_before + BACKDATED
}

impl std::fmt::Display for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Spent => "two thirds of its life are over",
            Self::Expired => "it has expired",
            Self::NotYetValid => "it is not valid yet: the clock was ahead when it was issued",
        })
    }
}
