//! Probes: when one is due, and whether the container passes it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kcg_devcluster::plain_http;
use tokio::net::TcpStream;

/// The result of a probe. It changes only after enough equal answers in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeResult {
    Unknown,
    Passing,
    Failing,
}

/// The numbers of a probe, with Kubernetes' defaults.
#[derive(Clone, Copy, Debug)]
struct ProbeConfig {
    initial_delay: Duration,
    period: Duration,
    timeout: Duration,
    successes: u32,
    failures: u32,
}

impl ProbeConfig {
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
    config: ProbeConfig,
    due: Instant,
    in_a_row: (bool, u32),
    result: ProbeResult,
}

impl Prober {
    pub(super) fn new(probe: &Probe, started: Instant) -> Self {
        let config = ProbeConfig::of(probe);
        Self {
            probe: probe.clone(),
            config,
            due: started + config.initial_delay,
            in_a_row: (false, 0),
            result: ProbeResult::Unknown,
        }
    }

    pub(super) fn result(&self) -> ProbeResult {
        self.result
    }

    /// Sends the probe if it is due.
    pub(super) async fn probe(&mut self, container: &Container, address: Ipv4Addr) {
        if Instant::now() < self.due {
            return;
        }
        let passed = passes(&self.probe, container, address, self.config.timeout).await;
        self.due = Instant::now() + self.config.period;
        self.record(passed);
    }

    /// Counts an answer. Enough equal answers in a row change the result.
    fn record(&mut self, passed: bool) {
        let (same, count) = self.in_a_row;
        self.in_a_row = if same == passed { (passed, count + 1) } else { (passed, 1) };
        let threshold = if passed { self.config.successes } else { self.config.failures };
        if self.in_a_row.1 >= threshold {
            self.result = if passed { ProbeResult::Passing } else { ProbeResult::Failing };
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
    // exec and grpc probes are not supported; `unsupported` rejects pods with one.
    false
}

/// Why this node cannot probe the container, if it cannot.
pub(super) fn unsupported(container: &Container) -> Option<String> {
    let probes = [&container.startup_probe, &container.liveness_probe, &container.readiness_probe];
    let unknown =
        probes.into_iter().flatten().any(|probe| probe.http_get.is_none() && probe.tcp_socket.is_none());
    unknown.then(|| {
        format!("container {}: this node supports only httpGet and tcpSocket probes", container.name)
    })
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
    use super::ProbeResult::{Failing, Passing, Unknown};
    use super::*;

    #[test]
    fn a_result_changes_after_enough_equal_answers_in_a_row() {
        let probe = Probe { failure_threshold: Some(2), success_threshold: Some(2), ..Probe::default() };
        let mut prober = Prober::new(&probe, Instant::now());
        let results: Vec<ProbeResult> = [true, true, false, true, false, false]
            .into_iter()
            .map(|passed| {
                prober.record(passed);
                prober.result()
            })
            .collect();
        assert_eq!(results, [Unknown, Passing, Passing, Passing, Passing, Failing]);
    }
}
