//! A healthy installation, and the check that each wrong finding changes.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kcg_api::crd::VersionSkew;
use kcg_api::names;
use kcg_certs::Ca;

use super::findings::*;
use super::*;

const DAY: Duration = Duration::from_hours(24);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

fn ca() -> Ca {
    Ca::create("test", &[], now(), 3650 * DAY).unwrap()
}

fn secret(ca: &Ca, name: &str, life: Duration) -> BTreeMap<String, Vec<u8>> {
    let pair = ca.issue(&[name.to_owned()], now(), life).unwrap();
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

fn pair(label: &str) -> SelectorPair {
    SelectorPair { objects: Some(selector(label)), namespaces: Some(LabelSelector::default()) }
}

fn labeled() -> LabeledFinding {
    LabeledFinding {
        namespace: "a".into(),
        name: "g".into(),
        labels: labels("one"),
        namespace_labels: BTreeMap::new(),
    }
}

fn configuration(bundle: &[u8]) -> ConfigurationFinding {
    ConfigurationFinding { name: "operator".into(), bundles: vec![bundle.to_vec()], injected_from: None }
}

/// The validating webhook configuration.
fn validating(findings: &mut Findings) -> &mut ConfigurationFinding {
    &mut findings.configurations[1].as_mut().unwrap()[0]
}

fn ready() -> ProcessFinding {
    let pod = PodFinding { name: "pod".into(), problem: None };
    ProcessFinding { wanted: 1, ready: 1, pods: vec![pod], ..ProcessFinding::default() }
}

pub(super) fn healthy() -> Findings {
    let ca = ca();
    let configuration = || Ok(vec![configuration(ca.certificate_pem().as_bytes())]);
    let served = |version: &str| Ok(Some(version.to_owned()));
    let permission = |process, what: &str| Permission { process, what: what.into(), allowed: Ok(true) };
    Findings {
        namespace: "operator".into(),
        now: now(),
        crd: Ok(Some(VersionSkew::None)),
        installer: Installer::Kustomize,
        configurations: [configuration(), configuration()],
        written_configuration: Some("operator".into()),
        secret: Ok(Some(secret(&ca, &host(), 90 * DAY))),
        dry_run: DryRun { valid: Ok(true), invalid: Err(DryRunError::Rejected("no".into())) },
        elects_a_leader: true,
        lease: Ok(Some(LeaseFinding { holder: "one".into(), seconds_ago: 3, lease_seconds: 15 })),
        permissions: vec![
            permission("controller", "patch services"),
            permission("webhook", "list kafkatopics"),
        ],
        flag_differences: Some(Vec::new()),
        defaults: Ok(Vec::new()),
        defaults_file: None,
        other_namespaces: Vec::new(),
        controller_pods: Ok(Some(ready())),
        webhook_pods: Ok(Some(ready())),
        kafka_topics: served("kafka.strimzi.io/v1"),
        service_monitors: served("monitoring.coreos.com/v1"),
        prometheus_rules: served("monitoring.coreos.com/v1"),
        pod_metrics: Ok(Some(vec!["lag".into()])),
        groups: Ok(vec![GroupFinding {
            namespace: "a".into(),
            name: "g".into(),
            problem: None,
            unread_metrics: None,
        }]),
        autoscalers: Ok(vec![AutoscalerFinding {
            namespace: "a".into(),
            name: "g".into(),
            metrics: vec!["lag".into()],
            problem: None,
            has_read_lag: true,
        }]),
        service_monitor_objects: Ok(vec![labeled()]),
        rule_objects: Ok(vec![labeled()]),
        own_monitors: Ok(vec![labeled()]),
        own_rules: Ok(vec![labeled()]),
        prometheuses: Ok(Some(vec![PrometheusFinding {
            namespace: "monitoring".into(),
            name: "k8s".into(),
            monitors: Some(pair("one")),
            pod_monitors: Some(pair("one")),
            rules: Some(pair("one")),
        }])),
    }
}

/// The failed checks and what they found.
fn unhealthy(change: impl FnOnce(&mut Findings)) -> Vec<(String, CheckState, String)> {
    let mut findings = healthy();
    change(&mut findings);
    let checks = analyze(&findings).into_iter().filter(|check| !check.is_healthy());
    checks.map(|check| (check.check, check.state, check.found)).collect()
}

#[test]
fn a_healthy_installation_passes_every_check() {
    let checks = analyze(&healthy());
    assert!(checks.iter().all(|check| check.state == CheckState::Ok && check.cure.is_empty()), "{checks:?}");
}

#[test]
fn each_wrong_finding_fails_its_own_check_with_a_cure() {
    type Change = fn(&mut Findings);
    let faults: [(&str, &str, Change); 30] = [
        ("CRD", "not served", |f| f.crd = Ok(None)),
        ("CRD", "does not state its version", |f| f.crd = Ok(Some(VersionSkew::Unknown))),
        ("controller", "there was never a leader", |f| f.lease = Ok(None)),
        ("controller", "last renewed its Lease 60 s ago", |f| {
            f.lease = Ok(Some(LeaseFinding { holder: "one".into(), seconds_ago: 60, lease_seconds: 15 }));
        }),
        ("controller", "its Deployment has 2 replicas, which all write", |f| {
            f.elects_a_leader = false;
            f.controller_pods.as_mut().unwrap().as_mut().unwrap().wanted = 2;
            f.controller_pods.as_mut().unwrap().as_mut().unwrap().ready = 2;
        }),
        ("autoscalers", "a/g for 3 h: MetricsMissing: no figure", |f| {
            let why = "MetricsMissing: no figure".to_owned();
            let unread = UnreadMetrics { why, duration: Duration::from_hours(3) };
            f.groups.as_mut().unwrap()[0].unread_metrics = Some(unread);
        }),
        ("permissions of the controller", "it may not patch services", |f| {
            f.permissions[0].allowed = Ok(false);
        }),
        ("permissions of the webhook", "it may not list kafkatopics", |f| {
            f.permissions[1].allowed = Ok(false);
        }),
        ("flags", "--namespaces of the controller is a, of the webhook b", |f| {
            let difference = "--namespaces of the controller is a, of the webhook b";
            f.flag_differences = Some(vec![difference.to_owned()]);
        }),
        ("certificate", "it expires in 3 days", |f| f.now = now() + 87 * DAY),
        ("certificate", "it has no tls.crt", |f| {
            f.secret.as_mut().unwrap().as_mut().unwrap().remove("tls.crt");
        }),
        ("mutating configuration", "it does not exist", |f| f.configurations[0] = Ok(Vec::new())),
        (
            "validating configuration",
            "it is named ops, but the controller writes the CA bundle of operator",
            |f| {
                validating(f).name = "ops".into();
            },
        ),
        ("validating configuration", "it has no webhooks", |f| {
            validating(f).bundles = Vec::new();
        }),
        ("validating configuration", "its caBundle is empty", |f| {
            validating(f).bundles = vec![Vec::new()];
        }),
        ("validating configuration", "not trusted", |f| {
            validating(f).bundles = vec![ca().certificate_pem().as_bytes().to_vec()];
        }),
        ("webhook /mutate", "it was not called", |f| f.dry_run.valid = Ok(false)),
        ("webhook /validate", "an invalid group is accepted", |f| f.dry_run.invalid = Ok(())),
        ("webhook /validate", "no group can be created", |f| {
            f.dry_run.invalid = Err(DryRunError::Failed("timed out".into()));
        }),
        ("KafkaTopics", "not served", |f| f.kafka_topics = Ok(None)),
        ("lag metrics", "a/g waits for lag", |f| f.pod_metrics = Ok(Some(Vec::new()))),
        ("groups", "a/g: InvalidSpec", |f| {
            f.groups.as_mut().unwrap()[0].problem = Some("InvalidSpec: no".into());
        }),
        ("autoscalers", "a/g: FailedGetPodsMetric", |f| {
            f.autoscalers.as_mut().unwrap()[0].problem = Some("FailedGetPodsMetric: no".into());
        }),
        ("scraping", "no Prometheus selects the ServiceMonitor a/g (labels: release=one)", |f| {
            f.prometheuses.as_mut().unwrap().as_mut().unwrap()[0].monitors = Some(pair("two"));
        }),
        ("alerting", "no Prometheus selects the PrometheusRule a/g (labels: release=two)", |f| {
            f.rule_objects.as_mut().unwrap()[0].labels = labels("two");
        }),
        ("scraping of the operator", "no Prometheus selects the PodMonitor a/g (labels: release=two)", |f| {
            f.own_monitors.as_mut().unwrap()[0].labels = labels("two");
        }),
        (
            "alerting of the operator",
            "no Prometheus selects the PrometheusRule a/g (labels: release=two)",
            |f| {
                f.own_rules.as_mut().unwrap()[0].labels = labels("two");
            },
        ),
        ("pods of the controller", "pod: ImagePullBackOff: no such image", |f| {
            let pods = f.controller_pods.as_mut().unwrap().as_mut().unwrap();
            pods.pods[0].problem = Some("ImagePullBackOff: no such image".into());
        }),
        ("pods of the webhook", "none of 2 is ready", |f| {
            f.webhook_pods = Ok(Some(ProcessFinding { wanted: 2, ..ProcessFinding::default() }));
        }),
        ("pods of the webhook", "the API server refuses its pods: quota", |f| {
            f.webhook_pods.as_mut().unwrap().as_mut().unwrap().refused = Some("quota".into());
        }),
    ];
    for (check, found, change) in faults {
        let unhealthy = unhealthy(change);
        let [(name, CheckState::Wrong, text)] = &unhealthy[..] else {
            panic!("{check} {found}: {unhealthy:?}")
        };
        assert!(name == check && text.contains(found), "{check} {found}: {unhealthy:?}");
        let mut findings = healthy();
        change(&mut findings);
        assert!(
            analyze(&findings).iter().all(|check| check.is_healthy() || !check.cure.is_empty()),
            "{check}"
        );
    }
}

#[test]
fn an_expired_certificate_fails_its_own_check_and_both_webhook_configurations() {
    let unhealthy = unhealthy(|findings| findings.now = now() + 91 * DAY);
    let names: Vec<&str> = unhealthy.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["certificate", "mutating configuration", "validating configuration"]);
    assert!(unhealthy.iter().all(|(_, _, found)| found.contains("expired")), "{unhealthy:?}");
}

