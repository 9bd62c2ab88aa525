//! One replica of the operator: a local process.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::port::Port;
use crate::process::Process;
use crate::{Error, Result, plain_http, wait};

const READY_LIMIT: Duration = Duration::from_mins(1);
const RESPONSE_LIMIT: Duration = Duration::from_secs(5);

/// A controller or a webhook. Dropping it kills the process.
#[derive(Debug)]
pub struct Replica {
    process: Process,
    ports: ReplicaPorts,
}

/// The ports of a replica that serve plain HTTP.
#[derive(Debug)]
pub(super) struct ReplicaPorts {
    metrics: Port,
    probes: Port,
}

impl ReplicaPorts {
    pub(super) fn take() -> Result<Self> {
        Ok(Self { metrics: Port::take()?, probes: Port::take()? })
    }

    /// The flags that set them.
    pub(super) fn flags(&self) -> [String; 2] {
        [
            format!("--metrics-bind-address={}", self.metrics.address()),
            format!("--health-probe-bind-address={}", self.probes.address()),
        ]
    }
}

impl Replica {
    /// Starts the process without waiting until it is ready.
    pub(super) fn start(
        name: &str,
        binary: &Path,
        args: &[String],
        folder: &Path,
        ports: ReplicaPorts,
    ) -> Result<Self> {
        Ok(Self { process: Process::start(name, binary, args, folder)?, ports })
    }

    /// The process, with its ID, signals and log.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The address of /healthz and /readyz.
    pub fn probe_address(&self) -> SocketAddr {
        self.ports.probes.address()
    }

    /// Waits until /readyz returns 200.
    pub async fn wait_ready(&self) -> Result<()> {
        let what = format!("{} to be ready", self.process.name());
        wait::until(&what, READY_LIMIT, async || {
            self.process.must_run()?;
            Ok(match self.get("/readyz").await {
                Ok((200, _)) => Ok(()),
                Ok((status, body)) => Err(format!("/readyz returns {status}: {}", body.trim())),
                Err(error) => Err(format!("/readyz: {error}")),
            })
        })
        .await
    }

    /// Sends a GET request for /metrics, or for a probe. Returns the status code and the body.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        let port = if path == "/metrics" { &self.ports.metrics } else { &self.ports.probes };
        let action = format!("get http://{}{path}", port.address());
        plain_http::get(port.address(), path, RESPONSE_LIMIT).await.map_err(Error::client(action))
    }
}
