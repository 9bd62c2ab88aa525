//! The invariant of the rotation: clients trust every certificate that a server may present,
//! whatever happens and in whichever order.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::time::{Duration, SystemTime};

use kcg_certs::rotation::{
    CertificateRequest, CertificateSet, ENTRIES, Entries, IssuedKind, Lifetimes, RotationStep, next_step,
};
use kcg_certs::{Pair, ValidityStatus, verify};
use proptest::prelude::*;

const NAME: &str = "webhook.operator.svc";
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

fn request() -> CertificateRequest {
    let lifetimes = Lifetimes { ca: DAY * 30, certificate: DAY * 3, overlap: HOUR };
    let dns_names = vec![NAME.into(), format!("{NAME}.cluster.local")];
    CertificateRequest { ca_name: "operator".into(), dns_names, lifetimes }
}

/// The certificates of a cluster: what is stored, what clients trust, what the slowest server still
/// presents.
struct Cluster {
    now: SystemTime,
    stored: Entries,
    trusted: Vec<u8>,
    /// Former serving certificates (chain, key) with the time of their replacement.
    replaced: Vec<(SystemTime, Vec<u8>, Vec<u8>)>,
}

impl Cluster {
    fn new() -> Self {
        Self { now: start(), stored: Entries::new(), trusted: Vec::new(), replaced: Vec::new() }
    }

    /// One reconciliation of the rotator: a step, then the bundle that clients trust.
    fn reconcile(&mut self) -> Vec<IssuedKind> {
        let request = request();
        let step = next_step(&self.stored, std::slice::from_ref(&self.trusted), &request, self.now).unwrap();
        let mut kinds = Vec::new();
        if let Some(RotationStep { entries, issued }) = step {
            kinds = issued.iter().map(|issuance| issuance.kind).collect();
            let before = (self.stored.get("tls.crt").cloned(), self.stored.get("tls.key").cloned());
            if let (Some(chain), Some(key)) = before
                && entries.get("tls.crt") != Some(&chain)
            {
                self.replaced.push((self.now, chain, key));
            }
            self.stored = entries;
        }
        self.trusted = CertificateSet::read(&self.stored, self.now)
            .bundle(&self.trusted, self.now, &request.lifetimes)
            .into();
        kinds
    }

    fn serves(&self, chain: &[u8], key: &[u8]) -> Result<(), String> {
        let pair = Pair::from_pem(chain, key).map_err(|error| error.to_string())?;
        verify(pair.chain(), &self.trusted, NAME, self.now).map_err(|error| error.to_string())
    }

    /// Clients trust the newest certificate, and within their validity those that a slow server may
    /// still present.
    fn check(&self) -> Result<(), String> {
        self.serves(&self.stored["tls.crt"], &self.stored["tls.key"])?;
        let slowest = request().lifetimes.overlap / 2;
        for (at, chain, key) in &self.replaced {
            let valid = Pair::from_pem(chain, key).is_ok_and(|pair| {
                pair.validity_status(self.now) == ValidityStatus::Valid
                    && pair.names().iter().any(|name| name == NAME)
            });
            if valid && self.now >= *at && self.now < *at + slowest {
                self.serves(chain, key).map_err(|error| format!("the previous certificate: {error}"))?;
            }
        }
        Ok(())
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }
}

#[test]
fn an_empty_set_gets_a_ca_and_a_certificate_in_one_step() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.reconcile(), [IssuedKind::Ca, IssuedKind::ServingCertificate]);
    cluster.check().unwrap();
    assert_eq!(cluster.reconcile(), []);
}

#[test]
fn a_certificate_is_renewed_at_two_thirds_of_its_lifetime_by_the_same_ca() {
    let mut cluster = Cluster::new();
    cluster.reconcile();
    let ca = cluster.stored["ca.crt"].clone();
    cluster.pass(HOUR * 47);
    assert_eq!(cluster.reconcile(), []);
    cluster.pass(HOUR);
    assert_eq!(cluster.reconcile(), [IssuedKind::ServingCertificate]);
    assert_eq!(cluster.stored["ca.crt"], ca);
    cluster.check().unwrap();
}

#[test]
fn a_new_ca_is_trusted_before_it_signs_and_the_old_one_for_an_overlap_after_it_signed() {
    let mut cluster = Cluster::new();
    cluster.reconcile();
    let old = cluster.stored["ca.crt"].clone();
    let blocks = |cluster: &Cluster| kcg_certs::bundle::parse(&cluster.trusted).unwrap().len();
    cluster.pass(DAY * 20);
    assert_eq!(cluster.reconcile(), [IssuedKind::Ca, IssuedKind::ServingCertificate]);
    assert_eq!((cluster.stored["ca.crt"] == old, blocks(&cluster)), (true, 2));
    cluster.pass(HOUR);
    assert_eq!(cluster.reconcile(), [IssuedKind::ServingCertificate]);
    assert_eq!((cluster.stored["ca.crt"] == old, blocks(&cluster)), (false, 2));
    cluster.check().unwrap();
    cluster.pass(HOUR);
    assert_eq!(cluster.reconcile(), []);
    assert_eq!(blocks(&cluster), 1);
    cluster.check().unwrap();
}

