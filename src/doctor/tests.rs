//! A healthy installation, and what one wrong finding at a time turns into.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kcg_api::crd::VersionSkew;
use kcg_api::names;
use kcg_certs::Ca;

use super::*;

const DAY: Duration = Duration::from_hours(24);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

fn authority() -> Ca {
    Ca::create("test", now(), 3650 * DAY).unwrap()
}

fn secret(authority: &Ca, name: &str, life: Duration) -> BTreeMap<String, Vec<u8>> {
    let pair = authority.issue(&[name.to_owned()], now(), life).unwrap();
    let entries = [("tls.crt", pair.chain), ("tls.key", pair.key)];
    entries.map(|(name, text)| (name.to_owned(), text.into_bytes())).into()
}

fn host() -> String {
    names::webhook_host("operator")
}

fn labels(label: &str) -> BTreeMap<String, String> {
    [("release".to_owned(), label.to_owned())].into()
}

fn selector(label: &str) -> LabelSelector {
    LabelSelector { match_labels: Some(labels(label)), ..LabelSelector::default() }
}

fn healthy() -> Findings {
    let authority = authority();
    let registration =
        || Ok(Some(Registration { bundles: vec![authority.certificate_pem().as_bytes().to_vec()] }));
    let served = |version: &str| Ok(Some(version.to_owned()));
    let right = |who, what: &str| Right { who, what: what.into(), allowed: Ok(true) };
    Findings {
        namespace: "operator".into(),
        now: now(),
        crd: Ok(Some(VersionSkew::None)),
        registrations: [registration(), registration()],
        secret: Ok(Some(secret(&authority, &host(), 90 * DAY))),
        trial: Trial { good: Ok(true), bad: Err(Answer::Refused("no".into())) },
        lease: Ok(Some(Lead { holder: "one".into(), seconds_ago: 3, lease_seconds: 15 })),
        rights: vec![right("controller", "patch services"), right("webhook", "list kafkatopics")],
        kafka_topics: served("kafka.strimzi.io/v1"),
        service_monitors: served("monitoring.coreos.com/v1"),
        prometheus_rules: served("monitoring.coreos.com/v1"),
        metrics: Ok(Some(vec!["lag".into()])),
        groups: Ok(vec![Group { namespace: "a".into(), name: "g".into(), trouble: None }]),
        autoscalers: Ok(vec![Autoscaler {
            namespace: "a".into(),
            name: "g".into(),
            metric: "lag".into(),
            trouble: None,
        }]),
        monitors: Ok(vec![Monitor {
            namespace: "a".into(),
            name: "g".into(),
            labels: labels("one"),
            namespace_labels: BTreeMap::new(),
        }]),
        prometheuses: Ok(Some(vec![Prometheus {
            namespace: "monitoring".into(),
            name: "k8s".into(),
            monitors: Some(selector("one")),
            namespaces: Some(LabelSelector::default()),
        }])),
    }
}

/// The checks that are not well, with what they found.
fn unwell(change: impl FnOnce(&mut Findings)) -> Vec<(String, State, String)> {
    let mut findings = healthy();
    change(&mut findings);
    let checks = examine(&findings).into_iter().filter(|check| !check.is_well());
    checks.map(|check| (check.check, check.state, check.found)).collect()
}

#[test]
fn a_healthy_installation_is_well_in_every_check() {
    let checks = examine(&healthy());
    assert!(checks.iter().all(|check| check.state == State::Ok && check.cure.is_empty()), "{checks:?}");
}

