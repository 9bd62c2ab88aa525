//! One replica of the operator: a local process.

use std::path::Path;
use std::time::Duration;

use crate::port::Port;
use crate::process::Process;
use crate::{Error, Result, plain_http, wait};

const READY_LIMIT: Duration = Duration::from_mins(1);
const RESPONSE_LIMIT: Duration = Duration::from_secs(5);

/// A controller or a webhook, with its status port. Dropping it kills the process.
#[derive(Debug)]
pub struct Replica {
    process: Process,
    status: Port,
}

impl Replica {
    /// Starts the process without waiting until it is ready.
    pub(super) fn start(
        name: &str,
        binary: &Path,
        args: &[String],
        folder: &Path,
        status: Port,
    ) -> Result<Self> {
        Ok(Self { process: Process::start(name, binary, args, folder)?, status })
    }

    /// The process, with its ID, signals and log.
    pub fn process(&self) -> &Process {
        &self.process
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

    /// Sends a GET request to the status port, for example for /metrics. Returns the status code
    /// and the body.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        let action = format!("get http://{}{path}", self.status.address());
        plain_http::get(self.status.address(), path, RESPONSE_LIMIT).await.map_err(Error::client(action))
    }
}
