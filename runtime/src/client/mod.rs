//! The client: each request has a deadline and is counted, and nothing below the caller retries.

mod bounded;
mod config;
mod proxy;
mod request_metrics;
mod retry_after;

use std::{fmt, future::Future, time::Duration};

pub use bounded::{MAX_OBJECT, get_bounded, get_bounded_text, send_bounded};
pub use config::{ClientConfig, ClientError};
use kube::core::Status;
pub use request_metrics::{MeteredService, RequestMetrics};
use thiserror::Error;

/// The deadline of one request, from its first byte to the last byte of its response. kube's client
/// has none.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// The longest delay that the API server can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Why a request failed. `what` names the request, for example `get Secret default/a`.
#[derive(Debug, Error)]
pub enum RequestError {
    /// No response arrived in time. The server may have processed the request.
    #[error("{what}: no answer within {} s", after.as_secs_f32())]
    Timeout {
        /// The request.
        what: String,
        /// The deadline.
        after: Duration,
    },
    /// The API server answered with an error.
    #[error("{what}: {} (HTTP {})", status.message, status.code)]
    Api {
        /// The request.
        what: String,
        /// The API server's answer.
        status: Box<Status>,
    },
    /// The response is longer than the caller reads.
    #[error("{what}: the response is longer than {max} bytes")]
    TooLarge {
        /// The request.
        what: String,
        /// The bound in bytes.
        max: usize,
    },
    /// The API server answered with an object that is not read.
    #[error("{what}: {reason}")]
    Unreadable {
        /// The request.
        what: String,
        /// Why.
        reason: String,
    },
    /// The request was not sent, its connection broke, or its response could not be read.
    #[error("{what}: {}", chain(source))]
    Transport {
        /// The request.
        what: String,
        /// The cause.
        source: Box<kube::Error>,
    },
}

impl RequestError {
    pub(crate) fn new(what: String, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Api { what, status },
            other => Self::Transport { what, source: Box::new(other) },
        }
    }

    /// The HTTP status code, or `None` if the API server did not answer.
    pub fn code(&self) -> Option<u16> {
        self.status().map(|status| status.code)
    }

    /// The API server's answer, or `None` if it did not answer.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Api { status, .. } => Some(status),
            Self::Timeout { .. }
            | Self::TooLarge { .. }
            | Self::Unreadable { .. }
            | Self::Transport { .. } => None,
        }
    }

    /// Whether the object does not exist, or the cluster has no such kind: the API server answers the path
    /// of an unknown kind with a 404 without a reason.
    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(|status| status.is_not_found() || status.code == 404)
    }

    /// Whether the object changed since it was read, or has other field owners.
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(Status::is_conflict)
    }

    /// Whether an object of the name exists already, which is no [conflict](Self::is_conflict).
    pub fn is_already_exists(&self) -> bool {
        self.status().is_some_and(Status::is_already_exists)
    }

    /// Whether RBAC or an admission plugin denied the request.
    pub fn is_forbidden(&self) -> bool {
        self.status().is_some_and(Status::is_forbidden)
    }

    /// How long the API server asked to wait before the next attempt, if it did; 30 s at most.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.status()?.details.as_ref()?.retry_after_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()).min(MAX_RETRY_AFTER))
    }
}

/// Runs one request under [`DEADLINE`]. `what` names the request in the error: `<what>: no answer
/// within 10 s`.
pub async fn with_deadline<T>(
    what: impl fmt::Display,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, RequestError> {
    with_timeout(DEADLINE, what, request).await
}

/// Runs one request under another deadline; otherwise as [`with_deadline`].
pub async fn with_timeout<T>(
    deadline: Duration,
    what: impl fmt::Display,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, RequestError> {
    match tokio::time::timeout(deadline, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(RequestError::new(what.to_string(), error)),
        Err(_) => Err(RequestError::Timeout { what: what.to_string(), after: deadline }),
    }
}

/// An error and its causes in one line: hyper and rustls name the reason only in the innermost
/// cause.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = inner.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: u16, reason: &str) -> kube::Error {
        kube::Error::Api(
            Status::failure("deployments.apps \"a\" was modified", reason).with_code(code).boxed(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_response_ends_at_its_deadline() {
        let silent = std::future::pending::<kube::Result<()>>();
        let error = with_deadline("get the sample", silent).await.unwrap_err();
        assert_eq!(error.to_string(), "get the sample: no answer within 10 s");
        assert_eq!(error.code(), None);
    }

    #[tokio::test]
    async fn an_error_keeps_the_servers_message_and_code() {
        let refused = async { Err::<(), _>(failure(409, "Conflict")) };
        let error = with_deadline("apply Deployment a", refused).await.unwrap_err();
        assert_eq!(error.to_string(), "apply Deployment a: deployments.apps \"a\" was modified (HTTP 409)");
        assert!(error.is_conflict() && !error.is_not_found() && !error.is_forbidden());
    }

    #[tokio::test]
    async fn the_delay_that_the_server_asks_for_is_read() {
        let kube::Error::Api(mut status) = failure(429, "TooManyRequests") else { unreachable!() };
        status.details = serde_json::from_value(serde_json::json!({"retryAfterSeconds": 3})).unwrap();
        let error = RequestError::new("list".into(), kube::Error::Api(status));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    }
}
