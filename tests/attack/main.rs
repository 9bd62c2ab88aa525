//! The webhook's port as an attack surface. Every pod of the cluster can reach it, so slow,
//! numerous or malformed clients must not delay reviews, and must cost neither memory nor log
//! lines.
//!
//! A second webhook that is not attacked gets the same reviews at the same time: it shows how much
//! of a delay comes from the busy machine.
//!
//! `cargo test -p kcg-tests --test attack -- --nocapture` prints the figures.
#![allow(clippy::unwrap_used, reason = "test code")]

mod arena;
mod clients;
mod guests;
mod heavy;
mod honest;
mod port;
mod reviewer;
mod tenants;

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kcg_devcluster::{Port, Process};
use kcg_tests::certificate::server_name;
use kcg_tests::env::{TestEnv, all_crds, api_server};
use kcg_tests::{Outcome, deploy, measured};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use clients::{Flood, Target};
use reviewer::{Reviewer, Sample};

/// Slow connections in all.
const SLOW: usize = 5000;
/// 250 per second. Each is held for up to five seconds, so there are more than the 512 that one client
/// of the webhook may have, and the attack meets both its deadlines and its limit of connections.
const SLOW_EVERY: Duration = Duration::from_millis(4);
/// From this connection on, as many connections end as begin, so memory should not grow.
const SETTLED: usize = 1500;
/// How long reviews run alone, for the baseline.
const BASELINE: Duration = Duration::from_secs(12);
const FLOOD: Duration = Duration::from_secs(5);
/// Reviews that were due in a phase may be answered after it.
const CATCH_UP: Duration = Duration::from_secs(3);
/// The most memory of the webhook, in KiB: half of its shipped limit.
const MOST: u64 = 256 << 10;
/// How much memory may grow from the `SETTLED`th connection to the last, in KiB: less than 2.5 for
/// each connection.
const GROWTH: u64 = 8 << 10;
/// The limit of log lines during the flood of thousands of malformed requests.
const LINES: usize = 60;
/// A window holds 200 reviews, so its p99 is the second or third slowest.
const WINDOW: Duration = Duration::from_secs(1);
/// A p99 below this is noise: on two cores that the attackers share, it depends on a single review
/// that waits some milliseconds for a core.
const NOISE: Duration = Duration::from_millis(10);
/// File descriptors: every slow connection at its worst, and the rest of this process.
const DESCRIPTORS: u64 = SLOW as u64 + 1000;

/// A POST to /validate with this body.
pub fn post(body: &str) -> Vec<u8> {
    let length = body.len();
    let head = "POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// Head and body of a response that is complete.
pub fn answer(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    let body = &bytes[end + 4..];
    (body.len() == length).then_some((head, body))
}

/// Sets how many files this process and its future children may have open.
fn allow_descriptors(count: u64) -> Outcome {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..limit }).map_err(|error| {
        let hard = limit.maximum.unwrap_or_default();
        format!("this test needs {DESCRIPTORS} open files and the hard limit is {hard} ({error}); raise it with ulimit -Hn").into()
    })
}

/// The value below which a share (0 to 1) of the samples is.
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

/// The latency of reviews in a phase: the median of its windows' p50, and of their p99.
struct Latency {
    p50: Duration,
    p99: Duration,
}

impl Latency {
    /// Counts the complete windows between two moments.
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
    kib(process, "VmRSS:")
}

