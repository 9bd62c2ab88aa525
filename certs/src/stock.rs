//! What the operator keeps where it issues its certificates itself, and the next step of its renewal. Floor 0.
//!
//! A leaf is renewed from the authority that clients trust already: the old and the new one both serve. A new authority
//! comes in three steps, each at least [`Lives::overlap`] after the one before, so that no client ever meets a leaf whose
//! authority it does not trust yet, and none a leaf whose authority it no longer trusts:
//!
//! 1. it is made, and trusted beside the one that signs;
//! 2. it signs: the leaf is issued from it;
//! 3. the one before is trusted no longer.
//!
//! The invariant: every leaf that a server may still present (the one kept, and the one before it for as long as the
//! overlap) verifies against what is trusted, from the first step on and whatever is lost on the way.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;

use crate::authority::{Authority, AuthorityError};
use crate::bundle;
use crate::due::{Due, due, issued};
use crate::pair::{AUTHORITY_FILE, CHAIN_FILE, KEY_FILE, Pair, Standing, Validity};
use crate::verify::verify;

/// The key of the authority that signs.
pub const AUTHORITY_KEY: &str = "ca.key";
/// The authority that is trusted and does not sign yet.
pub const NEXT: &str = "ca-next.crt";
/// Its key.
pub const NEXT_KEY: &str = "ca-next.key";
/// Those that are trusted and sign no longer.
pub const PREVIOUS: &str = "ca-previous.crt";

/// Every entry that is ours, by its name; others are left alone.
pub const ENTRIES: [&str; 7] =
    [CHAIN_FILE, KEY_FILE, AUTHORITY_FILE, AUTHORITY_KEY, NEXT, NEXT_KEY, PREVIOUS];

/// What is kept, by the names of its files.
pub type Entries = BTreeMap<String, Vec<u8>>;

/// How long things last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives {
    /// Of an authority.
    pub authority: Duration,
    /// Of a leaf.
    pub leaf: Duration,
    /// Until a leaf has come to every server and a bundle to every client. A kubelet may take 90 s for the one, an API
    /// server's watch moments for the other.
    pub overlap: Duration,
}

impl Default for Lives {
    fn default() -> Self {
        Self {
            authority: Duration::from_hours(5 * 365 * 24),
            leaf: Duration::from_hours(90 * 24),
            overlap: Duration::from_mins(5),
        }
    }
}

/// What the certificates are for.
#[derive(Clone, Debug)]
pub struct Purpose {
    /// What the authority is called.
    pub name: String,
    /// The DNS names that the leaf is for; at least one.
    pub names: Vec<String>,
    pub lives: Lives,
}

/// Something that was made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    pub what: Renewed,
    /// Why, as half a sentence behind the name of the thing.
    pub why: String,
    /// Whether it was only time, so that nobody needs to look at it.
    pub by_time: bool,
}

/// What can be made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The leaf with its key.
    Leaf,
    /// The authority with its key; it signs from some later step on.
    Authority,
}

/// One step: what is to be kept from now on, and why.
#[derive(Clone, Debug)]
pub struct Step {
    pub entries: Entries,
    pub renewals: Vec<Renewal>,
}