#[test]
fn each_wrong_finding_turns_its_own_check_with_a_cure() {
    type Change = fn(&mut Findings);
    let faults: [(&str, &str, Change); 20] = [
        ("CRD", "not served", |f| f.crd = Ok(None)),
        ("CRD", "does not say", |f| f.crd = Ok(Some(VersionSkew::Unknown))),
        ("controller", "none has ever led", |f| f.lease = Ok(None)),
        ("controller", "last heard of 60 s ago", |f| {
            f.lease = Ok(Some(Lead { holder: "one".into(), seconds_ago: 60, lease_seconds: 15 }));
        }),
        ("rights of the controller", "it may not patch services", |f| f.rights[0].allowed = Ok(false)),
        ("rights of the webhook", "it may not list kafkatopics", |f| f.rights[1].allowed = Ok(false)),
        ("certificate", "it ends in 3 days", |f| f.now = now() + 87 * DAY),
        ("certificate", "it has no tls.crt", |f| {
            f.secret.as_mut().unwrap().as_mut().unwrap().remove("tls.crt");
        }),
        ("mutating registration", "there is none", |f| f.registrations[0] = Ok(None)),
        ("validating registration", "it names no webhook", |f| {
            f.registrations[1] = Ok(Some(Registration { bundles: Vec::new() }));
        }),
        ("validating registration", "its caBundle is empty", |f| {
            f.registrations[1] = Ok(Some(Registration { bundles: vec![Vec::new()] }));
        }),
        ("validating registration", "not trusted", |f| {
            let stranger = authority().certificate_pem().as_bytes().to_vec();
            f.registrations[1] = Ok(Some(Registration { bundles: vec![stranger] }));
        }),
        ("webhook /mutate", "passed over", |f| f.trial.good = Ok(false)),
        ("webhook /validate", "a bad group is let in", |f| f.trial.bad = Ok(())),
        ("webhook /validate", "no group can be written", |f| {
            f.trial.bad = Err(Answer::Failed("timed out".into()));
        }),
        ("KafkaTopics", "not served", |f| f.kafka_topics = Ok(None)),
        ("lag metrics", "a/g waits for lag", |f| f.metrics = Ok(Some(Vec::new()))),
        ("groups", "a/g: InvalidSpec", |f| {
            f.groups.as_mut().unwrap()[0].trouble = Some("InvalidSpec: no".into());
        }),
        ("autoscalers", "a/g: FailedGetPodsMetric", |f| {
            f.autoscalers.as_mut().unwrap()[0].trouble = Some("FailedGetPodsMetric: no".into());
        }),
        ("scraping", "no Prometheus selects a/g", |f| {
            f.prometheuses.as_mut().unwrap().as_mut().unwrap()[0].monitors = Some(selector("two"));
        }),
    ];
    for (check, found, change) in faults {
        let unwell = unwell(change);
        let [(name, State::Wrong, text)] = &unwell[..] else { panic!("{check} {found}: {unwell:?}") };
        assert!(name == check && text.contains(found), "{check} {found}: {unwell:?}");
        let mut findings = healthy();
        change(&mut findings);
        assert!(examine(&findings).iter().all(|check| check.is_well() || !check.cure.is_empty()), "{check}");
    }
}

#[test]
fn an_expired_certificate_is_told_where_it_is_and_where_it_is_not_trusted() {
    let unwell = unwell(|findings| findings.now = now() + 91 * DAY);
    let names: Vec<&str> = unwell.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["certificate", "mutating registration", "validating registration"]);
    assert!(unwell.iter().all(|(_, _, found)| found.contains("expired")), "{unwell:?}");
}

#[test]
fn a_certificate_of_tomorrow_is_not_valid_yet() {
    let unwell = unwell(|findings| findings.now = now() - DAY);
    assert!(
        unwell.iter().any(|(name, _, found)| name == "certificate" && found.contains("not valid yet")),
        "{unwell:?}"
    );
}

/// A life of six hours, backdated by one: its renewal is due when a third is left.
#[test]
fn a_short_lived_certificate_is_well_until_its_renewal_is_late() {
    let at = |hours: u64| {
        unwell(|findings| {
            let authority = authority();
            let bundle = authority.certificate_pem().as_bytes().to_vec();
            let registration = || Ok(Some(Registration { bundles: vec![bundle.clone()] }));
            findings.registrations = [registration(), registration()];
            findings.secret = Ok(Some(secret(&authority, &host(), Duration::from_hours(6))));
            findings.now = now() + Duration::from_hours(hours);
        })
    };
    assert_eq!(at(4), []);
    assert!(at(5)[0].2.contains("is not renewed"));
}

