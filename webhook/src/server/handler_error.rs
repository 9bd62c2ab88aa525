//! The HTTP errors of the admission port.

use http::StatusCode;

use crate::review::ReviewError;

/// Why a request gets an HTTP error instead of a review.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandlerError {
    #[error("no such path: send reviews to /mutate or /validate")]
    NoSuchPath,
    #[error("only POST is allowed here")]
    NotPost,
    #[error("the body must be application/json and not compressed")]
    NotJson,
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body is incomplete or badly framed")]
    BadFrame,
    #[error(transparent)]
    Review(#[from] ReviewError),
    #[error("too many requests at once: try again")]
    Busy,
    #[error("the review could not be decided in time: try again")]
    Overdue,
    #[error("too many denied reviews from this address: try again later")]
    TooManyDenials,
    #[error("the review could not be decided")]
    Panicked,
}

impl HandlerError {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::NotPost => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Review(ReviewError::Serialize(_)) | Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TooManyDenials => StatusCode::TOO_MANY_REQUESTS,
            Self::BadFrame | Self::Review(_) => StatusCode::BAD_REQUEST,
            Self::Busy | Self::Overdue => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
