//! The stored certificates as values.

use std::time::SystemTime;

use rustls_pki_types::CertificateDer;

use super::{CA_KEY, CertificateRequest, Entries, Lifetimes, NEXT_CA, NEXT_CA_KEY, PREVIOUS_CAS, Secrets};
use crate::bundle;
use crate::ca::{Ca, CaError};
use crate::pair::{CA_FILE, CHAIN_FILE, KEY_FILE, Pair, Validity, ValidityStatus};
use crate::renewal::{RenewalDue, issued_at, renewal_due};
use crate::verify::verify;

/// The stored certificates, as far as they can be read.
#[derive(Debug)]
pub struct CertificateSet {
    pub(super) current: Option<Ca>,
    pub(super) next: Option<Ca>,
    pub(super) previous: Vec<(CertificateDer<'static>, Validity)>,
    pub(super) leaf: Option<Leaf>,
    /// Why there is no serving certificate.
    no_leaf: String,
    /// Why there is no current CA.
    pub(super) no_ca: String,
}

/// The serving certificate.
#[derive(Debug)]
pub(super) struct Leaf {
    pair: Pair,
    chain: Vec<u8>,
    key: Vec<u8>,
}

/// A defect of the serving certificate.
pub(super) struct LeafFault {
    pub(super) reason: String,
    /// Whether it is only due for its scheduled renewal.
    pub(super) scheduled: bool,
}

impl CertificateSet {
    /// Reads the Secrets at `now`.
    ///
    /// An entry that cannot be read or is not valid counts as missing. If the key of a CA is lost,
    /// its certificate stays trusted.
    pub fn read(secrets: &Secrets, now: SystemTime) -> Self {
        let entries = secrets.as_one();
        let entry = |name: &str| entries.get(name).map_or(&[][..], Vec::as_slice);
        let certificates = |name: &str| bundle::parse(entry(name)).unwrap_or_default();

        let mut previous = certificates(PREVIOUS_CAS);
        let (current, no_ca) = match read_ca(entry(CA_FILE), entry(CA_KEY), now) {
            Ok(current) => (Some(current), String::new()),
            Err(reason) => {
                previous.extend(certificates(CA_FILE));
                (None, reason)
            }
        };
        previous.retain(|(certificate, validity)| {
            is_valid(*validity, now)
                && current.as_ref().is_none_or(|current| current.certificate() != certificate)
        });
        let (leaf, no_leaf) = match Leaf::read(entry(CHAIN_FILE), entry(KEY_FILE)) {
            Ok(leaf) => (Some(leaf), String::new()),
            Err(reason) => (None, reason),
        };
        let next = read_ca(entry(NEXT_CA), entry(NEXT_CA_KEY), now).ok();
        Self { current, next, previous, leaf, no_leaf, no_ca }
    }

    /// The CA bundle for clients, as PEM: the current CA, the next one and the previous ones.
    ///
    /// `trusted_now` is the bundle that a client trusts at present. While the serving certificate
    /// is so young that a server may still present its predecessor, the CAs of `trusted_now` stay
    /// in the bundle: even if entries were lost, one of them issued the predecessor.
    pub fn bundle(&self, trusted_now: &[u8], now: SystemTime, lifetimes: &Lifetimes) -> String {
        let mut all: Vec<CertificateDer<'static>> =
            self.current.iter().chain(&self.next).map(|ca| ca.certificate().clone()).collect();
        all.extend(self.previous.iter().map(|(certificate, _)| certificate.clone()));
        if !self.is_settled(now, lifetimes) {
            let trusted = bundle::parse(trusted_now).unwrap_or_default();
            let valid = trusted.into_iter().filter(|(_, validity)| is_valid(*validity, now));
            all.extend(valid.map(|(certificate, _)| certificate));
        }
        let mut seen = Vec::new();
        all.retain(|certificate| {
            let is_new = !seen.contains(certificate);
            seen.push(certificate.clone());
            is_new
        });
        bundle::to_pem(&all)
    }

    /// The notAfter of the current CA, if there is one.
    pub fn ca_not_after(&self) -> Option<SystemTime> {
        Some(self.current.as_ref()?.validity().not_after)
    }

    /// The notAfter of the serving certificate, if there is one.
    pub fn certificate_not_after(&self) -> Option<SystemTime> {
        Some(self.leaf.as_ref()?.pair.not_after())
    }