#[test]
fn a_neighbour_that_nothing_needs_is_only_noted() {
    let unwell = unwell(|findings| {
        (findings.groups, findings.autoscalers, findings.monitors) =
            (Ok(Vec::new()), Ok(Vec::new()), Ok(Vec::new()));
        (findings.kafka_topics, findings.metrics, findings.prometheuses) = (Ok(None), Ok(None), Ok(None));
    });
    assert_eq!(unwell, []);
}

#[test]
fn what_could_not_be_looked_at_is_not_called_well() {
    let unwell = unwell(|findings| findings.secret = Err("secrets is forbidden".into()));
    assert_eq!(unwell, [("certificate".to_owned(), State::Unknown, "secrets is forbidden".to_owned())]);
}

#[test]
fn an_authority_that_ends_before_its_certificate_is_told() {
    let short = Ca::create("short", now(), 5 * DAY).unwrap();
    let certificate = secret_of_a_long_leaf(&short);
    let unwell = unwell(|findings| {
        let bundle = short.certificate_pem().as_bytes().to_vec();
        let trusts = || Ok(Some(Registration { bundles: vec![bundle.clone()] }));
        (findings.secret, findings.registrations) = (Ok(Some(certificate)), [trusts(), trusts()]);
    });
    let names: Vec<&str> = unwell.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["mutating registration", "validating registration"], "{unwell:?}");
    assert!(unwell[0].2.contains("ends within 7 days"), "{unwell:?}");
}

/// A leaf that outlasts its authority, as a person may make one: issued by an older authority of the same key.
fn secret_of_a_long_leaf(authority: &Ca) -> BTreeMap<String, Vec<u8>> {
    let key = rcgen::KeyPair::from_pem(&authority.key_pem()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(authority.certificate_pem(), key).unwrap();
    let mut leaf = rcgen::CertificateParams::new([host()]).unwrap();
    (leaf.not_before, leaf.not_after) = (now().into(), (now() + 300 * DAY).into());
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = leaf.signed_by(&key, &issuer).unwrap().pem();
    let entries = [("tls.crt", chain), ("tls.key", key.serialize_pem())];
    entries.map(|(name, text)| (name.to_owned(), text.into_bytes())).into()
}

#[test]
fn who_may_not_create_groups_is_told_that_and_not_that_the_webhook_is_wrong() {
    let unwell = unwell(|findings| {
        let forbidden = || Answer::Forbidden("you cannot create kconsumergroups".into());
        findings.trial = Trial { good: Err(forbidden()), bad: Err(forbidden()) };
    });
    assert!(unwell.len() == 2 && unwell.iter().all(|(_, state, _)| *state == State::Unknown), "{unwell:?}");
}

#[test]
fn a_bad_group_that_comes_in_past_a_registration_points_at_the_pods() {
    let cure = |change: fn(&mut Findings)| {
        let mut findings = healthy();
        findings.trial.bad = Ok(());
        change(&mut findings);
        let check = examine(&findings).into_iter().find(|check| check.check == "webhook /validate");
        check.expect("it is checked").cure
    };
    assert!(cure(|_| {}).contains("logs of the webhook"));
    assert!(cure(|findings| findings.registrations[1] = Ok(None)).contains("overlay"));
}

#[test]
fn a_prometheus_without_a_namespace_selector_looks_into_its_own_alone() {
    let unwell = unwell(|findings| {
        findings.prometheuses.as_mut().unwrap().as_mut().unwrap()[0].namespaces = None;
    });
    assert_eq!(unwell.len(), 1, "{unwell:?}");
}