#[test]
fn a_certificate_of_tomorrow_is_not_valid_yet() {
    let unhealthy = unhealthy(|findings| findings.now = now() - DAY);
    assert!(
        unhealthy.iter().any(|(name, _, found)| name == "certificate" && found.contains("not valid yet")),
        "{unhealthy:?}"
    );
}

/// A lifetime of six hours, backdated by one: its renewal is due when a third is left.
#[test]
fn a_short_lived_certificate_is_healthy_until_its_renewal_is_late() {
    let at = |hours: u64| {
        unhealthy(|findings| {
            let ca = ca();
            let trusts = || Ok(vec![configuration(ca.certificate_pem().as_bytes())]);
            findings.configurations = [trusts(), trusts()];
            findings.secret = Ok(Some(secret(&ca, &host(), Duration::from_hours(6))));
            findings.now = now() + Duration::from_hours(hours);
        })
    };
    assert_eq!(at(4), []);
    assert!(at(5)[0].2.contains("was not renewed"));
}

#[test]
fn a_missing_integration_without_a_group_is_only_a_note() {
    let unhealthy = unhealthy(|findings| {
        (findings.groups, findings.autoscalers) = (Ok(Vec::new()), Ok(Vec::new()));
        (findings.service_monitor_objects, findings.rule_objects) = (Ok(Vec::new()), Ok(Vec::new()));
        (findings.kafka_topics, findings.pod_metrics, findings.prometheuses) = (Ok(None), Ok(None), Ok(None));
    });
    assert_eq!(unhealthy, []);
}

