//! The invariant of the rotation: clients trust every certificate that a server may present,
//! whatever happens and in whichever order.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::time::{Duration, SystemTime};

use kcg_certs::rotation::{
    CA_ENTRIES, CertificateRequest, CertificateSet, IssuedKind, Lifetimes, RotationStep, SERVING_ENTRIES,
    Secrets, next_step,
};
use kcg_certs::{Ca, Pair, ValidityStatus, verify};
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
    stored: Secrets,
    trusted: Vec<u8>,
    /// Former serving certificates (chain, key) with the time of their replacement.
    replaced: Vec<(SystemTime, Vec<u8>, Vec<u8>)>,
}

impl Cluster {
    fn new() -> Self {
        Self { now: start(), stored: Secrets::default(), trusted: Vec::new(), replaced: Vec::new() }
    }

    /// One reconciliation of the rotator: a step, then the bundle that clients trust.
    fn reconcile(&mut self) -> Vec<IssuedKind> {
        let issued = self.step(|_, wanted| wanted);
        self.publish();
        issued
    }

    /// The process ends after it has written the CA's Secret.
    fn reconcile_half(&mut self) {
        self.step(|stored, wanted| Secrets { ca: wanted.ca, serving: stored.serving.clone() });
    }

    /// A reconciliation of a version that has everything in one Secret, and does not know the other.
    fn reconcile_former(&mut self) {
        let unknown = std::mem::take(&mut self.stored.ca);
        self.step(|_, wanted| Secrets {
            serving: wanted.ca.into_iter().chain(wanted.serving).collect(),
            ..Secrets::default()
        });
        self.publish();
        self.stored.ca = unknown;
    }

    fn step(&mut self, write: impl Fn(&Secrets, Secrets) -> Secrets) -> Vec<IssuedKind> {
        let trusted = std::slice::from_ref(&self.trusted);
        let step = next_step(&self.stored, trusted, &request(), self.now).unwrap();
        let Some(RotationStep { secrets, issued }) = step else { return Vec::new() };
        let before = std::mem::take(&mut self.stored);
        self.stored = write(&before, secrets);
        let entry = |name: &str| before.serving.get(name).cloned();
        if let (Some(chain), Some(key)) = (entry("tls.crt"), entry("tls.key"))
            && self.stored.serving.get("tls.crt") != Some(&chain)
        {
            self.replaced.push((self.now, chain, key));
        }
        issued.iter().map(|issuance| issuance.kind).collect()
    }

    fn publish(&mut self) {
        let set = CertificateSet::read(&self.stored, self.now);
        self.trusted = set.bundle(&self.trusted, self.now, &request().lifetimes).into();
    }

    /// As an earlier version stored it: all in one Secret, with a CA that may sign for any name.
    fn of_an_earlier_version() -> Self {
        let mut cluster = Self::new();
        let ca = Ca::create("operator", &[], cluster.now, DAY * 30).unwrap();
        let leaf = ca.issue(&request().dns_names, cluster.now, DAY * 3).unwrap();
        let entries = [
            ("ca.crt", ca.certificate_pem().to_owned()),
            ("ca.key", ca.key_pem()),
            ("tls.crt", leaf.chain),
            ("tls.key", leaf.key),
        ];
        cluster.stored.serving = entries.map(|(name, pem)| (name.to_owned(), pem.into_bytes())).into();
        cluster.trusted = ca.certificate_pem().into();
        cluster
    }

    fn ca(&self) -> Vec<u8> {
        self.stored.ca["ca.crt"].clone()
    }

    fn serves(&self, chain: &[u8], key: &[u8]) -> Result<(), String> {
        let pair = Pair::from_pem(chain, key).map_err(|error| error.to_string())?;
        verify(pair.chain(), &self.trusted, NAME, self.now).map_err(|error| error.to_string())
    }