/// What is kept, as far as it can be read.
#[derive(Debug)]
pub struct Stock {
    current: Option<Authority>,
    next: Option<Authority>,
    previous: Vec<(CertificateDer<'static>, Validity)>,
    leaf: Option<Leaf>,
    /// Why there is no leaf.
    no_leaf: String,
    /// Why there is no authority that signs.
    no_authority: String,
}

#[derive(Debug)]
struct Leaf {
    pair: Pair,
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl Stock {
    /// Reads the entries at `now`. What cannot be read or holds no longer counts as missing; the certificate of an
    /// authority whose key is lost is trusted on.
    pub fn read(entries: &Entries, now: SystemTime) -> Self {
        let entry = |name: &str| entries.get(name).map_or(&[][..], Vec::as_slice);
        let certificates = |name: &str| bundle::read(entry(name)).unwrap_or_default();
        let holds = |validity: Validity| validity.standing(now) == Standing::Valid;

        let mut previous = certificates(PREVIOUS);
        let (current, no_authority) = match authority(entry(AUTHORITY_FILE), entry(AUTHORITY_KEY), now) {
            Ok(current) => (Some(current), String::new()),
            Err(why) => {
                previous.extend(certificates(AUTHORITY_FILE));
                (None, why)
            }
        };
        previous.retain(|(certificate, validity)| {
            holds(*validity) && current.as_ref().is_none_or(|current| current.certificate() != certificate)
        });
        let (leaf, no_leaf) = match Leaf::read(entry(CHAIN_FILE), entry(KEY_FILE)) {
            Ok(leaf) => (Some(leaf), String::new()),
            Err(why) => (None, why),
        };
        let next = authority(entry(NEXT), entry(NEXT_KEY), now).ok();
        Self { current, next, previous, leaf, no_leaf, no_authority }
    }

    /// The authorities that clients are to trust, as PEM: that which signs, that which will, those that did.
    ///
    /// `trusted_now` is what a client trusts at present. As long as a leaf is so young that a server may still present the
    /// one before it, those stay: whatever was lost here, they are what that leaf came from.
    pub fn bundle(&self, trusted_now: &[u8], now: SystemTime, lives: &Lives) -> String {
        let mut all: Vec<CertificateDer<'static>> =
            self.current.iter().chain(&self.next).map(|authority| authority.certificate().clone()).collect();
        all.extend(self.previous.iter().map(|(certificate, _)| certificate.clone()));
        if !self.is_settled(now, lives) {
            let known = bundle::read(trusted_now).unwrap_or_default();
            let holds = |validity: &Validity| validity.standing(now) == Standing::Valid;
            all.extend(known.into_iter().filter(|(_, validity)| holds(validity)).map(|(known, _)| known));
        }
        let mut seen = Vec::new();
        all.retain(|certificate| {
            let is_new = !seen.contains(certificate);
            seen.push(certificate.clone());
            is_new
        });
        bundle::text(&all)
    }

    /// The last moment of the authority that signs.
    pub fn authority_not_after(&self) -> Option<SystemTime> {
        Some(self.current.as_ref()?.validity().not_after)
    }

    /// The last moment of the leaf.
    pub fn leaf_not_after(&self) -> Option<SystemTime> {
        Some(self.leaf.as_ref()?.pair.not_after())
    }

    /// Whether the leaf has come to every server.
    fn is_settled(&self, now: SystemTime, lives: &Lives) -> bool {
        let leaf = self.current.as_ref().and(self.leaf.as_ref());
        leaf.is_some_and(|leaf| now >= issued(leaf.pair.validity()) + lives.overlap)
    }

    /// What is not right with the leaf, as one that comes from `issuers` (PEM).
    fn leaf_fault(&self, issuers: &str, purpose: &Purpose, now: SystemTime) -> Option<(String, bool)> {
        let Some(leaf) = &self.leaf else { return Some((self.no_leaf.clone(), false)) };
        if let Some(why) = due(leaf.pair.validity(), now) {
            return Some((why.to_string(), why == Due::Spent));
        }
        let fault = |name: &String| verify(leaf.pair.chain(), issuers.as_bytes(), name, now).err();
        purpose.names.iter().find_map(fault).map(|error| (error.to_string(), false))
    }

    /// Whether clients take the leaf, where no authority signs.
    fn leaf_serves(&self, purpose: &Purpose, now: SystemTime) -> bool {
        let trusted = bundle::text(self.previous.iter().map(|(certificate, _)| certificate));
        self.leaf_fault(&trusted, purpose, now).is_none_or(|(_, by_time)| by_time)
    }

    fn entries(&self) -> Entries {
        let mut entries = Entries::new();
        let mut put = |name: &str, content: Vec<u8>| entries.insert(name.to_owned(), content);
        if let Some(leaf) = &self.leaf {
            put(CHAIN_FILE, leaf.chain.clone());
            put(KEY_FILE, leaf.key.clone());
        }
        for (authority, certificate, key) in
            [(&self.current, AUTHORITY_FILE, AUTHORITY_KEY), (&self.next, NEXT, NEXT_KEY)]
        {
            if let Some(authority) = authority {
                put(certificate, authority.certificate_pem().into());
                put(key, authority.key_pem().into());
            }
        }
        if !self.previous.is_empty() {
            put(PREVIOUS, bundle::text(self.previous.iter().map(|(certificate, _)| certificate)).into());
        }
        entries
    }
}

/// The next step from `entries` at `now`, or none where nothing is due. `trusted` is what each client trusts (PEM): an
/// authority signs only once it is in every one of them.
///
/// Fails only where a certificate cannot be made at all.
pub fn step(
    entries: &Entries,
    trusted: &[Vec<u8>],
    purpose: &Purpose,
    now: SystemTime,
) -> Result<Option<Step>, AuthorityError> {
    let mut stock = Stock::read(entries, now);
    let mut renewals = Vec::new();
    let lives = &purpose.lives;

    let spent = stock.current.as_ref().and_then(|current| due(current.validity(), now));
    if stock.next.is_none() && (stock.current.is_none() || spent.is_some()) {
        stock.next = Some(Authority::create(&purpose.name, now, lives.authority)?);
        let why = spent.map_or_else(|| stock.no_authority.clone(), |due| due.to_string());
        renewals.push(Renewal { what: Renewed::Authority, why, by_time: spent.is_some() });
    }
    let is_known = stock.next.as_ref().is_some_and(|next| {
        now >= issued(next.validity()) + lives.overlap && trusted.iter().all(|bundle| trusts(bundle, next))
    });
    // Where no client takes the leaf any more, to wait for the overlap would only make it longer.
    if is_known || (stock.current.is_none() && !stock.leaf_serves(purpose, now)) {
        let before = stock.current.take();
        stock.previous.extend(before.map(|before| (before.certificate().clone(), before.validity())));
        stock.current = stock.next.take();
    }
    if let Some(current) = &stock.current
        && let Some((why, by_time)) = stock.leaf_fault(current.certificate_pem(), purpose, now)
    {
        let (why, by_time) =
            if is_known { ("its authority is replaced".into(), true) } else { (why, by_time) };
        stock.leaf = Some(Leaf::issue(current, purpose, now)?);
        renewals.push(Renewal { what: Renewed::Leaf, why, by_time });
    }
    if stock.is_settled(now, lives) {
        stock.previous.clear();
    }
    let foreign = entries.iter().filter(|(name, _)| !ENTRIES.contains(&name.as_str()));
    let mut kept = stock.entries();
    kept.extend(foreign.map(|(name, content)| (name.clone(), content.clone())));
    Ok((kept != *entries).then_some(Step { entries: kept, renewals }))
}

fn trusts(bundle: &[u8], authority: &Authority) -> bool {
    let known = bundle::read(bundle).unwrap_or_default();
    known.iter().any(|(certificate, _)| certificate == authority.certificate())
}

/// The pair of an authority that may sign at `now`, or why there is none.
fn authority(certificate: &[u8], key: &[u8], now: SystemTime) -> Result<Authority, String> {
    if certificate.is_empty() && key.is_empty() {
        return Err("there was none".into());
    }
    let authority = Authority::from_pem(certificate, key).map_err(|error| error.to_string())?;
    match due(authority.validity(), now) {
        Some(why @ (Due::Expired | Due::NotYetValid)) => Err(why.to_string()),
        Some(Due::Spent) | None => Ok(authority),
    }
}

impl Leaf {
    fn read(chain: &[u8], key: &[u8]) -> Result<Self, String> {
        if chain.is_empty() && key.is_empty() {
            return Err("there was none".into());
        }
        let pair = Pair::from_pem(chain, key).map_err(|error| error.to_string())?;
        Ok(Self { pair, chain: chain.into(), key: key.into() })
    }

    fn issue(authority: &Authority, purpose: &Purpose, now: SystemTime) -> Result<Self, AuthorityError> {
        let issued = authority.issue(&purpose.names, now, purpose.lives.leaf)?;
        let (chain, key) = (issued.chain.into_bytes(), issued.key.into_bytes());
        let pair = Pair::from_pem(&chain, &key)?;
        Ok(Self { pair, chain, key })
    }
}