#[test]
fn a_finding_that_could_not_be_read_is_not_healthy() {
    let unhealthy = unhealthy(|findings| findings.secret = Err("secrets is forbidden".into()));
    assert_eq!(
        unhealthy,
        [("certificate".to_owned(), CheckState::Unknown, "secrets is forbidden".to_owned())]
    );
}

#[test]
fn a_ca_that_expires_before_its_certificate_is_reported() {
    let short = Ca::create("short", &[], now(), 5 * DAY).unwrap();
    let certificate = secret_of_a_long_leaf(&short);
    let unhealthy = unhealthy(|findings| {
        let trusts = || Ok(vec![configuration(short.certificate_pem().as_bytes())]);
        (findings.secret, findings.configurations) = (Ok(Some(certificate)), [trusts(), trusts()]);
    });
    let names: Vec<&str> = unhealthy.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["mutating configuration", "validating configuration"], "{unhealthy:?}");
    assert!(unhealthy[0].2.contains("expires within 7 days"), "{unhealthy:?}");
}

/// A certificate that outlives its CA, as a user may issue it: by an older CA with the same key.
fn secret_of_a_long_leaf(ca: &Ca) -> BTreeMap<String, Vec<u8>> {
    let key = rcgen::KeyPair::from_pem(&ca.key_pem()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(ca.certificate_pem(), key).unwrap();
    let mut leaf = rcgen::CertificateParams::new([host()]).unwrap();
    (leaf.not_before, leaf.not_after) = (now().into(), (now() + 300 * DAY).into());
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = leaf.signed_by(&key, &issuer).unwrap().pem();
    let entries = [("tls.crt", chain), ("tls.key", key.serialize_pem())];
    entries.map(|(name, text)| (name.to_owned(), text.into_bytes())).into()
}

#[test]
fn a_user_who_may_not_create_groups_learns_nothing_about_the_webhook() {
    let unhealthy = unhealthy(|findings| {
        let forbidden = || DryRunError::Forbidden("you cannot create kconsumergroups".into());
        findings.dry_run = DryRun { valid: Err(forbidden()), invalid: Err(forbidden()) };
    });
    assert!(
        unhealthy.len() == 2 && unhealthy.iter().all(|(_, state, _)| *state == CheckState::Unknown),
        "{unhealthy:?}"
    );
}

#[test]
fn an_invalid_group_that_is_accepted_points_at_the_pods_or_at_the_missing_configuration() {
    let cure = |change: fn(&mut Findings)| {
        let mut findings = healthy();
        findings.dry_run.invalid = Ok(());
        change(&mut findings);
        let check = analyze(&findings).into_iter().find(|check| check.check == "webhook /validate");
        check.expect("it is checked").cure
    };
    assert!(cure(|_| {}).contains("logs of the webhook"));
    assert!(cure(|findings| findings.configurations[1] = Ok(Vec::new())).contains("overlay"));
}

#[test]
fn a_webhook_that_does_not_answer_in_time_points_at_the_firewall() {
    let cure = |why: &str| {
        let mut findings = healthy();
        findings.dry_run.invalid = Err(DryRunError::Failed(why.into()));
        let check = analyze(&findings).into_iter().find(|check| check.check == "webhook /validate");
        check.expect("it is checked").cure
    };
    let timeout = "failed calling webhook: Post \"https://w.ns.svc:443/validate?timeout=5s\": context deadline exceeded";
    assert!(cure(timeout).contains("firewall rules"));
    assert!(cure("failed calling webhook: connection refused").contains("logs of the webhook"));
}

#[test]
fn a_prometheus_without_a_namespace_selector_selects_from_its_own_namespace_only() {
    let unhealthy = unhealthy(|findings| {
        let prometheus = &mut findings.prometheuses.as_mut().unwrap().as_mut().unwrap()[0];
        prometheus.monitors.as_mut().unwrap().namespaces = None;
        prometheus.pod_monitors.as_mut().unwrap().namespaces = None;
        prometheus.rules.as_mut().unwrap().namespaces = None;
    });
    assert_eq!(unhealthy.len(), 4, "{unhealthy:?}");
}

#[test]
fn agents_alone_scrape_the_groups_and_evaluate_no_rules() {
    let mut findings = healthy();
    let agent = &mut findings.prometheuses.as_mut().unwrap().as_mut().unwrap()[0];
    agent.rules = None;
    let checks = analyze(&findings);
    let check = |name: &str| checks.iter().find(|check| check.check == name).unwrap();
    assert_eq!(check("scraping").state, CheckState::Ok);
    assert_eq!(check("alerting").state, CheckState::Note);
    assert_eq!(check("alerting").found, "skipped: no Prometheus of the cluster reads PrometheusRules");
}

#[test]
fn an_autoscaler_that_has_not_read_its_lag_is_not_said_to_scale() {
    let mut findings = healthy();
    findings.autoscalers.as_mut().unwrap()[0].has_read_lag = false;
    let check = analyze(&findings).into_iter().find(|check| check.check == "autoscalers").unwrap();
    assert_eq!(check.state, CheckState::Note);
    assert_eq!(check.found, "0 scale; the lag is <unknown> so far for a/g");
}

#[test]
fn a_deployment_that_is_missing_or_scaled_to_zero_is_a_note() {
    let unhealthy = unhealthy(|findings| {
        findings.controller_pods = Ok(None);
        findings.webhook_pods = Ok(Some(ProcessFinding::default()));
    });
    assert_eq!(unhealthy, []);
}

#[test]
fn a_controller_without_leader_election_needs_no_lease_and_one_replica_at_a_time() {
    let check = |is_recreated| {
        let mut findings = healthy();
        (findings.elects_a_leader, findings.lease) = (false, Ok(None));
        findings.controller_pods.as_mut().unwrap().as_mut().unwrap().is_recreated = is_recreated;
        analyze(&findings).into_iter().find(|check| check.check == "controller").unwrap()
    };
    assert_eq!((check(true).state, check(true).cure.as_str()), (CheckState::Ok, ""));
    assert_eq!(check(false).state, CheckState::Note);
    assert!(check(false).cure.contains("strategy to Recreate"));
}

#[test]
fn the_cure_of_an_empty_ca_bundle_names_who_writes_it() {
    let cure = |change: &dyn Fn(&mut Findings)| {
        let mut findings = healthy();
        validating(&mut findings).bundles = vec![Vec::new()];
        change(&mut findings);
        let check = analyze(&findings).into_iter().find(|check| check.check == "validating configuration");
        check.expect("it is checked").cure
    };
    let injected = |from: &'static str| {
        cure(&move |findings: &mut Findings| {
            findings.written_configuration = None;
            validating(findings).injected_from = Some(from.into());
        })
    };
    assert!(cure(&|_| {}).starts_with("the controller writes caBundle"));
    assert_eq!(cure(&|findings| findings.written_configuration = None), "write your CA into caBundle");
    assert!(injected("operator/tls").contains("its cainjector runs"));
    let moved = injected("kconsumer-group-operator/tls");
    assert!(moved.contains("list deploy/transformers/namespace below `transformers:`"), "{moved}");
}

