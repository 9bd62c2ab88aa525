//! The certificate rotation on a real API server, with the rights that the overlay self-managed
//! grants.
#![allow(clippy::unwrap_used, reason = "test code")]

mod env;
mod policy;

use std::time::{Duration, SystemTime};

use kcg_api::names;
use kcg_certs::Ca;
use kcg_tests::{Outcome, eventually};
use serde_json::json;

use env::RotatorEnv;

const HOUR: i64 = 3600;
const TEN_YEARS: i64 = 10 * 365 * 24 * HOUR;

#[tokio::test]
async fn an_empty_secret_is_filled_and_both_webhook_configurations_trust_its_certificate() -> Outcome {
    let env = RotatorEnv::shared().await?;
    let rotator = env.rotator("one").await?;
    assert_eq!(env.reconcile(&rotator).await, Vec::<String>::new());
    env.certificate_is_trusted().await
}

#[tokio::test]
async fn nothing_is_written_while_nothing_changes() -> Outcome {
    let env = RotatorEnv::shared().await?;
    let rotator = env.rotator("one").await?;
    env.reconcile(&rotator).await;
    let before = env.resource_versions().await?;
    for _ in 0..30 {
        assert_eq!(env.reconcile(&rotator).await, Vec::<String>::new());
    }
    assert_eq!(env.resource_versions().await?, before);
    Ok(())
}

#[tokio::test]
async fn two_rotators_that_start_at_once_agree_on_one_ca() -> Outcome {
    let env = RotatorEnv::shared().await?;
    let (one, other) = (env.rotator("one").await?, env.rotator("other").await?);
    tokio::join!(env.reconcile(&one), env.reconcile(&other));
    let first = env.certificate.entry("ca.crt").await?;
    tokio::join!(env.reconcile(&one), env.reconcile(&other));
    assert_eq!(env.certificate.entry("ca.crt").await?, first);
    env.certificate_is_trusted().await
}

#[tokio::test]
async fn a_removed_ca_bundle_is_restored_by_the_next_reconciliation() -> Outcome {
    let env = RotatorEnv::shared().await?;
    let rotator = env.rotator("one").await?;
    env.reconcile(&rotator).await;
    env.certificate.remove_ca_bundles().await?;
    assert!(env.certificate_is_trusted().await.is_err());
    env.reconcile(&rotator).await;
    env.certificate_is_trusted().await
}

#[tokio::test]
async fn applying_the_overlay_again_keeps_the_secret_and_the_ca_bundles() -> Outcome {
    let env = RotatorEnv::shared().await?;
    let rotator = env.rotator("one").await?;
    env.reconcile(&rotator).await;
    let before = env.certificate.entry("ca.crt").await?;
    env.apply().await?;
    assert_eq!(env.certificate.entry("ca.crt").await?, before);
    env.certificate_is_trusted().await
}

#[tokio::test]
async fn an_invalid_secret_is_reissued_and_reported() -> Outcome {
    let env = RotatorEnv::shared().await?;
    let rotator = env.rotator("one").await?;
    env.reconcile(&rotator).await;
    let old_key = env.certificate.entry("tls.key").await?;
    let (serving, ca) = (names::CERTIFICATE_SECRET, names::CA_SECRET);
    let edits: [(&str, &str, Option<Vec<u8>>); 8] = [
        (serving, "tls.crt", Some(b"nonsense".into())),
        (serving, "tls.key", Some(b"nonsense".into())),
        (serving, "tls.key", None),
        (serving, "ca.crt", Some(b"nonsense".into())),
        (ca, "ca.key", Some(old_key)),
        (ca, "ca.key", None),
        (ca, "ca.crt", Some(b"nonsense".into())),
        (ca, "ca.crt", None),
    ];
    for (secret, entry, content) in edits {
        let edit = format!("{secret} {entry} {content:?}");
        env.certificate.set_entry_of(secret, entry, content).await?;
        env.reconcile(&rotator).await;
        env.certificate_is_trusted().await.map_err(|error| format!("{edit}: {error}"))?;
    }
    let events = env.kubectl(&["get", "events.events.k8s.io", "-A", "-o=jsonpath={.items[*].note}"]).await?;
    assert!(events.contains("reissued: the certificate chain contains no CERTIFICATE block"), "{events}");
    Ok(())
}

