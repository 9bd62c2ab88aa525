//! One process of the operator.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::port::Port;
use crate::process::Process;
use crate::{Error, Result, wait};

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
        let answer = tokio::time::timeout(ANSWER_LIMIT, self.exchange(path)).await;
        let text = answer.unwrap_or_else(|late| Err(late.into())).map_err(unanswered)?;
        let invalid = || Error::Parse { what: format!("the answer to {path}"), reason: text.clone() };
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(invalid)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(invalid)?;
        Ok((status, body.to_owned()))
    }

    /// HTTP/1.0: the answer is neither chunked nor followed by another, so it ends with the connection.
    async fn exchange(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.status.address()).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}
