//! The two Secrets that hold the certificates.
//!
//! The keys of the CAs are in a Secret of their own, so that who may read the one that the webhook
//! mounts can sign nothing. Until 0.1.0 was released, one Secret held everything; both directions of
//! the upgrade keep the trust:
//!
//! - A CA's key in the serving Secret shows that an earlier version wrote last. Its CA is the current
//!   one, and what the CA's Secret holds is a previous one.
//! - An earlier version finds a serving Secret without a CA's key. It keeps the certificate, trusts
//!   `ca.crt` as a previous CA, and creates a CA in the three steps.

use std::collections::BTreeMap;

use rustls_pki_types::CertificateDer;

use super::{CA_KEY, NEXT_CA, NEXT_CA_KEY, PREVIOUS_CAS};
use crate::bundle;
use crate::pair::{CA_FILE, CHAIN_FILE, KEY_FILE};

/// Stored certificates and keys: PEM by entry name, as in the data of a Secret.
pub type Entries = BTreeMap<String, Vec<u8>>;

/// The entries of the CA's Secret that the rotation owns. It does not modify other entries.
pub const CA_ENTRIES: [&str; 5] = [CA_FILE, CA_KEY, NEXT_CA, NEXT_CA_KEY, PREVIOUS_CAS];
/// The entries of the serving Secret that the rotation owns.
pub const SERVING_ENTRIES: [&str; 3] = [CHAIN_FILE, KEY_FILE, CA_FILE];

/// The content of the two Secrets.
///
/// They cannot be written at once. The CA's Secret is written first: a CA is stored before it signs,
/// and a certificate that misses its write is issued again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// The CA's Secret: the CAs with their keys.
    pub ca: Entries,
    /// The serving Secret, which the webhook mounts: the serving certificate with its key, and the
    /// certificate of its CA.
    pub serving: Entries,
}

impl Secrets {
    /// Whether neither holds anything.
    pub fn is_empty(&self) -> bool {
        self.ca.is_empty() && self.serving.is_empty()
    }

    /// Both as one set, without foreign entries.
    pub(super) fn as_one(&self) -> Entries {
        let is_former = [CA_KEY, NEXT_CA_KEY].into_iter().any(|key| self.serving.contains_key(key));
        let (latest, before) = if is_former { (&self.serving, &self.ca) } else { (&self.ca, &self.serving) };
        let take = |from: &Entries, names: &[&str]| -> Entries {
            let entry = |name: &&str| Some(((*name).to_owned(), from.get(*name)?.clone()));
            names.iter().filter_map(entry).collect()
        };
        let mut all = take(&self.serving, &[CHAIN_FILE, KEY_FILE]);
        all.extend(take(latest, &CA_ENTRIES));
        if let Some(ca) = before.get(CA_FILE) {
            all.entry(CA_FILE.to_owned()).or_insert_with(|| ca.clone());
        }
        let known = [CA_FILE, NEXT_CA, PREVIOUS_CAS].map(|name| certificates(&all, name)).concat();
        let mut previous = certificates(&all, PREVIOUS_CAS);
        for ca in [CA_FILE, NEXT_CA, PREVIOUS_CAS].map(|name| certificates(before, name)).concat() {
            if !known.contains(&ca) && !previous.contains(&ca) {
                previous.push(ca);
            }
        }
        if !previous.is_empty() {
            all.insert(PREVIOUS_CAS.to_owned(), bundle::to_pem(&previous).into());
        }
        all
    }

    /// The Secrets that hold `wanted`, each with its foreign entries.
    pub(super) fn with(&self, wanted: &Entries) -> Self {
        // Keys of CAs leave the serving Secret of an earlier version.
        let owned = |name: &str| CA_ENTRIES.contains(&name) || SERVING_ENTRIES.contains(&name);
        let of = |before: &Entries, names: &[&str]| -> Entries {
            let foreign = before.iter().filter(|(name, _)| !owned(name));
            let wanted = wanted.iter().filter(|(name, _)| names.contains(&name.as_str()));
            foreign.chain(wanted).map(|(name, content)| (name.clone(), content.clone())).collect()
        };
        Self { ca: of(&self.ca, &CA_ENTRIES), serving: of(&self.serving, &SERVING_ENTRIES) }
    }
}

fn certificates(entries: &Entries, name: &str) -> Vec<CertificateDer<'static>> {
    let pem = entries.get(name).map_or(&[][..], Vec::as_slice);
    bundle::parse(pem).unwrap_or_default().into_iter().map(|(certificate, _)| certificate).collect()
}
