//! The webhook's port as an attack surface: every pod of the cluster can reach it, so who is slow, many or wrong must
//! keep no review from its answer, and cost neither memory nor log.
//!
//! A second webhook that nobody attacks gets the same reviews at the same time: what the busy machine adds to the attacked
//! one's reviews it adds to that one's, too.
//!
//! `cargo test -p kcg-tests --test attack -- --nocapture` prints the figures.
#![allow(clippy::unwrap_used, reason = "test code")]

mod crowd;
mod reviewer;

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crowd::{Flood, Target};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kcg_api::names;
use kcg_devcluster::{ControlPlane, Crds, Operator, Port, Process, deploy_folder, tools};
use kube::Api;
use reviewer::{Reviewer, Sample};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Slow connections in all.
const SLOW: usize = 5000;
/// 250 a second: with each held for up to five seconds that is more than the 1,024 that the webhook keeps, so the attack
/// meets its deadlines and its bound on connections, too.
const SLOW_EVERY: Duration = Duration::from_millis(4);
/// From here on as many connections come as go, and memory has no reason to grow.
const SETTLED: usize = 1500;
/// How long reviews go on alone, for the baseline.
const BASELINE: Duration = Duration::from_secs(12);
const FLOOD: Duration = Duration::from_secs(5);
/// What memory may grow by from the `SETTLED`th connection to the last, in KiB: less than 2.5 for each that came and went.
const GROWTH: u64 = 8 << 10;
/// Lines written during the flood; it has thousands of bad requests.
const LINES: usize = 60;
/// Holds 200 reviews, so that its p99 is the second slowest or third.
const WINDOW: Duration = Duration::from_secs(1);
/// A p99 below this says nothing: on two cores that the attackers share, one review more or less that waits for its turn
/// on a core (some milliseconds) decides it.
const NOISE: Duration = Duration::from_millis(10);
/// File descriptors: every slow connection at its worst, and the rest of this process.
const DESCRIPTORS: u64 = SLOW as u64 + 1000;

/// Prints a figure past the capture of a test's output.
fn figure(what: &str) {
    tools::to_stderr(&format!("attack: {what}"));
}

/// A POST to /validate with this body.
pub fn post(body: &str) -> Vec<u8> {
    let length = body.len();
    let head = "POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// Head and body of an answer that has come completely.
pub fn answer(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    let body = &bytes[end + 4..];
    (body.len() == length).then_some((head, body))
}

/// Sets how many files this process, and what it starts from now on, may have open.
fn allow_descriptors(count: u64) -> Outcome {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..limit }).map_err(|error| {
        let hard = limit.maximum.unwrap_or_default();
        format!("this test needs {DESCRIPTORS} open files and the hard limit is {hard} ({error}); raise it with ulimit -Hn").into()
    })
}

/// The value below which a share (0 to 1) of the samples lies.
fn quantile(mut took: Vec<Duration>, share: f64) -> Duration {
    took.sort_unstable();
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few thousand"
    )]
    let rank = (took.len() as f64 * share) as usize;
    took[rank.min(took.len() - 1)]
}

/// How long reviews took in a phase: the median of its windows' p50, and of their p99.
struct Latency {
    p50: Duration,
    p99: Duration,
}

impl Latency {
    /// Of the whole windows between two moments.
    fn between(samples: &[Sample], from: Instant, to: Instant) -> Self {
        let windows = to.duration_since(from).as_millis() / WINDOW.as_millis();
        let (mut medians, mut p99s) = (Vec::new(), Vec::new());
        for window in 0..u32::try_from(windows).unwrap() {
            let (begins, ends) = (from + WINDOW * window, from + WINDOW * (window + 1));
            let within = samples.iter().filter(|sample| (begins..ends).contains(&sample.due));
            let took: Vec<Duration> = within.map(|sample| sample.took).collect();
            assert!(took.len() > 150, "only {} reviews in {WINDOW:?}", took.len());
            medians.push(quantile(took.clone(), 0.5));
            p99s.push(quantile(took, 0.99));
        }
        Self { p50: quantile(medians, 0.5), p99: quantile(p99s, 0.5) }
    }
}

impl Display for Latency {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.1?}, p99 {:.1?}", self.p50, self.p99)
    }
}

