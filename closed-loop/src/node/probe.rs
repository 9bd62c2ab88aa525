//! Probes: when one is due, what it says, and what follows from that.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

use kcg_devcluster::plain_http;

/// What a probe is known to say; until a threshold is reached, what it said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Unknown,
    Passing,
    Failing,
}

/// The numbers of a probe, with Kubernetes' defaults.
#[derive(Clone, Copy, Debug)]
struct Pace {
    initial_delay: Duration,
    period: Duration,
    timeout: Duration,
    successes: u32,
    failures: u32,
}

impl Pace {
    fn of(probe: &Probe) -> Self {
        let seconds = |value: Option<i32>, default: u32| {
            Duration::from_secs(u64::from(
                value
                    .and_then(|value| u32::try_from(value).ok())
                    .filter(|value| *value > 0)
                    .unwrap_or(default),
            ))
        };
        let count = |value: Option<i32>, default: u32| {
            value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0).unwrap_or(default)
        };
        Self {
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            successes: count(probe.success_threshold, 1),
            failures: count(probe.failure_threshold, 3),
        }
    }
}

/// One probe of one run of a container.
#[derive(Debug)]
pub(super) struct Prober {
    probe: Probe,
    pace: Pace,
    due: Instant,
    in_a_row: (bool, u32),
    verdict: Verdict,
}

impl Prober {
    pub fn new(probe: &Probe, started: Instant) -> Self {
        let pace = Pace::of(probe);
        Self {
            probe: probe.clone(),
            pace,
            due: started + pace.initial_delay,
            in_a_row: (false, 0),
            verdict: Verdict::Unknown,
        }
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Asks where it is due.
    pub async fn ask(&mut self, container: &Container, address: Ipv4Addr) {
        if Instant::now() < self.due {
            return;
        }
        let passed = passes(&self.probe, container, address, self.pace.timeout).await;
        self.due = Instant::now() + self.pace.period;
        self.note(passed);
    }

    /// Counts an answer; a threshold in a row turns the verdict.
    fn note(&mut self, passed: bool) {
        let (same, count) = self.in_a_row;
        self.in_a_row = if same == passed { (passed, count + 1) } else { (passed, 1) };
        let threshold = if passed { self.pace.successes } else { self.pace.failures };
        if self.in_a_row.1 >= threshold {
            self.verdict = if passed { Verdict::Passing } else { Verdict::Failing };
        }
    }
}

async fn passes(probe: &Probe, container: &Container, address: Ipv4Addr, timeout: Duration) -> bool {
    if let Some(http) = &probe.http_get {
        let Some(port) = port(&http.port, container) else { return false };
        let path = http.path.as_deref().unwrap_or("/");
        let answer = plain_http::get(SocketAddr::from((address, port)), path, timeout).await;
        return answer.is_ok_and(|(status, _)| (200..400).contains(&status));
    }
    if let Some(tcp) = &probe.tcp_socket {
        let Some(port) = port(&tcp.port, container) else { return false };
        let connected = tokio::time::timeout(timeout, TcpStream::connect((address, port))).await;
        return matches!(connected, Ok(Ok(_)));
    }
    // exec and grpc probes are not asked here; a pod that has one is refused before it starts.
    false
}

/// Why this node cannot probe so, if it cannot.
pub(super) fn refusal(container: &Container) -> Option<String> {
    let probes = [&container.startup_probe, &container.liveness_probe, &container.readiness_probe];
    let unknown =
        probes.into_iter().flatten().any(|probe| probe.http_get.is_none() && probe.tcp_socket.is_none());
    unknown
        .then(|| format!("container {}: this node asks httpGet and tcpSocket probes alone", container.name))
}

fn port(port: &IntOrString, container: &Container) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            container.ports.iter().flatten().find(|port| port.name.as_ref() == Some(name))?.container_port
        }
    };
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Failing, Passing, Unknown};
    use super::*;

    #[test]
    fn a_verdict_turns_when_its_threshold_is_reached_in_a_row() {
        let probe = Probe { failure_threshold: Some(2), success_threshold: Some(2), ..Probe::default() };
        let mut prober = Prober::new(&probe, Instant::now());
        let verdicts: Vec<Verdict> = [true, true, false, true, false, false]
            .into_iter()
            .map(|passed| {
                prober.note(passed);
                prober.verdict()
            })
            .collect();
        assert_eq!(verdicts, [Unknown, Passing, Passing, Passing, Passing, Failing]);
    }
}
