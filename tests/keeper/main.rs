//! The keeper of certificates on a real API server, under the rights that the overlay self-managed grants.
#![allow(clippy::unwrap_used, reason = "test code")]

mod place;

use std::time::Duration;

use kcg_devcluster::wait;
use place::{Outcome, Place};

const HOUR: i64 = 3600;
const TEN_YEARS: i64 = 10 * 365 * 24 * HOUR;

#[tokio::test]
async fn an_empty_secret_is_filled_and_both_registrations_trust_what_is_in_it() -> Outcome {
    let place = Place::open().await?;
    let keeper = place.keeper("one").await?;
    assert_eq!(place.look(&keeper).await, Vec::<String>::new());
    place.serves().await
}

#[tokio::test]
async fn at_rest_nothing_is_written() -> Outcome {
    let place = Place::open().await?;
    let keeper = place.keeper("one").await?;
    place.look(&keeper).await;
    let before = place.versions().await?;
    for _ in 0..30 {
        assert_eq!(place.look(&keeper).await, Vec::<String>::new());
    }
    assert_eq!(place.versions().await?, before);
    Ok(())
}

#[tokio::test]
async fn of_two_that_begin_at_once_one_makes_the_authority_and_both_go_on_with_it() -> Outcome {
    let place = Place::open().await?;
    let (one, other) = (place.keeper("one").await?, place.keeper("other").await?);
    tokio::join!(place.look(&one), place.look(&other));
    let first = place.entry("ca.crt").await?;
    tokio::join!(place.look(&one), place.look(&other));
    assert_eq!(place.entry("ca.crt").await?, first);
    place.serves().await
}

#[tokio::test]
async fn what_was_wiped_from_a_registration_is_back_after_a_look() -> Outcome {
    let place = Place::open().await?;
    let keeper = place.keeper("one").await?;
    place.look(&keeper).await;
    place.wipe_bundles().await?;
    assert!(place.serves().await.is_err());
    place.look(&keeper).await;
    place.serves().await
}

#[tokio::test]
async fn applying_the_overlay_again_leaves_the_secret_and_the_bundles_alone() -> Outcome {
    let place = Place::open().await?;
    let keeper = place.keeper("one").await?;
    place.look(&keeper).await;
    let before = place.entry("ca.crt").await?;
    place.apply().await?;
    assert_eq!(place.entry("ca.crt").await?, before);
    place.serves().await
}

#[tokio::test]
async fn a_secret_edited_into_nonsense_is_issued_anew_and_said() -> Outcome {
    let place = Place::open().await?;
    let keeper = place.keeper("one").await?;
    place.look(&keeper).await;
    let old_key = place.entry("tls.key").await?;
    let edits: [(&str, Option<Vec<u8>>); 6] = [
        ("tls.crt", Some(b"nonsense".into())),
        ("tls.key", Some(b"nonsense".into())),
        ("tls.key", None),
        ("ca.key", Some(old_key)),
        ("ca.crt", Some(b"nonsense".into())),
        ("ca.crt", None),
    ];
    for (entry, content) in edits {
        let edit = format!("{entry} {content:?}");
        place.edit(entry, content).await?;
        place.look(&keeper).await;
        place.serves().await.map_err(|error| format!("{edit}: {error}"))?;
    }
    let events =
        place.kubectl(&["get", "events.events.k8s.io", "-A", "-o=jsonpath={.items[*].note}"]).await?;
    assert!(events.contains("issued anew: the certificate chain contains no CERTIFICATE block"), "{events}");
    Ok(())
}

#[tokio::test]
async fn a_clock_that_jumps_finds_a_trusted_certificate_after_the_next_look() -> Outcome {
    let place = Place::open().await?;
    let keeper = place.keeper("one").await?;
    place.look(&keeper).await;
    for jump in [HOUR, -HOUR, TEN_YEARS, -TEN_YEARS, -TEN_YEARS, TEN_YEARS] {
        place.clock.jump(jump);
        place.look(&keeper).await;
        place.serves().await.map_err(|error| format!("{jump}: {error}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_with_its_cure() -> Outcome {
    let place = Place::open().await?;
    let keeper = place.keeper("one").await?;
    place.take_the_right("Role", "secrets").await?;
    let troubles = place.troubled(&keeper).await?;
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    assert!(troubles[0].contains("cannot get resource \"secrets\""), "{troubles:?}");
    assert!(troubles[0].ends_with("apply the operator's overlay again, which grants this"), "{troubles:?}");
    place.apply().await?;
    wait::until("the right to come back", Duration::from_secs(20), async || {
        Ok(match place.look(&keeper).await.first() {
            None => Ok(()),
            Some(trouble) => Err(trouble.clone()),
        })
    })
    .await?;
    place.serves().await
}

#[tokio::test]
async fn a_registration_that_may_not_be_written_is_named_with_its_cure() -> Outcome {
    let place = Place::open().await?;
    let keeper = place.keeper("one").await?;
    place.look(&keeper).await;
    place.take_the_right("ClusterRole", "validatingwebhookconfigurations").await?;
    let troubles = place.troubled(&keeper).await?;
    let named = |kind: &str| {
        troubles.iter().any(|trouble| trouble.contains(&format!("cannot get resource \"{kind}\"")))
    };
    assert!(
        named("validatingwebhookconfigurations") && named("mutatingwebhookconfigurations"),
        "{troubles:?}"
    );
    assert!(troubles[0].ends_with("apply the operator's overlay again, which grants this"), "{troubles:?}");
    Ok(())
}

#[tokio::test]
async fn what_was_wiped_is_back_even_where_the_secret_cannot_be_written() -> Outcome {
    let place = Place::open().await?;
    let keeper = place.keeper("one").await?;
    place.look(&keeper).await;
    let before = place.bundles().await?;
    let patch = r#"[{"op": "replace", "path": "/rules/0/verbs", "value": ["get"]}]"#;
    let role = "role/kconsumer-group-operator-controller-certificates";
    place.kubectl(&["patch", role, "-n", kcg_api::names::NAMESPACE, "--type=json", "-p", patch]).await?;
    place.edit("tls.crt", None).await?;
    let refused = wait::until("the write to be refused", Duration::from_secs(20), async || {
        place
            .edit("tls.crt", None)
            .await
            .map_err(|error| kcg_devcluster::Error::Missing(error.to_string()))?;
        let troubles = place.look(&keeper).await;
        Ok(if troubles.is_empty() { Err("it was taken".to_owned()) } else { Ok(troubles) })
    })
    .await?;
    assert!(refused[0].contains("cannot update resource \"secrets\""), "{refused:?}");
    place.wipe_bundles().await?;
    place.look(&keeper).await;
    assert_eq!(place.bundles().await?, before);
    Ok(())
}

#[tokio::test]
async fn what_ships_with_the_overlay_and_is_gone_is_said() -> Outcome {
    let place = Place::open().await?;
    let keeper = place.keeper("one").await?;
    place.look(&keeper).await;
    place.delete("validatingwebhookconfiguration", kcg_api::names::NAMESPACE).await?;
    let troubles = place.look(&keeper).await;
    assert!(troubles[0].starts_with("there is no ValidatingWebhookConfiguration"), "{troubles:?}");
    place.apply().await?;
    place.look(&keeper).await;
    place.serves().await?;

    place.delete("secret", kcg_api::names::CERTIFICATE_SECRET).await?;
    let troubles = place.look(&keeper).await;
    assert!(troubles[0].starts_with("there is no Secret"), "{troubles:?}");
    place.apply().await?;
    place.look(&keeper).await;
    place.serves().await
}
