//! The certificates that the operator stores if it issues them itself, and the next step of their
//! rotation.
//!
//! A serving certificate is renewed from the CA that clients already trust, so the old and the new
//! one both work. A CA is replaced in three steps, each at least [`Lifetimes::overlap`] after the
//! one before. No client meets a serving certificate whose CA it does not trust yet or no longer
//! trusts:
//!
//! 1. The next CA is created, and clients trust it in addition to the current one.
//! 2. The next CA becomes the current one and issues the serving certificate.
//! 3. Clients no longer trust the previous CA.
//!
//! *Invariant:* every serving certificate that a server may still present (the current one, and for
//! the overlap the one before it) verifies against the bundle that clients trust, at every step and
//! whatever gets lost on the way.

mod secrets;
mod set;

use std::time::{Duration, SystemTime};

use crate::bundle;
use crate::ca::{Ca, CaError};
use crate::renewal::{issued_at, renewal_due};

pub use self::secrets::{CA_ENTRIES, Entries, SERVING_ENTRIES, Secrets};
pub use self::set::CertificateSet;

use self::set::{Leaf, LeafFault};

/// The entry with the key of the current CA.
pub const CA_KEY: &str = "ca.key";
/// The entry with the certificate of the next CA, which is trusted and does not sign yet.
pub const NEXT_CA: &str = "ca-next.crt";
/// The entry with the key of the next CA.
pub const NEXT_CA_KEY: &str = "ca-next.key";
/// The entry with the certificates of previous CAs, which are trusted and no longer sign.
pub const PREVIOUS_CAS: &str = "ca-previous.crt";

/// How long certificates are valid and how long old and new ones overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// How long a CA is valid.
    pub ca: Duration,
    /// How long a serving certificate is valid.
    pub certificate: Duration,
    /// How long it takes until every server has a new serving certificate and every client a new
    /// bundle. A kubelet may need 90 s for the first, an API server's watch moments for the second.
    pub overlap: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            ca: Duration::from_hours(5 * 365 * 24),
            certificate: Duration::from_hours(30 * 24),
            overlap: Duration::from_mins(5),
        }
    }
}

/// Which certificates to issue.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    /// The common name of the CA.
    pub ca_name: String,
    /// The DNS names of the serving certificate; at least one.
    pub dns_names: Vec<String>,
    /// How long they are valid.
    pub lifetimes: Lifetimes,
}

/// The kind of an issued certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssuedKind {
    /// A serving certificate with its key.
    ServingCertificate,
    /// A CA with its key. It signs from a later step on.
    Ca,
}

/// One certificate that a step issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuance {
    /// The kind of the issued certificate.
    pub kind: IssuedKind,
    /// Why, as half a sentence about the certificate that it replaces: "it has expired".
    pub reason: String,
    /// Whether only the renewal time was reached, so that no user has to look into it.
    pub scheduled: bool,
}

/// One step of the rotation: what to store, and what was issued for it.
#[derive(Clone, Debug)]
pub struct RotationStep {
    /// Both Secrets, the foreign entries included.
    pub secrets: Secrets,
    /// The certificates issued in this step; empty if the step only moves or removes a CA.
    pub issued: Vec<Issuance>,
}

/// The next step of the rotation from what is stored at `now`; `None` if nothing is due.
///
/// `trusted` contains the bundle of each client (PEM). A CA signs only after it is in all of them.
///
/// # Errors
/// Fails only if a certificate cannot be issued at all.
pub fn next_step(
    stored: &Secrets,
    trusted: &[Vec<u8>],
    request: &CertificateRequest,
    now: SystemTime,
) -> Result<Option<RotationStep>, CaError> {
    let mut set = CertificateSet::read(stored, now);
    let mut issued = Vec::new();
    let lifetimes = &request.lifetimes;

    let due = set.current.as_ref().and_then(|current| replacement_due(current, request, now));
    // One that a former step created for other names signs nothing.
    set.next = set.next.take().filter(|next| next.is_limited_to(&request.dns_names));
    if set.next.is_none() && (set.current.is_none() || due.is_some()) {
        set.next = Some(Ca::create(&request.ca_name, &request.dns_names, now, lifetimes.ca)?);
        let reason = due.clone().unwrap_or_else(|| set.no_ca.clone());
        issued.push(Issuance { kind: IssuedKind::Ca, reason, scheduled: due.is_some() });
    }
    let next_is_trusted = set.next.as_ref().is_some_and(|next| {
        now >= issued_at(next.validity()) + lifetimes.overlap
            && trusted.iter().all(|bundle| contains(bundle, next))
    });
    // If no client accepts the serving certificate any more, waiting for the overlap only prolongs
    // the outage.
    if next_is_trusted || (set.current.is_none() && !set.leaf_works_without_ca(request, now)) {
        set.promote_next();
    }
    if let Some(current) = &set.current
        && let Some(fault) = set.leaf_fault(current.certificate_pem(), request, now)
    {
        let LeafFault { reason, scheduled } = if next_is_trusted {
            LeafFault { reason: "its CA is being replaced".into(), scheduled: true }
        } else {
            fault
        };
        set.leaf = Some(Leaf::issue(current, request, now)?);
        issued.push(Issuance { kind: IssuedKind::ServingCertificate, reason, scheduled });
    }
    if set.is_settled(now, lifetimes) {
        set.previous.clear();
    }
    let secrets = stored.with(&set.to_entries());
    Ok((secrets != *stored).then_some(RotationStep { secrets, issued }))
}

/// Why a CA that can sign has to be replaced, if it has to.
fn replacement_due(ca: &Ca, request: &CertificateRequest, now: SystemTime) -> Option<String> {
    let unlimited = || {
        // Until 0.1.0 was released, a CA could sign for any name, and its key was in the serving Secret.
        (!ca.is_limited_to(&request.dns_names)).then(|| "it may sign for other names".to_owned())
    };
    renewal_due(ca.validity(), now).map(|due| due.to_string()).or_else(unlimited)
}

fn contains(bundle: &[u8], ca: &Ca) -> bool {
    let trusted = bundle::parse(bundle).unwrap_or_default();
    trusted.iter().any(|(certificate, _)| certificate == ca.certificate())
}
