//! No rotation, rollout or restart fails an admission: through a real API server under load, with a
//! real cert-manager and with the operator's own certificate rotation, on the overlays as they
//! ship.
//!
//! `KCG_LONG=1 cargo test -p kcg-tests --test certificates -- --nocapture` runs the full number of
//! rotations, which takes about an hour.
#![allow(clippy::unwrap_used, reason = "test code")]

mod cert_manager;
mod clients;

use std::time::{Duration, Instant, SystemTime};

use kcg_api::names;
use kcg_certs::Pair;
use kcg_devcluster::{Files, Port, Replica};
use kcg_tests::certificate::RENEWED;
use kcg_tests::env::{TestEnv, all_crds, api_server};
use kcg_tests::load::{Load, assert_no_failures};
use kcg_tests::namespace::refusal;
use kcg_tests::{Outcome, deploy, eventually, is_long, measured, met, metric};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::Mutex;

/// One load at a time: two would disturb each other's measurements.
static TURN: Mutex<()> = Mutex::const_new(());

/// `short`, or `long` at full length.
fn times(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// Installs an overlay for the whole cluster, and a topic of three partitions.
async fn install(overlay: &str) -> Outcome<TestEnv> {
    let plane = api_server(all_crds()).await?;
    let env = TestEnv::install(plane, &deploy("overlays/cluster").join(overlay)).await?;
    env.plane.apply_path(&deploy("samples/kafkatopic.yaml")).await?;
    Ok(env)
}

/// Starts the load; `stop` returns its results.
fn load(env: &TestEnv) -> (Load, Load) {
    (Load::of_reviews(&env.client), Load::of_handshakes(&env.certificate, env.webhook_address()))
}

/// Waits until the webhook serves this certificate.
async fn served(env: &TestEnv, certificate: &[u8]) -> Outcome {
    Ok(env.certificate.served(env.webhook_address(), certificate, RENEWED).await?)
}

/// The files that the webhook sees now.
fn files(env: &TestEnv) -> Outcome<Files> {
    let folder = env.operator.certificate_volume().folder();
    let read = |name: &str| Ok((name.to_owned(), std::fs::read(folder.join(name))?));
    ["tls.crt", "tls.key"].into_iter().map(read).collect()
}

/// How often a webhook has reloaded its certificate with this result.
async fn reloads(webhook: &Replica, result: &str) -> anyhow::Result<f64> {
    let (_, metrics) = webhook.get("/metrics").await?;
    let result = format!("{{result=\"{result}\"}}");
    Ok(metric(&metrics, "certificate_reloads_total", |labels| labels == result).unwrap_or_default())
}

/// Swaps the webhook's files a hundred times between two valid pairs, with a half-written pair
/// after each.
async fn swap_files(env: &TestEnv, webhook: &Replica, first: &Files) -> Outcome {
    let volume = env.operator.certificate_volume();
    let second = files(env)?;
    assert_ne!(*first, second);
    let mut half = second.clone();
    half.insert("tls.key".into(), first["tls.key"].clone());

    let before = reloads(webhook, "Mismatched").await?;
    volume.project(&half)?;
    eventually("the webhook sees the half-written pair", Duration::from_secs(10), async || {
        Ok(met(reloads(webhook, "Mismatched").await? > before, || "not yet"))
    })
    .await?;
    let pace = Duration::from_millis(if is_long() { 1000 } else { 50 });
    let mut clock = tokio::time::interval(pace);
    for turn in 0..100 {
        volume.project(if turn % 2 == 0 { first } else { &second })?;
        clock.tick().await;
        volume.project(&half)?;
        clock.tick().await;
    }
    volume.project(first)?;
    served(env, &first["tls.crt"]).await?;
    volume.project(&second)?;
    served(env, &second["tls.crt"]).await
}

fn certificates_in(bundle: &[u8]) -> usize {
    CertificateDer::pem_slice_iter(bundle).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_rotations_fail_no_admission() -> Outcome {
    let _turn = TURN.lock().await;
    let env = install("self-managed").await?;
    // On top of the shipped flags, so that the replacement of a CA fits into a test.
    let flags = ["--ca-overlap=15s"];
    let (one, two) = tokio::try_join!(
        env.operator.start_controller("one", &flags),
        env.operator.start_controller("two", &flags)
    )?;
    let webhook = env.operator.start_webhook(&[]).await?;
    env.operator.wait_trusted(&env.plane).await?;
    env.reviews_work().await?;
    assert_eq!(
        certificates_in(&env.certificate.ca_bundle().await?),
        1,
        "two controllers that start at once create one CA"
    );
    env.operator.set_secret_delay(Duration::from_secs(1));

    let (reviews, handshakes) = load(&env);
    let (renewals, ca_changes) = (times(2, 20), times(1, 5));
    let mut before = files(&env)?;
    for _ in 0..renewals {
        before = files(&env)?;
        env.certificate.set_entry("tls.crt", None).await?;
        let renewed = env.certificate.changed("tls.crt", &before["tls.crt"], RENEWED).await?;
        served(&env, &renewed).await?;
    }
    swap_files(&env, &webhook, &before).await?;
    for _ in 0..ca_changes {
        replace_ca(&env, RENEWED).await?;
    }
    let what = format!("self-managed, {renewals} renewals, {ca_changes} CAs, 100 swaps");
    assert_no_failures(&what, &reviews.stop().await?, &handshakes.stop().await?);
    drop((one, two));
    if is_long() { as_shipped(&env).await } else { Ok(()) }
}

/// With the shipped overlap, and the longest time that a kubelet takes to project a Secret.
async fn as_shipped(env: &TestEnv) -> Outcome {
    env.operator.set_secret_delay(Duration::from_secs(90));
    let _controller = env.operator.start_controller("three", &[]).await?;
    let (reviews, handshakes) = load(env);
    replace_ca(env, Duration::from_mins(15)).await?;
    let what = "self-managed, 1 CA, the shipped overlap, 90 s to the folder";
    assert_no_failures(what, &reviews.stop().await?, &handshakes.stop().await?);
    Ok(())
}

/// Has the operator's CA replaced, in its three steps, each within `limit`.
async fn replace_ca(env: &TestEnv, limit: Duration) -> Outcome {
    let (old, leaf) = (env.certificate.entry("ca.crt").await?, env.certificate.entry("tls.crt").await?);
    env.certificate.set_entry_of(names::CA_SECRET, "ca.key", None).await?;
    env.certificate.changed("ca.crt", &old, limit).await?;
    let leaf = env.certificate.changed("tls.crt", &leaf, limit).await?;
    env.certificate.served(env.webhook_address(), &leaf, limit).await?;
    eventually("the old CA leaves the bundle", limit, async || {
        let certificates = certificates_in(&env.certificate.ca_bundle().await.unwrap_or_default());
        Ok(met(certificates == 1, || format!("{certificates} certificates in it")))
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_by_cert_manager_fail_no_admission() -> Outcome {
    let _turn = TURN.lock().await;
    let env = install("cert-manager").await?;
    let webhook = env.operator.start_webhook(&[]).await?;
    let _controller = env.operator.start_controller("one", &[]).await?;
    env.operator.wait_trusted(&env.plane).await?;
    env.reviews_work().await?;

    let refused = refusal(env.create_sample("bad-no-image.yaml").await);
    assert!(refused.contains("spec.consumerSpec.image: Required value"), "{refused}");
    env.create_sample("kconsumer.yaml").await?;

    let (reviews, handshakes) = load(&env);
    let (renewals, ca_changes) = (times(3, 20), times(1, 5));
    let mut before = files(&env)?;
    for _ in 0..renewals {
        before = files(&env)?;
        cert_manager::renew(&env, names::WEBHOOK).await?;
        let renewed = env.certificate.changed("tls.crt", &before["tls.crt"], RENEWED).await?;
        served(&env, &renewed).await?;
    }
    swap_files(&env, &webhook, &before).await?;
    for _ in 0..ca_changes {
        let old = env.certificate.ca_bundle().await?;
        let key = cert_manager::ca_key(&env).await?;
        cert_manager::renew(&env, cert_manager::CA).await?;
        cert_manager::renewed(&env, cert_manager::CA).await?;
        assert_eq!(cert_manager::ca_key(&env).await?, key, "a renewed CA keeps its key");
        // The webhook configurations still trust the old CA; cainjector publishes the new one with
        // the next certificate.
        env.reviews_work().await?;
        let leaf = env.certificate.entry("tls.crt").await?;
        cert_manager::renew(&env, names::WEBHOOK).await?;
        let leaf = env.certificate.changed("tls.crt", &leaf, RENEWED).await?;
        eventually("cainjector publishes the new CA", RENEWED, async || {
            let now = env.certificate.ca_bundle().await.unwrap_or_default();
            Ok(met(now != old, || "it is the old one"))
        })
        .await?;
        served(&env, &leaf).await?;
    }
    let what = format!("cert-manager, {renewals} renewals, {ca_changes} CAs, 100 swaps");
    assert_no_failures(&what, &reviews.stop().await?, &handshakes.stop().await?);

    env.certificate.remove_ca_bundles().await?;
    env.operator.wait_trusted(&env.plane).await?;
    Ok(env.reviews_work().await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_fails_no_admission_and_a_kill_fails_only_what_is_in_flight() -> Outcome {
    let _turn = TURN.lock().await;
    let env = install("self-managed").await?;
    let _controller = env.operator.start_controller("one", &[]).await?;
    let balancer = env.operator.start_balancer()?;
    // One replica after the other is replaced, as in the rollout of a Deployment with a surge of
    // one.
    let flags = ["--drain-quiet-period=2s"];
    let mut ports = vec![Port::take()?, Port::take()?];
    let mut webhooks = Vec::new();
    for (number, port) in ports.iter().enumerate() {
        webhooks.push(env.operator.start_webhook_at(&format!("webhook-{number}"), port, &flags).await?);
    }
    balancer.route_to(&ports.iter().collect::<Vec<_>>());
    env.operator.wait_trusted(&env.plane).await?;
    env.reviews_work().await?;

    let (reviews, handshakes) = load(&env);
    let rolls = times(2, 20);
    for number in 2..2 + rolls {
        let port = Port::take()?;
        webhooks.push(env.operator.start_webhook_at(&format!("webhook-{number}"), &port, &flags).await?);
        ports.push(port);
        balancer.route_to(&ports.iter().collect::<Vec<_>>());
        let leaving = webhooks.remove(0);
        // The endpoints change only after the pod began to terminate, so it gets reviews for a
        // moment.
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
    assert_no_failures(
        &format!("{rolls} replicas replaced"),
        &reviews.stop().await?,
        &handshakes.stop().await?,
    );

    let (reviews, handshakes) = load(&env);
    tokio::time::sleep(Duration::from_secs(3)).await;
    webhooks[0].process().kill();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (reviews, handshakes) = (reviews.stop().await?, handshakes.stop().await?);
    let failed = reviews.failures.len() + handshakes.failures.len();
    measured(&format!("kill -9 of one of two: {} reviews, {failed} failed", reviews.succeeded));
    // A review takes milliseconds, so few of sixty groups per second are in flight at one moment.
    assert!(failed <= 5, "{:?} {:?}", reviews.failures, handshakes.failures);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_was_paused_over_a_renewal_renews_within_a_minute() -> Outcome {
    let env = install("self-managed").await?;
    let flags = ["--certificate-duration=60s", "--ca-overlap=10s"];
    let controller = env.operator.start_controller("one", &flags).await?;
    let first = env.certificate.changed("tls.crt", &[], RENEWED).await?;
    let ends = Pair::from_pem(&first, &env.certificate.entry("tls.key").await?)?.not_after();

    controller.process().pause()?;
    eventually("the renewal is overdue", Duration::from_mins(2), async || {
        let left = ends.duration_since(SystemTime::now()).unwrap_or_default();
        Ok(met(left < Duration::from_secs(15), || format!("{left:?} left")))
    })
    .await?;
    assert_eq!(env.certificate.entry("tls.crt").await?, first);
    let continued = Instant::now();
    controller.process().resume()?;
    env.certificate.changed("tls.crt", &first, RENEWED).await?;
    measured(&format!("renewed {:.0} s after the controller was resumed", continued.elapsed().as_secs_f64()));
    assert!(continued.elapsed() < RENEWED);
    Ok(())
}

/// The API server's client closes an idle connection after 90 s, the webhook after 180 s. Pauses
/// around these times run only at full length; the webhook's own tests cover the same relation in a
/// hundredth of the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_review_after_any_pause_is_answered() -> Outcome {
    let _turn = TURN.lock().await;
    let env = install("self-managed").await?;
    let _controller = env.operator.start_controller("one", &[]).await?;
    let _webhook = env.operator.start_webhook(&[]).await?;
    env.operator.wait_trusted(&env.plane).await?;
    let around = |pause: u64| (0..5).map(move |step| Duration::from_millis(pause * 1000 - 400 + step * 200));
    let short = [Duration::from_secs(2), Duration::from_secs(5)].to_vec();
    let long: Vec<Duration> = around(90).chain(around(180)).collect();
    let pauses = if is_long() { long } else { short };
    env.reviews_work().await?;
    for pause in &pauses {
        tokio::time::sleep(*pause).await;
        // The first review after the pause, and a burst of further ones.
        let load = Load::of_reviews(&env.client);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(load.stop().await?.failures, Vec::<String>::new(), "after {pause:?}");
    }
    measured(&format!("{} pauses, 0 failures", pauses.len()));
    Ok(())
}