    /// Clients trust the newest certificate, and within their validity those that a slow server may
    /// still present.
    fn check(&self) -> Result<(), String> {
        self.serves(&self.stored.serving["tls.crt"], &self.stored.serving["tls.key"])?;
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
    let ca = cluster.ca();
    cluster.pass(HOUR * 47);
    assert_eq!(cluster.reconcile(), []);
    cluster.pass(HOUR);
    assert_eq!(cluster.reconcile(), [IssuedKind::ServingCertificate]);
    assert_eq!(cluster.ca(), ca);
    cluster.check().unwrap();
}

#[test]
fn a_new_ca_is_trusted_before_it_signs_and_the_old_one_for_an_overlap_after_it_signed() {
    let mut cluster = Cluster::new();
    cluster.reconcile();
    let old = cluster.ca();
    let blocks = |cluster: &Cluster| kcg_certs::bundle::parse(&cluster.trusted).unwrap().len();
    cluster.pass(DAY * 20);
    assert_eq!(cluster.reconcile(), [IssuedKind::Ca, IssuedKind::ServingCertificate]);
    assert_eq!((cluster.ca() == old, blocks(&cluster)), (true, 2));
    cluster.pass(HOUR);
    assert_eq!(cluster.reconcile(), [IssuedKind::ServingCertificate]);
    assert_eq!((cluster.ca() == old, blocks(&cluster)), (false, 2));
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
    let trusted = [cluster.trusted.clone(), before.ca["ca.crt"].clone()];
    let step = next_step(&cluster.stored, &trusted, &request(), cluster.now).unwrap();
    assert!(step.is_none_or(|step| step.secrets.ca["ca.crt"] == before.ca["ca.crt"]));
}

#[test]
fn foreign_entries_are_preserved() {
    let mut cluster = Cluster::new();
    cluster.stored.serving.insert("note".into(), b"mine".into());
    cluster.stored.ca.insert("note".into(), b"ours".into());
    cluster.reconcile();
    assert_eq!(cluster.stored.serving["note"], b"mine");
    assert_eq!(cluster.stored.ca["note"], b"ours");
}

/// Names and keys: what who may read the serving Secret knows.
fn serving_entries(cluster: &Cluster) -> Vec<&str> {
    cluster.stored.serving.keys().map(String::as_str).collect()
}

#[test]
fn the_serving_secret_never_holds_the_key_of_a_ca() {
    let mut cluster = Cluster::new();
    for _ in 0..40 {
        cluster.reconcile();
        assert_eq!(serving_entries(&cluster), ["ca.crt", "tls.crt", "tls.key"]);
        cluster.pass(HOUR * 20);
    }
}

#[test]
fn a_ca_may_sign_for_the_names_of_the_webhook_alone() {
    let mut cluster = Cluster::new();
    cluster.reconcile();
    let ca = Ca::from_pem(&cluster.stored.ca["ca.crt"], &cluster.stored.ca["ca.key"]).unwrap();
    for (name, accepted) in [
        (NAME, true),
        ("kubernetes.default.svc", false),
        ("other.operator.svc", false),
        ("operator.svc", false),
    ] {
        let forged = ca.issue(&[name.to_owned()], cluster.now, DAY).unwrap();
        let forged = Pair::from_pem(forged.chain.as_bytes(), forged.key.as_bytes()).unwrap();
        let outcome = verify(forged.chain(), &cluster.trusted, name, cluster.now);
        assert_eq!(outcome.is_ok(), accepted, "{name}: {outcome:?}");
    }
}

#[test]
fn the_ca_of_an_earlier_version_leaves_the_serving_secret_and_is_replaced_in_the_three_steps() {
    let mut cluster = Cluster::of_an_earlier_version();
    let (former, leaf) =
        (cluster.stored.serving["ca.crt"].clone(), cluster.stored.serving["tls.crt"].clone());
    assert_eq!(cluster.reconcile(), [IssuedKind::Ca]);
    assert_eq!(serving_entries(&cluster), ["ca.crt", "tls.crt", "tls.key"]);
    assert_eq!((cluster.ca(), &cluster.stored.serving["tls.crt"]), (former.clone(), &leaf));
    cluster.check().unwrap();
    cluster.pass(HOUR);
    assert_eq!(cluster.reconcile(), [IssuedKind::ServingCertificate]);
    assert_ne!(cluster.ca(), former);
    cluster.check().unwrap();
    cluster.pass(HOUR);
    cluster.reconcile();
    assert_eq!(cluster.trusted, cluster.ca());
    assert_eq!(cluster.reconcile(), []);
}

#[test]
fn an_earlier_version_that_finds_no_key_of_a_ca_keeps_the_certificate_until_its_next_ca_is_trusted() {
    let mut cluster = Cluster::new();
    cluster.reconcile();
    let leaf = cluster.stored.serving["tls.crt"].clone();
    cluster.pass(HOUR * 2);
    cluster.reconcile_former();
    assert_eq!(cluster.stored.serving["tls.crt"], leaf);
    cluster.check().unwrap();
    cluster.pass(HOUR);
    cluster.reconcile_former();
    assert_ne!(cluster.stored.serving["tls.crt"], leaf);
    cluster.check().unwrap();
    // The upgrade once more: its CA is the current one.
    let ca = cluster.stored.serving["ca.crt"].clone();
    cluster.reconcile();
    assert_eq!(cluster.ca(), ca);
    assert_eq!(serving_entries(&cluster), ["ca.crt", "tls.crt", "tls.key"]);
    cluster.check().unwrap();
}

#[test]
fn a_certificate_that_is_issued_after_the_clock_was_set_back_is_not_valid_before_its_ca() {
    let mut cluster = Cluster::new();
    cluster.reconcile();
    // The CA's first second.
    cluster.now -= kcg_certs::ca::BACKDATED;
    cluster.stored.serving.remove("tls.crt");
    assert_eq!(cluster.reconcile(), [IssuedKind::ServingCertificate]);
    cluster.check().unwrap();
    let (leaf, ca) = (cluster.stored.serving["tls.crt"].clone(), cluster.ca());
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
    /// A user deletes all entries of the CA's Secret, of the serving Secret, or of both.
    Empty(bool, bool),
    /// The process ends between its two writes.
    Half,
    /// An earlier version leads for a moment, as in a rollback.
    Former,
    /// The bundle is removed from a webhook configuration, as if a user applied an old file.
    Wipe,
}

fn incident() -> impl Strategy<Value = Incident> {
    prop_oneof![
        6 => (1..3000_u64).prop_map(Incident::Time),
        1 => prop_oneof![Just(1), Just(-1), Just(87_600), Just(-87_600)].prop_map(Incident::Jump),
        2 => (0..CA_ENTRIES.len() + SERVING_ENTRIES.len(), any::<bool>()).prop_map(|(entry, gone)| Incident::Spoil(entry, gone)),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(ca, serving)| Incident::Empty(ca, serving)),
        2 => Just(Incident::Half),
        2 => Just(Incident::Former),
        1 => Just(Incident::Wipe),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_certificate_that_may_be_presented_is_trusted_whatever_happens(
        incidents in prop::collection::vec(incident(), 1..24)
    ) {
        let mut cluster = Cluster::of_an_earlier_version();
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
                    let (name, entries) = match entry.checked_sub(CA_ENTRIES.len()) {
                        None => (CA_ENTRIES[*entry], &mut cluster.stored.ca),
                        Some(entry) => (SERVING_ENTRIES[entry], &mut cluster.stored.serving),
                    };
                    if *gone {
                        entries.remove(name);
                    } else if let Some(content) = entries.get_mut(name) {
                        *content = b"nonsense".into();
                    }
                }
                Incident::Empty(ca, serving) => {
                    if *ca { cluster.stored.ca.clear() }
                    if *serving { cluster.stored.serving.clear() }
                }
                Incident::Half => cluster.reconcile_half(),
                Incident::Former => {
                    cluster.reconcile_former();
                    prop_assert_eq!(cluster.check(), Ok(()), "by an earlier version");
                }
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