#[tokio::test]
async fn after_a_clock_jump_the_next_reconciliation_leaves_a_trusted_certificate() -> Outcome {
    let env = RotatorEnv::shared().await?;
    let rotator = env.rotator("one").await?;
    env.reconcile(&rotator).await;
    for jump in [HOUR, -HOUR, TEN_YEARS, -TEN_YEARS, -TEN_YEARS, TEN_YEARS] {
        env.clock.jump(jump);
        env.reconcile(&rotator).await;
        env.certificate_is_trusted().await.map_err(|error| format!("{jump}: {error}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_right_is_reported_with_its_cure() -> Outcome {
    let env = RotatorEnv::own().await?;
    let rotator = env.rotator("one").await?;
    env.revoke("Role", "secrets").await?;
    let errors = env.eventual_errors(&rotator).await?;
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("cannot get resource \"secrets\""), "{errors:?}");
    assert!(errors[0].ends_with("apply the operator's overlay again, which grants this"), "{errors:?}");
    env.apply().await?;
    eventually("the right is granted again", Duration::from_secs(20), async || {
        Ok(match env.reconcile(&rotator).await.first() {
            None => Ok(()),
            Some(error) => Err(error.clone()),
        })
    })
    .await?;
    env.certificate_is_trusted().await
}

#[tokio::test]
async fn a_forbidden_webhook_configuration_is_reported_with_its_cure() -> Outcome {
    let env = RotatorEnv::own().await?;
    let rotator = env.rotator("one").await?;
    env.reconcile(&rotator).await;
    env.revoke("ClusterRole", "validatingwebhookconfigurations").await?;
    let errors = env.eventual_errors(&rotator).await?;
    let named =
        |kind: &str| errors.iter().any(|error| error.contains(&format!("cannot get resource \"{kind}\"")));
    assert!(named("validatingwebhookconfigurations") && named("mutatingwebhookconfigurations"), "{errors:?}");
    assert!(errors[0].ends_with("apply the operator's overlay again, which grants this"), "{errors:?}");
    Ok(())
}

#[tokio::test]
async fn a_removed_ca_bundle_is_restored_even_if_the_secret_cannot_be_written() -> Outcome {
    let env = RotatorEnv::own().await?;
    let rotator = env.rotator("one").await?;
    env.reconcile(&rotator).await;
    let before = env.certificate.ca_bundles().await?;
    let patch = json!([{"op": "replace", "path": "/rules/0/verbs", "value": ["get"]}]);
    let role = ["role", "kconsumer-group-operator-controller-certificates", "-n", names::NAMESPACE];
    env.patch(&role, &patch).await?;
    env.certificate.set_entry("tls.crt", None).await?;
    let refused = eventually("the write is refused", Duration::from_secs(20), async || {
        env.certificate.set_entry("tls.crt", None).await?;
        let errors = env.reconcile(&rotator).await;
        Ok(if errors.is_empty() { Err("it succeeded") } else { Ok(errors) })
    })
    .await?;
    assert!(refused[0].contains("cannot update resource \"secrets\""), "{refused:?}");
    env.certificate.remove_ca_bundles().await?;
    env.reconcile(&rotator).await;
    assert_eq!(env.certificate.ca_bundles().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_missing_object_of_the_overlay_is_reported() -> Outcome {
    let env = RotatorEnv::shared().await?;
    let rotator = env.rotator("one").await?;
    env.reconcile(&rotator).await;
    env.delete("validatingwebhookconfiguration", names::NAMESPACE).await?;
    let errors = env.reconcile(&rotator).await;
    assert!(
        errors[0].starts_with("ValidatingWebhookConfiguration kconsumer-group-operator does not exist"),
        "{errors:?}"
    );
    env.apply().await?;
    env.reconcile(&rotator).await;
    env.certificate_is_trusted().await?;

    for secret in [names::CERTIFICATE_SECRET, names::CA_SECRET] {
        env.delete("secret", secret).await?;
        let errors = env.reconcile(&rotator).await;
        let missing = format!("Secret {}/{secret} does not exist", names::NAMESPACE);
        assert!(errors[0].starts_with(&missing), "{errors:?}");
        env.apply().await?;
        env.reconcile(&rotator).await;
        env.certificate_is_trusted().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_removed_ca_bundle_is_restored_while_the_secret_of_the_ca_is_missing() -> Outcome {
    let env = RotatorEnv::shared().await?;
    let rotator = env.rotator("one").await?;
    env.reconcile(&rotator).await;
    env.delete("secret", names::CA_SECRET).await?;
    env.certificate.remove_ca_bundles().await?;
    assert_eq!(env.reconcile(&rotator).await.len(), 1);
    env.certificate_is_trusted().await
}

/// The names of the entries of the two Secrets.
async fn entries(env: &RotatorEnv) -> Outcome<[Vec<String>; 2]> {
    let secrets = [env.certificate.secret().await?, env.certificate.ca_secret().await?];
    Ok(secrets.map(|secret| secret.data.into_iter().flatten().map(|(name, _)| name).collect()))
}

#[tokio::test]
async fn the_keys_of_the_cas_are_in_a_secret_of_their_own() -> Outcome {
    let env = RotatorEnv::shared().await?;
    let rotator = env.rotator("one").await?;
    env.reconcile(&rotator).await;
    assert_eq!(entries(&env).await?, [vec!["ca.crt", "tls.crt", "tls.key"], vec!["ca.crt", "ca.key"]]);
    Ok(())
}

/// An upgrade of an installation with everything in one Secret.
#[tokio::test]
async fn the_key_of_a_ca_that_an_earlier_version_stored_leaves_the_secret_of_the_certificate() -> Outcome {
    let env = RotatorEnv::shared().await?;
    let rotator = env.rotator("one").await?;
    let now = SystemTime::now();
    let ca = Ca::create("of an earlier version", &[], now, Duration::from_hours(24 * 365))?;
    let leaf = ca.issue(&[names::webhook_host(names::NAMESPACE)], now, Duration::from_hours(24 * 90))?;
    for (entry, content) in [
        ("ca.crt", ca.certificate_pem().to_owned()),
        ("ca.key", ca.key_pem()),
        ("tls.crt", leaf.chain.clone()),
        ("tls.key", leaf.key),
    ] {
        env.certificate.set_entry(entry, Some(content.into())).await?;
    }
    assert_eq!(env.reconcile(&rotator).await, Vec::<String>::new());
    let in_ca = vec!["ca-next.crt", "ca-next.key", "ca.crt", "ca.key"];
    assert_eq!(entries(&env).await?, [vec!["ca.crt", "tls.crt", "tls.key"], in_ca]);
    assert_eq!(env.certificate.entry("tls.crt").await?, leaf.chain.as_bytes());
    env.certificate_is_trusted().await?;
    // The CA may sign for any name, so another one takes its place.
    for _ in 0..2 {
        env.clock.jump(301);
        env.reconcile(&rotator).await;
        env.certificate_is_trusted().await?;
    }
    assert_ne!(env.certificate.entry("ca.crt").await?, ca.certificate_pem().as_bytes());
    assert_eq!(env.certificate.ca_bundle().await?, env.certificate.entry("ca.crt").await?);
    Ok(())
}