#[test]
fn no_cure_of_a_chart_names_a_file_of_a_checkout_or_a_release_that_helm_does_not_know() {
    let tool = || Some("the Argo CD Application operator".to_owned());
    for (installer, cure) in [
        (Installer::Helm { release: "kcg".into() }, "helm upgrade kcg"),
        (Installer::RenderedChart { tool: tool() }, "let the Argo CD Application operator apply the chart"),
        (Installer::RenderedChart { tool: None }, "apply the chart of this version again, with the tool"),
    ] {
        let is_helms = matches!(installer, Installer::Helm { .. });
        let mut findings = healthy();
        findings.installer = installer;
        findings.crd = Ok(None);
        findings.permissions[0].allowed = Ok(false);
        let mut moved = configuration(b"");
        (moved.name, moved.injected_from) = ("other".into(), Some("elsewhere/tls".into()));
        findings.configurations = [Ok(Vec::new()), Ok(vec![moved.clone()])];
        findings.dry_run.invalid = Ok(());
        (findings.kafka_topics, findings.pod_metrics) = (Ok(None), Ok(None));
        findings.defaults_file = Some("sha256:a".into());
        findings.own_monitors.as_mut().unwrap()[0].labels = labels("two");
        findings.own_rules.as_mut().unwrap()[0].labels = labels("two");
        let mut checks = analyze(&findings);
        (findings.written_configuration, findings.configurations[1]) = (None, Ok(vec![moved]));
        checks.extend(analyze(&findings));
        assert!(checks.iter().filter(|check| !check.cure.is_empty()).count() >= 16, "{checks:?}");
        for Check { cure, .. } in &checks {
            assert!(!cure.contains("deploy/") && !cure.contains("overlay"), "{cure}");
            assert!(is_helms || !cure.contains("helm upgrade"), "{cure}");
        }
        assert!(checks.iter().any(|check| check.cure.starts_with(cure)), "{cure}: {checks:?}");
        for field in ["the chart's monitoring.labels", "the chart's monitoring.ruleLabels"] {
            assert!(checks.iter().any(|check| check.cure.contains(field)), "{field}: {checks:?}");
        }
    }
}