/// A figure of the process's status in KiB.
fn kib(process: &Process, name: &str) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such figure in /proc")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn slow_and_malformed_clients_delay_no_review_and_cost_neither_memory_nor_log_lines() -> Outcome {
    let _turn = arena::turn().await;
    // The limit of many container runtimes.
    allow_descriptors(1024)?;
    let env = TestEnv::install(api_server(all_crds()).await?, &deploy("scopes/cluster")).await?;
    env.plane.apply_path(&deploy("samples/kafkatopic.yaml")).await?;
    let webhook = env.operator.start_webhook(&[]).await?;
    // The client resumes no session: every attacker is a new one, which costs the webhook a whole
    // handshake.
    let tls = env.certificate.tls_client().await?;
    let target = Target::new(env.webhook_address(), tls, server_name()?);
    // The same reviews to a second webhook that is not attacked show how busy the machine is at
    // each moment.
    let spared_port = Port::take()?;
    let _spared = env.operator.start_webhook_at("spared", &spared_port, &[]).await?;
    let review = |address| Reviewer::start(address, Arc::clone(&target.tls), target.host.clone());
    let (reviewer, spared) = (review(target.address)?, review(spared_port.address())?);
    allow_descriptors(DESCRIPTORS)?;
    // The first reviews take longer and do not belong to the baseline.
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
    let flood = Flood::send(&target, FLOOD).await?;
    let flooded = Instant::now();
    let lines = webhook.process().log().lines().count() - lines;

    sleep(CATCH_UP).await;
    webhook.process().must_run()?;
    let peak = kib(webhook.process(), "VmHWM:")?;
    let (samples, spared) = (reviewer.end()?, spared.end()?);

    measured(&format!("{} reviews, all with the expected answer", samples.len() + spared.len()));
    let baseline = Latency::between(&samples, alone, attack);
    measured(&format!("alone: {baseline}; spared: {}", Latency::between(&spared, alone, attack)));
    let slowed = Latency::between(&samples, settled, attacked);
    let unattacked = Latency::between(&spared, settled, attacked);
    measured(&format!(
        "{SLOW} slow connections in {:.1?}: {slowed}; spared: {unattacked}",
        attacked - attack
    ));
    let (first, most) = (memory[0], memory.iter().copied().max().unwrap_or_default());
    measured(&format!(
        "memory: {idle} KiB, {first} KiB at connection {SETTLED}, at most {most} KiB after it"
    ));
    let ends = |reason: &str| {
        let name = format!("connection_errors_total{{reason=\"{reason}\"}} ");
        metrics.lines().find_map(|line| line.split_once(&name)?.1.parse::<u64>().ok()).unwrap_or_default()
    };
    let (evicted, reaped) = (ends("evicted"), ends("slow") + ends("slow_handshake"));
    measured(&format!(
        "{evicted} connections were evicted for newer ones, {reaped} met a deadline other than a body's"
    ));
    let (http, old) = (flood.plain_http.len(), flood.old_tls.len());
    measured(&format!("flood: {http} plain HTTP, {old} old TLS, {} malformed in {FLOOD:?}", flood.malformed));
    measured(&format!("{lines} log lines; peak of memory: {peak} KiB"));
    let pressed = Latency::between(&samples, flooding, flooded);
    let left_alone = Latency::between(&spared, flooding, flooded);
    measured(&format!("flood: {pressed}; spared: {left_alone}"));
    let usual = baseline.p99.max(left_alone.p99);
    assert!(pressed.p99 <= (usual * 2).max(NOISE), "flood: {pressed}, usually p99 {usual:.1?}");
    assert!(peak <= MOST, "{peak} KiB");
    let longest = |took: &[Duration]| took.iter().copied().max().unwrap_or_default();
    let (http, old) = (longest(&flood.plain_http), longest(&flood.old_tls));
    measured(&format!("closed at the latest: plain HTTP after {http:.1?}, old TLS after {old:.1?}"));

    let usual = baseline.p99.max(unattacked.p99);
    assert!(slowed.p99 <= (usual * 2).max(NOISE), "under attack {slowed}, usually p99 {usual:.1?}");
    assert!(evicted > 0 && reaped > 0, "the attack did not meet both limits");
    assert!(
        flood.malformed > 500 && flood.plain_http.len() > 200 && flood.old_tls.len() > 200,
        "the flood was too small"
    );
    assert!(most <= first + GROWTH, "memory grew from {first} to {most} KiB: {memory:?}");
    assert!((1..LINES).contains(&lines), "{lines} log lines");
    assert!(http.max(old) < Duration::from_secs(1), "plain HTTP after {http:?}, old TLS after {old:?}");
    Ok(())
}
