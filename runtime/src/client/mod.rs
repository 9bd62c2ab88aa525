//! One rule for every request to the API server: it has a deadline, it is counted, and nothing beneath it retries.
//! Floor 2 (I/O shell).

mod config;
mod request_metrics;

use std::{fmt, future::Future, time::Duration};

pub use config::{ClientConfig, ClientError};
use kube::core::Status;
pub use request_metrics::{MeteredService, RequestMetrics};
use thiserror::Error;

/// How long one request may take, from its first byte to the last of its answer. kube's own client waits
/// forever for an answer.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Why a request brought nothing.
#[derive(Debug, Error)]
pub enum RequestError {
    /// Nothing came within the deadline. The server may have done what was asked all the same.
    #[error("{what}: no answer within {} s", after.as_secs_f32())]
    Timeout { what: String, after: Duration },
    /// The API server answered with a refusal.
    #[error("{what}: {} (HTTP {})", status.message, status.code)]
    Api { what: String, status: Box<Status> },
    /// The request did not arrive, or its answer made no sense.
    #[error("{what}: {}", chain(source))]
    Transport { what: String, source: Box<kube::Error> },
}

impl RequestError {
    pub(crate) fn new(what: String, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Api { what, status },
            other => Self::Transport { what, source: Box::new(other) },
        }
    }

    /// The HTTP status of a refusal; `None` where there was no answer.
    pub fn code(&self) -> Option<u16> {
        self.status().map(|status| status.code)
    }

    /// The API server's refusal in its own words; `None` where there was no answer.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Api { status, .. } => Some(status),
            Self::Timeout { .. } | Self::Transport { .. } => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(Status::is_not_found)
    }

    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(Status::is_conflict)
    }

    pub fn is_forbidden(&self) -> bool {
        self.status().is_some_and(Status::is_forbidden)
    }

    /// How long the server asked to be left alone, where it did.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.status()?.details.as_ref()?.retry_after_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }
}

/// Runs one request under [`DEADLINE`]. `what` completes the sentence "<what>: no answer within 10 s".
pub async fn with_deadline<T>(
    what: impl fmt::Display,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, RequestError> {
    with_timeout(DEADLINE, what, call).await
}

/// Runs one request under a deadline of its own.
pub async fn with_timeout<T>(
    deadline: Duration,
    what: impl fmt::Display,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, RequestError> {
    match tokio::time::timeout(deadline, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(RequestError::new(what.to_string(), error)),
        Err(_) => Err(RequestError::Timeout { what: what.to_string(), after: deadline }),
    }
}

/// An error and its causes in one line: hyper and rustls say what happened only in the innermost one.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !line.contains(&said) {
            line = format!("{line}: {said}");
        }
        cause = inner.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: u16, reason: &str) -> kube::Error {
        kube::Error::Api(Status::failure("deployments.apps \"a\" says no", reason).with_code(code).boxed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_never_answered_ends_at_its_deadline() {
        let silent = std::future::pending::<kube::Result<()>>();
        let error = with_deadline("get the sample", silent).await.unwrap_err();
        assert_eq!(error.to_string(), "get the sample: no answer within 10 s");
        assert_eq!(error.code(), None);
    }

    #[tokio::test]
    async fn a_refusal_keeps_the_servers_words_and_code() {
        let error = with_deadline("apply Deployment a", async { Err::<(), _>(refusal(409, "Conflict")) })
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "apply Deployment a: deployments.apps \"a\" says no (HTTP 409)");
        assert!(error.is_conflict() && !error.is_not_found() && !error.is_forbidden());
    }

    #[tokio::test]
    async fn the_wait_that_a_server_asks_for_is_read() {
        let kube::Error::Api(mut status) = refusal(429, "TooManyRequests") else { unreachable!() };
        status.details = serde_json::from_value(serde_json::json!({"retryAfterSeconds": 3})).unwrap();
        let error = RequestError::new("list".into(), kube::Error::Api(status));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    }
}
