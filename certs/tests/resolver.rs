//! Which pair the resolver serves while pairs are added, rejected and replaced.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::time::{Duration, SystemTime};

use kcg_certs::{Pair, PairError, Rejected, Resolver, ValidityStatus};
use rcgen::{CertificateParams, KeyPair};

const DAY: Duration = Duration::from_hours(24);

struct Files {
    chain: String,
    key: String,
}

/// A self-signed pair that is valid from `from` until `until`.
fn issue(from: SystemTime, until: SystemTime) -> Files {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["webhook.test.svc".to_owned()]).unwrap();
    params.not_before = from.into();
    params.not_after = until.into();
    Files { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

fn valid() -> Files {
    issue(now() - DAY, now() + DAY)
}

fn parse(files: &Files) -> Result<Pair, PairError> {
    Pair::from_pem(files.chain.as_bytes(), files.key.as_bytes())
}

#[test]
fn a_pair_reports_its_validity() {
    let pair = parse(&valid()).unwrap();
    assert_eq!(pair.not_before(), now() - DAY);
    assert_eq!(pair.not_after(), now() + DAY);
    assert_eq!(pair.validity_status(now()), ValidityStatus::Valid);
    assert_eq!(pair.validity_status(now() - DAY - Duration::from_secs(1)), ValidityStatus::NotYetValid);
    assert_eq!(pair.validity_status(now() + DAY + Duration::from_secs(1)), ValidityStatus::Expired);
}

#[test]
fn a_certificate_valid_from_before_1970_until_9999_is_read() {
    let ancient = SystemTime::UNIX_EPOCH - DAY;
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let pair = parse(&issue(ancient, far)).unwrap();
    assert_eq!((pair.not_before(), pair.not_after()), (ancient, far));
}

#[test]
fn a_new_certificate_with_the_old_key_is_rejected() {
    let (old, new) = (valid(), valid());
    let half = Files { chain: new.chain, key: old.key };
    assert!(matches!(parse(&half), Err(PairError::Mismatch)));
}

#[test]
fn the_error_names_the_broken_part() {
    let good = valid();
    let with = |chain: &str, key: &str| Pair::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
    assert!(matches!(with("", &good.key), PairError::NoCertificate));
    assert!(matches!(with(&good.chain[..good.chain.len() / 2], &good.key), PairError::ChainPem(_)));
    assert!(matches!(with(&good.chain, ""), PairError::KeyPem(_)));
    assert!(matches!(with(&good.chain, &good.chain), PairError::KeyPem(_)));
    let second_is_no_certificate =
        format!("{}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", good.chain);
    let refused = with(&second_is_no_certificate, &good.key);
    assert!(matches!(refused, PairError::Certificate { position: 2, .. }), "{refused}");
}

#[test]
fn the_key_is_in_no_debug_output() {
    let files = valid();
    let shown = format!("{:?}", parse(&files).unwrap());
    assert!(shown.starts_with("Pair { names"), "{shown}");
    assert!(!shown.contains("key"), "{shown}");
}

#[test]
fn the_last_good_pair_stays_if_a_candidate_is_broken() {
    let resolver = Resolver::new();
    assert!(resolver.current().is_none());
    assert!(resolver.replace(Err(PairError::Mismatch), now()).is_err());
    assert!(resolver.current().is_none());

    let first = resolver.replace(parse(&valid()), now()).unwrap();
    assert!(matches!(
        resolver.replace(Err(PairError::NoCertificate), now()),
        Err(Rejected::Unusable(PairError::NoCertificate))
    ));
    assert!(std::sync::Arc::ptr_eq(&first, &resolver.current().unwrap()));
}

#[test]
fn a_pair_that_is_not_valid_yet_does_not_replace_a_valid_one() {
    let resolver = Resolver::new();
    resolver.replace(parse(&valid()), now()).unwrap();
    let early = issue(now() + DAY / 2, now() + 9 * DAY);
    assert!(matches!(resolver.replace(parse(&early), now()), Err(Rejected::NotYetValid)));
    assert!(resolver.replace(parse(&early), now() + DAY / 2).is_ok());
}

#[test]
fn an_expired_pair_replaces_only_an_expired_one() {
    let expired = issue(now() - 9 * DAY, now() - 2 * DAY);
    let resolver = Resolver::new();
    assert!(matches!(resolver.replace(parse(&expired), now()), Err(Rejected::Expired)));
    assert!(resolver.current().is_none());
    resolver.replace(parse(&valid()), now()).unwrap();
    assert!(matches!(resolver.replace(parse(&expired), now()), Err(Rejected::Expired)));
    let much_later = now() + 1000 * DAY;
    assert!(resolver.replace(parse(&expired), much_later).is_ok(), "both have expired, by this clock");
}

#[test]
fn a_pair_for_another_name_is_rejected_and_the_error_lists_its_names() {
    let resolver = Resolver::for_name("other.test.svc");
    let rejected = resolver.replace(parse(&valid()), now()).unwrap_err();
    assert_eq!(rejected.to_string(), "the certificate is not for other.test.svc: it is for webhook.test.svc");
    assert!(resolver.current().is_none());
    assert!(Resolver::for_name("webhook.test.svc").replace(parse(&valid()), now()).is_ok());
}
