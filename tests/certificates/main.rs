//! No rotation, roll or restart fails an admission: shown through a real API server under load, with a real cert-manager
//! and with the operator's own keeper, on the overlays as they are shipped.
//!
//! `KCG_LONG=1 cargo test -p kcg-tests --test certificates -- --nocapture` runs the full count of rotations, about an hour.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use kcg_api::names;
use kcg_certs::Pair;
use kcg_devcluster::{Port, Replica, deploy_folder, wait};
use kcg_tests::installation::{Outcome, Place, RENEWED, figure, is_long, reloads, times};
use kcg_tests::load::{Load, without_failure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::Mutex;

/// One load at a time: two would each measure the other.
static TURN: Mutex<()> = Mutex::const_new(());

/// Swaps the webhook's files between two good pairs, with a half-written one between any two, a hundred times.
async fn swapped(place: &Place, webhook: &Replica, first: &kcg_devcluster::Files) -> Outcome {
    let second = place.files()?;
    assert_ne!(*first, second);
    let mut half = second.clone();
    half.insert("tls.key".into(), first["tls.key"].clone());

    let before = reloads(webhook, "Mismatched").await?;
    place.operator.certificate_volume().project(&half)?;
    wait::until("the webhook to see the half-written pair", Duration::from_secs(10), async || {
        Ok(if reloads(webhook, "Mismatched").await? > before { Ok(()) } else { Err("not yet".to_owned()) })
    })
    .await?;
    let pace = Duration::from_millis(if is_long() { 1000 } else { 50 });
    let mut clock = tokio::time::interval(pace);
    for turn in 0..100 {
        place.operator.certificate_volume().project(if turn % 2 == 0 { first } else { &second })?;
        clock.tick().await;
        place.operator.certificate_volume().project(&half)?;
        clock.tick().await;
    }
    place.operator.certificate_volume().project(first)?;
    place.served(&first["tls.crt"]).await?;
    place.operator.certificate_volume().project(&second)?;
    place.served(&second["tls.crt"]).await
}

fn authorities(bundle: &[u8]) -> usize {
    CertificateDer::pem_slice_iter(bundle).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_s_own_rotations_fail_no_admission() -> Outcome {
    let _turn = TURN.lock().await;
    let place = Place::open("self-managed").await?;
    // On top of the shipped flags, so that an authority's replacement fits into a test.
    let flags = ["--authority-overlap=15s"];
    let (one, two) = tokio::try_join!(
        place.operator.start_controller("one", &flags),
        place.operator.start_controller("two", &flags)
    )?;
    let webhook = place.operator.start_webhook(&[]).await?;
    place.operator.wait_trusted(&place.plane).await?;
    place.reviews().await?;
    assert_eq!(authorities(&place.bundle().await?), 1, "two that began at once made one authority");
    place.operator.set_secret_delay(Duration::from_secs(1));

    let (reviews, handshakes) = (Load::of_reviews(&place.client), Load::of_handshakes(&place));
    let (leaves, changes) = (times(2, 20), times(1, 5));
    let mut before = place.files()?;
    for _ in 0..leaves {
        before = place.files()?;
        place.edit("tls.crt", None).await?;
        let renewed = place.changed("tls.crt", &before["tls.crt"]).await?;
        place.served(&renewed).await?;
    }
    swapped(&place, &webhook, &before).await?;
    for _ in 0..changes {
        authority_changes(&place, RENEWED).await?;
    }
    let what = format!("self-managed, {leaves} leaves, {changes} authorities, 100 swaps");
    without_failure(&what, &reviews.end().await?, &handshakes.end().await?);
    drop((one, two));
    if is_long() { as_shipped(&place).await } else { Ok(()) }
}

/// The overlap that is shipped, and the longest that a kubelet takes to bring a Secret.
async fn as_shipped(place: &Arc<Place>) -> Outcome {
    place.operator.set_secret_delay(Duration::from_secs(90));
    let _controller = place.operator.start_controller("three", &[]).await?;
    let (reviews, handshakes) = (Load::of_reviews(&place.client), Load::of_handshakes(place));
    authority_changes(place, Duration::from_mins(15)).await?;
    let what = "self-managed, 1 authority, the shipped overlap, 90 s to the folder";
    without_failure(what, &reviews.end().await?, &handshakes.end().await?);
    Ok(())
}

/// The keeper's authority is replaced, in its three steps, each within `patience`.
async fn authority_changes(place: &Place, patience: Duration) -> Outcome {
    let (old, leaf) = (place.entry("ca.crt").await?, place.entry("tls.crt").await?);
    place.edit("ca.key", None).await?;
    place.changed_within("ca.crt", &old, patience).await?;
    let leaf = place.changed_within("tls.crt", &leaf, patience).await?;
    place.served_within(&leaf, patience).await?;
    wait::until("the old authority to leave the bundle", patience, async || {
        let bundle = place.bundle().await.unwrap_or_default();
        Ok(if authorities(&bundle) == 1 { Ok(()) } else { Err(format!("{} in it", authorities(&bundle))) })
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cert_manager_issues_injects_and_rotates_and_no_admission_fails() -> Outcome {
    let _turn = TURN.lock().await;
    let place = Place::open("cert-manager").await?;
    let webhook = place.operator.start_webhook(&[]).await?;
    let _controller = place.operator.start_controller("one", &[]).await?;
    place.operator.wait_trusted(&place.plane).await?;
    place.reviews().await?;

    let samples = deploy_folder()?.join("samples");
    let bad = samples.join("bad-no-image.yaml").display().to_string();
    let refused = place.plane.kubectl(&["create", "-f", &bad]).await?;
    assert!(refused.stderr.contains("spec.consumerSpec.image: Required value"), "{}", refused.stderr);
    let original = samples.join("kconsumer.yaml").display().to_string();
    place.kubectl(&["create", "-f", &original]).await?;

    let (reviews, handshakes) = (Load::of_reviews(&place.client), Load::of_handshakes(&place));
    let (leaves, changes) = (times(3, 20), times(1, 5));
    let mut before = place.files()?;
    for _ in 0..leaves {
        before = place.files()?;
        place.renew("kconsumer-group-operator-webhook").await?;
        let renewed = place.changed("tls.crt", &before["tls.crt"]).await?;
        place.served(&renewed).await?;
    }
    swapped(&place, &webhook, &before).await?;
    for _ in 0..changes {
        let old = place.bundle().await?;
        let key = place.authority_key().await?;
        place.renew("kconsumer-group-operator-webhook-ca").await?;
        place.renewed("kconsumer-group-operator-webhook-ca").await?;
        assert_eq!(place.authority_key().await?, key, "the authority keeps its key");
        // The registrations still trust the old authority; with the next leaf cainjector publishes the new one.
        place.reviews().await?;
        let leaf = place.entry("tls.crt").await?;
        place.renew("kconsumer-group-operator-webhook").await?;
        let leaf = place.changed("tls.crt", &leaf).await?;
        wait::until("cainjector to publish the new authority", RENEWED, async || {
            let now = place.bundle().await.unwrap_or_default();
            Ok(if now == old { Err("it is the old one".to_owned()) } else { Ok(()) })
        })
        .await?;
        place.served(&leaf).await?;
    }
    let what = format!("cert-manager, {leaves} leaves, {changes} authorities, 100 swaps");
    without_failure(&what, &reviews.end().await?, &handshakes.end().await?);

    for kind in ["mutating", "validating"] {
        let patch = r#"[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]"#;
        let registration = format!("{kind}webhookconfiguration/{}", names::NAMESPACE);
        place.kubectl(&["patch", &registration, "--type=json", "-p", patch]).await?;
    }
    place.operator.wait_trusted(&place.plane).await?;
    place.reviews().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_webhooks_behind_one_address_are_rolled_without_a_failed_admission_and_a_kill_costs_what_is_in_flight()
-> Outcome {
    let _turn = TURN.lock().await;
    let place = Place::open("self-managed").await?;
    let _controller = place.operator.start_controller("one", &[]).await?;
    let balancer = place.operator.start_balancer()?;
    // One after the other makes room for the next, as a Deployment's roll with a surge of one does.
    let flags = ["--drain-quiet-period=2s"];
    let mut ports = vec![Port::take()?, Port::take()?];
    let mut webhooks = Vec::new();
    for (number, port) in ports.iter().enumerate() {
        webhooks.push(place.operator.start_webhook_at(&format!("webhook-{number}"), port, &flags).await?);
    }
    balancer.route_to(&ports.iter().collect::<Vec<_>>());
    place.operator.wait_trusted(&place.plane).await?;
    place.reviews().await?;

    let (reviews, handshakes) = (Load::of_reviews(&place.client), Load::of_handshakes(&place));
    let rolls = times(2, 20);
    for number in 2..2 + rolls {
        let port = Port::take()?;
        webhooks.push(place.operator.start_webhook_at(&format!("webhook-{number}"), &port, &flags).await?);
        ports.push(port);
        balancer.route_to(&ports.iter().collect::<Vec<_>>());
        let leaving = webhooks.remove(0);
        // The endpoints follow while the pod is ending already: reviews go on coming for a moment.
        let unrouted = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            balancer.route_to(&ports[1..].iter().collect::<Vec<_>>());
            Ok(())
        };
        let ended = leaving.process().terminate(Duration::from_mins(1));
        let (ended, ()) = tokio::try_join!(ended, unrouted)?;
        assert!(ended.success(), "{ended}");
        ports.remove(0);
    }
    without_failure(&format!("{rolls} replicas rolled"), &reviews.end().await?, &handshakes.end().await?);

    let (reviews, handshakes) = (Load::of_reviews(&place.client), Load::of_handshakes(&place));
    tokio::time::sleep(Duration::from_secs(3)).await;
    webhooks[0].process().kill();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (reviews, handshakes) = (reviews.end().await?, handshakes.end().await?);
    let failed = reviews.failures.len() + handshakes.failures.len();
    figure(&format!("kill -9 of one of two: {} reviews, {failed} failed", reviews.reviews));
    // A review takes milliseconds: of sixty groups a second, few are ever in flight at one moment.
    assert!(failed <= 5, "{:?} {:?}", reviews.failures, handshakes.failures);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_was_stopped_over_a_renewal_renews_within_a_minute() -> Outcome {
    let place = Place::open("self-managed").await?;
    let flags = ["--certificate-life=60s", "--authority-overlap=10s"];
    let controller = place.operator.start_controller("one", &flags).await?;
    let first = place.changed("tls.crt", &[]).await?;
    let ends = Pair::from_pem(&first, &place.entry("tls.key").await?)?.not_after();

    controller.process().pause()?;
    wait::until("the renewal to be overdue", Duration::from_mins(2), async || {
        let left = ends.duration_since(SystemTime::now()).unwrap_or_default();
        Ok(if left < Duration::from_secs(15) { Ok(()) } else { Err(format!("{left:?} left")) })
    })
    .await?;
    assert_eq!(place.entry("tls.crt").await?, first);
    let continued = Instant::now();
    controller.process().resume()?;
    place.changed("tls.crt", &first).await?;
    figure(&format!(
        "stopped over a renewal: renewed {:.0} s after it went on",
        continued.elapsed().as_secs_f64()
    ));
    assert!(continued.elapsed() < RENEWED);
    Ok(())
}

/// The API server's client drops an idle connection after 90 s, and the webhook after 180 s. That takes minutes, so only
/// the long form does it; the webhook's own tests sweep the same relation at a hundredth of the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_review_after_any_rest_is_answered() -> Outcome {
    let _turn = TURN.lock().await;
    let place = Place::open("self-managed").await?;
    let _controller = place.operator.start_controller("one", &[]).await?;
    let _webhook = place.operator.start_webhook(&[]).await?;
    place.operator.wait_trusted(&place.plane).await?;
    let around = |rest: u64| (0..5).map(move |step| Duration::from_millis(rest * 1000 - 400 + step * 200));
    let short = [Duration::from_secs(2), Duration::from_secs(5)].to_vec();
    let long: Vec<Duration> = around(90).chain(around(180)).collect();
    let rests = if is_long() { long } else { short };
    place.reviews().await?;
    for rest in &rests {
        tokio::time::sleep(*rest).await;
        // The first after the rest, and a burst of further ones.
        let load = Load::of_reviews(&place.client);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(load.end().await?.failures, Vec::<String>::new(), "after {rest:?}");
    }
    figure(&format!("{} rests swept, 0 failed", rests.len()));
    Ok(())
}
