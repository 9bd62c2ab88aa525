//! Which certificate chains a client accepts that trusts a given CA bundle.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::time::{Duration, SystemTime};

use kcg_certs::{Ca, CaError, Pair, VerifyError, verify};

const NAME: &str = "webhook.operator.svc";
const DAY: Duration = Duration::from_hours(24);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

fn ca(duration: Duration) -> Ca {
    Ca::create("test", &[], now(), duration).unwrap()
}

fn issue(ca: &Ca, duration: Duration) -> Pair {
    let issued = ca.issue(&[NAME.to_owned()], now(), duration).unwrap();
    Pair::from_pem(issued.chain.as_bytes(), issued.key.as_bytes()).unwrap()
}

#[test]
fn a_certificate_of_a_trusted_ca_is_accepted_for_its_own_names_within_its_validity() {
    let trusted = ca(DAY * 10);
    let pair = issue(&trusted, DAY);
    let check = |bundle: &str, name: &str, now| verify(pair.chain(), bundle.as_bytes(), name, now);
    let bundle = trusted.certificate_pem();
    let several = ca(DAY).certificate_pem().to_owned() + bundle;
    assert!(check(bundle, NAME, now()).is_ok());
    assert!(check(&several, NAME, now()).is_ok());
    assert!(matches!(check(bundle, "other.svc", now()), Err(VerifyError::OtherName(_))));
    assert!(matches!(check(bundle, NAME, now() + DAY * 2), Err(VerifyError::Expired)));
    assert!(matches!(check(bundle, NAME, now() - DAY), Err(VerifyError::NotYetValid)));
    let other = ca(DAY * 10);
    assert!(matches!(check(other.certificate_pem(), NAME, now()), Err(VerifyError::Untrusted)));
    assert!(matches!(check("", NAME, now()), Err(VerifyError::Bundle(_))));
    assert!(matches!(check(bundle, "not a name", now()), Err(VerifyError::Name(_))));
}

#[test]
fn a_certificate_does_not_outlive_its_ca() {
    let short = ca(DAY);
    assert_eq!(issue(&short, DAY * 10).not_after(), short.validity().not_after);
}

#[test]
fn a_ca_is_read_back_only_with_its_own_key() {
    let (one, other) = (ca(DAY), ca(DAY));
    let read = |certificate: &Ca, key: &Ca| {
        Ca::from_pem(certificate.certificate_pem().as_bytes(), key.key_pem().as_bytes())
    };
    assert_eq!(read(&one, &one).unwrap().certificate(), one.certificate());
    assert!(matches!(read(&one, &other), Err(CaError::Mismatch)));
    let leaf = one.issue(&[NAME.to_owned()], now(), DAY).unwrap();
    let from_leaf = Ca::from_pem(leaf.chain.as_bytes(), leaf.key.as_bytes());
    assert!(matches!(from_leaf, Err(CaError::NotACa)));
    assert!(matches!(Ca::from_pem(b"nonsense", b"nonsense"), Err(CaError::Pem(_))));
}