#[test]
fn nothing_is_said_of_monitors_of_the_operator_that_are_not_installed() {
    let findings = Findings { own_monitors: Ok(Vec::new()), own_rules: Ok(Vec::new()), ..healthy() };
    assert!(analyze(&findings).iter().all(|check| !check.check.ends_with("of the operator")));
}

#[test]
fn nothing_else_is_reported_if_the_operator_is_in_another_namespace() {
    let findings = Findings {
        other_namespaces: vec!["ops".into()],
        lease: Ok(None),
        secret: Ok(None),
        configurations: [Ok(Vec::new()), Ok(Vec::new())],
        ..healthy()
    };
    let wrong: Vec<Check> = analyze(&findings).into_iter().filter(|check| !check.is_healthy()).collect();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!(wrong[0].found, "the operator is not installed in namespace operator");
    assert_eq!(wrong[0].cure, "name the operator's --namespace: it is in ops");
}

#[test]
fn a_namespace_without_the_operator_is_a_note_that_names_its_namespace() {
    let mut findings = Findings { other_namespaces: vec!["ops".into()], ..healthy() };
    (findings.controller_pods, findings.webhook_pods) = (Ok(None), Ok(None));
    let checks = analyze(&findings);
    let check = checks.iter().find(|check| check.check == "pods of the controller").unwrap();
    assert_eq!(check.cure, "name the operator's --namespace: it is in ops");
}
