//! One process of the operator.

use std::path::Path;
use std::time::Duration;

use crate::port::Port;
use crate::process::Process;
use crate::{Error, Result, plain_http, wait};

const READY_LIMIT: Duration = Duration::from_mins(1);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A controller or a webhook with its status port. Dropping it kills it.
#[derive(Debug)]
pub struct Replica {
    process: Process,
    status: Port,
}

impl Replica {
    /// Starts it; it is not ready yet.
    pub(super) fn start(
        name: &str,
        binary: &Path,
        args: &[String],
        folder: &Path,
        status: Port,
    ) -> Result<Self> {
        Ok(Self { process: Process::start(name, binary, args, folder)?, status })
    }

    /// The process: its pid, its signals, its log.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until /readyz answers 200.
    pub async fn wait_ready(&self) -> Result<()> {
        let what = format!("{} to be ready", self.process.name());
        let outcome = wait::until(&what, READY_LIMIT, async || {
            self.process.must_run()?;
            Ok(match self.get("/readyz").await {
                Ok((200, _)) => Ok(()),
                Ok((status, body)) => Err(format!("/readyz says {status}: {}", body.trim())),
                Err(error) => Err(format!("/readyz: {error}")),
            })
        });
        outcome.await
    }

    /// Asks its status port, for instance for /metrics; status and body of the answer.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        let unanswered = |source| Error::Start {
            program: format!("a request to {}{path}", self.status.address()),
            source,
        };
        plain_http::get(self.status.address(), path, ANSWER_LIMIT).await.map_err(unanswered)
    }
}
