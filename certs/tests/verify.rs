//! What a client that trusts a bundle takes, and why it refuses the rest.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::time::{Duration, SystemTime};

use kcg_certs::{Authority, AuthorityError, Pair, VerifyError, verify};

const NAME: &str = "webhook.operator.svc";
const DAY: Duration = Duration::from_hours(24);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

fn authority(life: Duration) -> Authority {
    Authority::create("test", now(), life).unwrap()
}

fn issued(authority: &Authority, life: Duration) -> Pair {
    let issued = authority.issue(&[NAME.to_owned()], now(), life).unwrap();
    Pair::from_pem(issued.chain.as_bytes(), issued.key.as_bytes()).unwrap()
}

#[test]
fn a_leaf_of_a_trusted_authority_is_taken_for_its_own_name_in_its_own_time() {
    let trusted = authority(DAY * 10);
    let pair = issued(&trusted, DAY);
    let judge = |bundle: &str, name: &str, now| verify(pair.chain(), bundle.as_bytes(), name, now);
    let bundle = trusted.certificate_pem();
    let several = authority(DAY).certificate_pem().to_owned() + bundle;
    assert!(judge(bundle, NAME, now()).is_ok());
    assert!(judge(&several, NAME, now()).is_ok());
    assert!(matches!(judge(bundle, "other.svc", now()), Err(VerifyError::OtherName(_))));
    assert!(matches!(judge(bundle, NAME, now() + DAY * 2), Err(VerifyError::Expired)));
    assert!(matches!(judge(bundle, NAME, now() - DAY), Err(VerifyError::NotYetValid)));
    let stranger = authority(DAY * 10);
    assert!(matches!(judge(stranger.certificate_pem(), NAME, now()), Err(VerifyError::Untrusted)));
    assert!(matches!(judge("", NAME, now()), Err(VerifyError::Bundle(_))));
    assert!(matches!(judge(bundle, "no name", now()), Err(VerifyError::Name(_))));
}

#[test]
fn a_leaf_does_not_outlive_its_authority() {
    let short = authority(DAY);
    assert_eq!(issued(&short, DAY * 10).not_after(), short.validity().not_after);
}

#[test]
fn an_authority_is_read_back_with_its_own_key_alone() {
    let (one, other) = (authority(DAY), authority(DAY));
    let read = |certificate: &Authority, key: &Authority| {
        Authority::from_pem(certificate.certificate_pem().as_bytes(), key.key_pem().as_bytes())
    };
    assert_eq!(read(&one, &one).unwrap().certificate(), one.certificate());
    assert!(matches!(read(&one, &other), Err(AuthorityError::Mismatch)));
    let leaf = one.issue(&[NAME.to_owned()], now(), DAY).unwrap();
    let from_leaf = Authority::from_pem(leaf.chain.as_bytes(), leaf.key.as_bytes());
    assert!(matches!(from_leaf, Err(AuthorityError::NoAuthority)));
    assert!(matches!(Authority::from_pem(b"nonsense", b"nonsense"), Err(AuthorityError::Pem(_))));
}
