//! How a watch ends, and when a new list is needed.

use crate::client::RequestError;

/// Why a watch ended.
#[derive(Debug)]
pub(super) enum End {
    /// The server closed it, as requested with the timeout.
    Closed,
    /// The server cannot continue from our resource version: it no longer has the history since
    /// then, its history has not got there, or its events are not in order.
    Expired,
    Failed(RequestError),
}

impl From<RequestError> for End {
    fn from(error: RequestError) -> Self {
        if is_expired(&error) { Self::Expired } else { Self::Failed(error) }
    }
}

/// Whether a new list is the answer: HTTP 410, or a resource version that the server does not know
/// yet, as after a restore from a backup.
pub(super) fn is_expired(error: &RequestError) -> bool {
    let details = error.status().and_then(|status| status.details.as_ref());
    let mut causes = details.into_iter().flat_map(|details| &details.causes);
    error.code() == Some(410)
        || error.code() == Some(504) && causes.any(|cause| cause.reason == "ResourceVersionTooLarge")
}

/// Whether a resource version is before another one. Those that are no numbers have no order.
pub(super) fn is_before(version: &str, other: &str) -> bool {
    let number = |version: &str| version.parse::<u64>().ok();
    number(version).zip(number(other)).is_some_and(|(version, other)| version < other)
}