#[test]
fn a_ca_that_one_client_does_not_trust_yet_signs_nothing() {
    let mut cluster = Cluster::new();
    cluster.reconcile();
    cluster.pass(DAY * 20);
    cluster.reconcile();
    cluster.pass(DAY);
    let before = cluster.stored.clone();
    // One of two webhook configurations was never patched.
    let trusted = [cluster.trusted.clone(), before["ca.crt"].clone()];
    let step = next_step(&cluster.stored, &trusted, &request(), cluster.now).unwrap();
    assert!(step.is_none_or(|step| step.entries["ca.crt"] == before["ca.crt"]));
}

#[test]
fn foreign_entries_are_preserved() {
    let mut cluster = Cluster::new();
    cluster.stored.insert("note".into(), b"mine".into());
    cluster.reconcile();
    assert_eq!(cluster.stored["note"], b"mine");
}

#[test]
fn a_certificate_that_is_issued_after_the_clock_was_set_back_is_not_valid_before_its_ca() {
    let mut cluster = Cluster::new();
    cluster.reconcile();
    // The CA's first second.
    cluster.now -= kcg_certs::ca::BACKDATED;
    cluster.stored.remove("tls.crt");
    assert_eq!(cluster.reconcile(), [IssuedKind::ServingCertificate]);
    cluster.check().unwrap();
    let (leaf, ca) = (cluster.stored["tls.crt"].clone(), cluster.stored["ca.crt"].clone());
    let not_before = |pem: &[u8]| kcg_certs::bundle::parse(pem).unwrap()[0].1.not_before;
    assert_eq!(not_before(&leaf), not_before(&ca));
}

/// What can happen between two reconciliations.
#[derive(Clone, Debug)]
enum Incident {
    /// These many minutes pass.
    Time(u64),
    /// The clock is set by these many hours, in either direction.
    Jump(i64),
    /// A user removes an entry, or writes nonsense into it.
    Spoil(usize, bool),
    /// A user deletes all entries.
    Empty,
    /// The bundle is removed from a webhook configuration, as if a user applied an old file.
    Wipe,
}

fn incident() -> impl Strategy<Value = Incident> {
    prop_oneof![
        6 => (1..3000_u64).prop_map(Incident::Time),
        1 => prop_oneof![Just(1), Just(-1), Just(87_600), Just(-87_600)].prop_map(Incident::Jump),
        2 => (0..ENTRIES.len(), any::<bool>()).prop_map(|(entry, gone)| Incident::Spoil(entry, gone)),
        1 => Just(Incident::Empty),
        1 => Just(Incident::Wipe),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_certificate_that_may_be_presented_is_trusted_whatever_happens(
        incidents in prop::collection::vec(incident(), 1..24)
    ) {
        let mut cluster = Cluster::new();
        cluster.reconcile();
        for incident in &incidents {
            match incident {
                Incident::Time(minutes) => cluster.pass(Duration::from_mins(*minutes)),
                Incident::Jump(hours) => {
                    let by = HOUR * u32::try_from(hours.unsigned_abs()).unwrap();
                    cluster.now = if *hours > 0 { cluster.now + by } else { cluster.now - by };
                    // This clock alone measures ages: after a jump forward, or back and forth,
                    // every overlap seems to be over. Then only the newest certificate is
                    // guaranteed.
                    cluster.replaced.clear();
                }
                Incident::Spoil(entry, gone) => {
                    let name = ENTRIES[*entry];
                    if *gone {
                        cluster.stored.remove(name);
                    } else if let Some(content) = cluster.stored.get_mut(name) {
                        *content = b"nonsense".into();
                    }
                }
                Incident::Empty => cluster.stored.clear(),
                // Then only the stored set knows what was trusted.
                Incident::Wipe => {
                    cluster.trusted.clear();
                    cluster.replaced.clear();
                }
            }
            cluster.reconcile();
            prop_assert_eq!(cluster.check(), Ok(()), "after {:?}", incident);
            // Nothing is left to do a moment later: no certificate is issued in a loop.
            cluster.reconcile();
            prop_assert_eq!(cluster.reconcile(), []);
            prop_assert_eq!(cluster.check(), Ok(()));
        }
    }
}