/// Resident memory in KiB.
fn resident(process: &Process) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// What the registration trusts, as the API server trusts it.
async fn trust(plane: &ControlPlane) -> Outcome<Arc<ClientConfig>> {
    let registrations: Api<ValidatingWebhookConfiguration> = Api::all(plane.client().await?);
    let webhook = registrations.get(names::NAMESPACE).await?.webhooks.into_iter().flatten().next();
    let bundle = webhook.and_then(|webhook| webhook.client_config.ca_bundle).ok_or("no caBundle")?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bundle.0) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Every attacker is a new one: none saves the webhook a handshake.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn slow_and_bad_clients_keep_no_review_waiting_and_cost_neither_memory_nor_log() -> Outcome {
    // As many container runtimes start it.
    allow_descriptors(1024)?;
    let deploy = deploy_folder()?;
    let crds = Crds::all(deploy.join("crd"));
    let plane = ControlPlane::builder().controller_manager(false).scheduler(false).crds(crds).start().await?;
    let binary = kcg_tests::operator_binary().await?;
    let operator = Operator::install(&plane, &deploy.join("scopes/cluster"), binary).await?;
    plane.apply_path(&deploy.join("samples/kafkatopic.yaml")).await?;
    let webhook = operator.start_webhook(&[]).await?;
    let target = Target {
        address: operator.webhook_port().address(),
        trust: trust(&plane).await?,
        host: ServerName::try_from(names::webhook_host(names::NAMESPACE))?,
    };
    // The same reviews to a second webhook that nobody attacks tell how busy the machine is at each moment.
    let spared_port = Port::take()?;
    let _spared = operator.start_webhook_at("spared", &spared_port, &[]).await?;
    let review = |address| Reviewer::start(address, Arc::clone(&target.trust), target.host.clone());
    let (reviewer, spared) = (review(target.address)?, review(spared_port.address())?);
    allow_descriptors(DESCRIPTORS)?;
    // What is done for the first time takes longer, and is not the baseline.
    sleep(Duration::from_secs(1)).await;
    let idle = resident(webhook.process())?;
    let alone = Instant::now();
    sleep(BASELINE).await;

    let attack = Instant::now();
    let (mut slow, mut clock, mut memory) = (JoinSet::new(), interval(SLOW_EVERY), Vec::new());
    let mut settled = attack;
    for turn in 0..SLOW {
        clock.tick().await;
        slow.spawn(target.clone().linger(turn));
        if turn == SETTLED {
            settled = Instant::now();
        }
        if turn >= SETTLED && turn % 100 == 0 {
            memory.push(resident(webhook.process())?);
        }
    }
    let attacked = Instant::now();
    memory.push(resident(webhook.process())?);
    while let Some(held) = slow.join_next().await {
        held??;
    }
    let (_, metrics) = webhook.get("/metrics").await?;

    let lines = webhook.process().log().lines().count();
    let flooding = Instant::now();
    let flood = Flood::pour(&target, FLOOD).await?;
    let flooded = Instant::now();
    let lines = webhook.process().log().lines().count() - lines;
    let (samples, spared) = (reviewer.end()?, spared.end()?);

    figure(&format!("{} reviews, every one answered as it should be", samples.len() + spared.len()));
    let baseline = Latency::between(&samples, alone, attack);
    figure(&format!("alone: {baseline}; spared: {}", Latency::between(&spared, alone, attack)));
    let slowed = Latency::between(&samples, settled, attacked);
    let beside = Latency::between(&spared, settled, attacked);
    figure(&format!("{SLOW} slow connections in {:.1?}: {slowed}; spared: {beside}", attacked - attack));
    let (first, most) = (memory[0], memory.iter().copied().max().unwrap_or_default());
    figure(&format!("memory: {idle} KiB, {first} KiB at connection {SETTLED}, at most {most} KiB after it"));
    let ends = |reason: &str| {
        let name = format!("connection_faults_total{{reason=\"{reason}\"}} ");
        metrics.lines().find_map(|line| line.split_once(&name)?.1.parse::<u64>().ok()).unwrap_or_default()
    };
    let (evicted, reaped) = (ends("evicted"), ends("slow") + ends("slow_handshake"));
    figure(&format!("{evicted} made room for newer ones, {reaped} met a deadline other than a body's"));
    let (http, old) = (flood.plain_http.len(), flood.old_tls.len());
    figure(&format!("flood: {http} plain HTTP, {old} old TLS, {} malformed in {FLOOD:?}", flood.malformed));
    let pressed = Latency::between(&samples, flooding, flooded);
    let left_alone = Latency::between(&spared, flooding, flooded);
    figure(&format!("flood: {pressed}; spared: {left_alone}; {lines} log lines"));
    let longest = |took: &[Duration]| took.iter().copied().max().unwrap_or_default();
    let (http, old) = (longest(&flood.plain_http), longest(&flood.old_tls));
    figure(&format!("closed at the latest: plain HTTP after {http:.1?}, old TLS after {old:.1?}"));

    let usual = baseline.p99.max(beside.p99);
    assert!(slowed.p99 <= (usual * 2).max(NOISE), "under attack {slowed}, usually p99 {usual:.1?}");
    assert!(evicted > 0 && reaped > 0, "the attack met neither bound");
    assert!(flood.malformed > 500 && flood.plain_http.len() > 200 && flood.old_tls.len() > 200, "no flood");
    assert!(most <= first + GROWTH, "memory grew from {first} to {most} KiB: {memory:?}");
    assert!((1..LINES).contains(&lines), "{lines} log lines");
    assert!(http.max(old) < Duration::from_secs(1), "plain HTTP after {http:?}, old TLS after {old:?}");
    Ok(())
}
