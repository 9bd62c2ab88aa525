//! When a certificate is due for renewal.

use std::fmt;
use std::time::SystemTime;

use crate::ca::BACKDATED;
use crate::pair::{Validity, ValidityStatus};

/// Why a certificate is due for renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalDue {
    /// Two thirds of its lifetime have passed: the point at which cert-manager renews by default,
    /// too.
    RenewalTime,
    /// It has expired.
    Expired,
    /// Its notBefore is in the future: the clock was ahead when it was issued.
    NotYetValid,
}

/// Whether a certificate that [`Ca::issue`](crate::Ca::issue) or [`Ca::create`](crate::Ca::create)
/// made is due for renewal at `now`; `None` if it is not.
///
/// `now` is a reading of the wall clock. A timer would miss a suspended machine or a clock that was
/// set.
pub fn renewal_due(validity: Validity, now: SystemTime) -> Option<RenewalDue> {
    match validity.status(now) {
        ValidityStatus::NotYetValid => Some(RenewalDue::NotYetValid),
        ValidityStatus::Expired => Some(RenewalDue::Expired),
        ValidityStatus::Valid => {
            let issued = issued_at(validity);
            let lifetime = validity.not_after.duration_since(issued).unwrap_or_default();
            (now >= issued + lifetime * 2 / 3).then_some(RenewalDue::RenewalTime)
        }
    }
}

/// When a certificate of our own CA was issued: [`BACKDATED`] after its notBefore.
pub fn issued_at(validity: Validity) -> SystemTime {
    validity.not_before + BACKDATED
}

impl fmt::Display for RenewalDue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RenewalTime => "two thirds of its lifetime have passed",
            Self::Expired => "it has expired",
            Self::NotYetValid => "it is not valid yet: the clock was ahead when it was issued",
        })
    }
}