    /// Whether every server has had the time to load the serving certificate.
    pub(super) fn is_settled(&self, now: SystemTime, lifetimes: &Lifetimes) -> bool {
        let leaf = self.current.as_ref().and(self.leaf.as_ref());
        leaf.is_some_and(|leaf| now >= issued_at(leaf.pair.validity()) + lifetimes.overlap)
    }

    /// The defect of the serving certificate if clients trust the CAs in `bundle` (PEM).
    pub(super) fn leaf_fault(
        &self,
        bundle: &str,
        request: &CertificateRequest,
        now: SystemTime,
    ) -> Option<LeafFault> {
        let Some(leaf) = &self.leaf else {
            return Some(LeafFault { reason: self.no_leaf.clone(), scheduled: false });
        };
        if let Some(due) = renewal_due(leaf.pair.validity(), now) {
            let scheduled = due == RenewalDue::RenewalTime;
            return Some(LeafFault { reason: due.to_string(), scheduled });
        }
        let error = |name: &String| verify(leaf.pair.chain(), bundle.as_bytes(), name, now).err();
        let error = request.dns_names.iter().find_map(error)?;
        Some(LeafFault { reason: error.to_string(), scheduled: false })
    }

    /// Whether clients accept the serving certificate by the previous CAs alone.
    pub(super) fn leaf_works_without_ca(&self, request: &CertificateRequest, now: SystemTime) -> bool {
        let trusted = self.previous_pem();
        self.leaf_fault(&trusted, request, now).is_none_or(|fault| fault.scheduled)
    }

    fn previous_pem(&self) -> String {
        bundle::to_pem(self.previous.iter().map(|(certificate, _)| certificate))
    }

    /// Step 2 of a CA's replacement: the next CA signs from now on.
    pub(super) fn promote_next(&mut self) {
        let before = self.current.take();
        self.previous.extend(before.map(|before| (before.certificate().clone(), before.validity())));
        self.current = self.next.take();
    }

    pub(super) fn to_entries(&self) -> Entries {
        let mut entries = Entries::new();
        let mut put = |name: &str, content: Vec<u8>| entries.insert(name.to_owned(), content);
        if let Some(leaf) = &self.leaf {
            put(CHAIN_FILE, leaf.chain.clone());
            put(KEY_FILE, leaf.key.clone());
        }
        for (ca, certificate, key) in [(&self.current, CA_FILE, CA_KEY), (&self.next, NEXT_CA, NEXT_CA_KEY)] {
            if let Some(ca) = ca {
                put(certificate, ca.certificate_pem().into());
                put(key, ca.key_pem().into());
            }
        }
        if !self.previous.is_empty() {
            put(PREVIOUS_CAS, self.previous_pem().into());
        }
        entries
    }
}

fn is_valid(validity: Validity, now: SystemTime) -> bool {
    validity.status(now) == ValidityStatus::Valid
}

/// Reads a CA that can sign at `now`, or returns why there is none.
fn read_ca(certificate: &[u8], key: &[u8], now: SystemTime) -> Result<Ca, String> {
    if certificate.is_empty() && key.is_empty() {
        return Err("there was none".into());
    }
    let ca = Ca::from_pem(certificate, key).map_err(|error| error.to_string())?;
    match renewal_due(ca.validity(), now) {
        Some(due @ (RenewalDue::Expired | RenewalDue::NotYetValid)) => Err(due.to_string()),
        Some(RenewalDue::RenewalTime) | None => Ok(ca),
    }
}

impl Leaf {
    /// Reads the serving certificate, or returns why there is none.
    fn read(chain: &[u8], key: &[u8]) -> Result<Self, String> {
        if chain.is_empty() && key.is_empty() {
            return Err("there was none".into());
        }
        let pair = Pair::from_pem(chain, key).map_err(|error| error.to_string())?;
        Ok(Self { pair, chain: chain.into(), key: key.into() })
    }

    pub(super) fn issue(ca: &Ca, request: &CertificateRequest, now: SystemTime) -> Result<Self, CaError> {
        let issued = ca.issue(&request.dns_names, now, request.lifetimes.certificate)?;
        let (chain, key) = (issued.chain.into_bytes(), issued.key.into_bytes());
        let pair = Pair::from_pem(&chain, &key)?;
        Ok(Self { pair, chain, key })
    }
}
