//! One HTTP request and its answer: the route, the limits, the body. Floor 3.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::limits::Limits;
use crate::admit::{Admission, Stage};
use crate::metrics::Metrics;
use crate::review::{self, Outcome, Refusal};
use crate::throttle::{Throttle, harmless};

/// What all exchanges share.
#[derive(Debug)]
pub(super) struct Exchange<A> {
    pub(super) admission: A,
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: Metrics,
    in_flight: Semaphore,
    large_bodies: Arc<Semaphore>,
    malformed: Throttle,
    denials: Throttle,
}

/// An answer, and whether the client may still be sending what nobody reads.
pub(super) struct Answered {
    pub(super) response: Response<Full<Bytes>>,
    pub(super) unread: bool,
}

/// Why a request gets no review. Everything here is the client's doing, but the last.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("no such path: reviews go to /mutate and /validate")]
    NoSuchPath,
    #[error("only POST is answered here")]
    NotPost,
    #[error("the body must be application/json, and not compressed")]
    NotJson,
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body is broken off or badly framed")]
    BadFrame,
    #[error(transparent)]
    Malformed(#[from] review::Malformed),
    #[error("too many requests at once: try again")]
    Busy,
}

impl Refused {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPath => StatusCode::NOT_FOUND,
            Self::NotPost => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Malformed(review::Malformed::Answer(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::BadFrame | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl<A: Admission> Exchange<A> {
    pub(super) fn new(admission: A, limits: Arc<Limits>, metrics: Metrics) -> Self {
        Self {
            admission,
            metrics,
            in_flight: Semaphore::new(limits.in_flight),
            large_bodies: Arc::new(Semaphore::new(limits.large_bodies)),
            malformed: Throttle::new(5, Duration::from_secs(10)),
            denials: Throttle::new(200, Duration::from_secs(10)),
            limits,
        }
    }

    /// Answers one request. Once `quiet` has begun, it asks the client to take its next request
    /// elsewhere.
    pub(super) async fn answer(&self, request: Request<Incoming>, quiet: &CancellationToken) -> Answered {
        let began = Instant::now();
        let (head, mut body) = request.into_parts();
        let outcome = match self.accept(&head) {
            Ok(stage) => self
                .review(stage, &head.headers, &mut body, began)
                .await
                .inspect(|_| self.metrics.answered(stage, began.elapsed())),
            Err(refused) => Err(refused),
        };
        let unread = !body.is_end_stream();
        let mut response = match outcome {
            Ok(bytes) => json(bytes),
            Err(refused) => self.refuse(&refused),
        };
        if unread || quiet.is_cancelled() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Answered { response, unread }
    }

    /// What the head alone can decide, so that nothing of a hopeless body is read.
    fn accept(&self, head: &http::request::Parts) -> Result<Stage, Refused> {
        let stage = match head.uri.path() {
            "/mutate" => Stage::Mutate,
            "/validate" => Stage::Validate,
            _ => return Err(Refused::NoSuchPath),
        };
        if head.method != Method::POST {
            return Err(Refused::NotPost);
        }
        if !is_json(&head.headers) {
            return Err(Refused::NotJson);
        }
        let limit = self.limits.body_bytes;
        if announced(&head.headers).is_some_and(|length| length > limit as u64) {
            return Err(Refused::TooLarge { limit });
        }
        Ok(stage)
    }

    async fn review(
        &self,
        stage: Stage,
        headers: &HeaderMap,
        body: &mut Incoming,
        began: Instant,
    ) -> Result<Vec<u8>, Refused> {
        let deadline = began + self.limits.request;
        let (bytes, _large) =
            timeout_at(deadline, self.collect(headers, body)).await.map_err(|_| Refused::TooSlow)??;
        let _place = self.in_flight.try_acquire().map_err(|_| Refused::Busy)?;
        let answer = review::answer(stage, &bytes, &self.admission)?;
        self.metrics.admission(&answer.outcome);
        if let Some(refusal) = &answer.refusal {
            self.denied(answer.outcome, refusal);
        }
        Ok(answer.bytes)
    }

    /// The whole body. One that comes in one piece is not copied; a large one waits for its turn before it is kept.
    async fn collect(
        &self,
        headers: &HeaderMap,
        body: &mut Incoming,
    ) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Refused> {
        let Some(first) = next_chunk(body).await? else {
            return Ok((Bytes::new(), None));
        };
        if body.is_end_stream() {
            return Ok((first, None));
        }
        let mut turn = None;
        let expected = announced(headers).and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        let mut whole = Vec::with_capacity(expected.clamp(first.len(), self.limits.small_body_bytes));
        whole.extend_from_slice(&first);
        while let Some(chunk) = next_chunk(body).await? {
            let length = whole.len() + chunk.len();
            if length > self.limits.body_bytes {
                return Err(Refused::TooLarge { limit: self.limits.body_bytes });
            }
            if turn.is_none() && length > self.limits.small_body_bytes {
                let permit = Arc::clone(&self.large_bodies).acquire_owned().await;
                turn = Some(permit.map_err(|_| Refused::Busy)?);
                whole.reserve_exact(expected.saturating_sub(whole.len()));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok((whole.into(), turn))
    }

    /// One event for each denial; a flood of them, which only somebody other than the API server sends, is cut.
    fn denied(&self, outcome: Outcome, refusal: &Refusal) {
        if let Some(suppressed) = self.denials.pass() {
            tracing::info!(
                operation = ?outcome.operation,
                reason = outcome.reason,
                namespace = %harmless(&refusal.namespace, 63),
                name = %harmless(&refusal.name, 253),
                suppressed,
                "refused: {}",
                harmless(&refusal.message, 1000),
            );
        }
    }

    fn refuse(&self, refused: &Refused) -> Response<Full<Bytes>> {
        let status = refused.status();
        self.metrics.rejected(status);
        if let Some(suppressed) = self.malformed.pass() {
            tracing::warn!(status = status.as_u16(), suppressed, reason = %harmless(&refused.to_string(), 200), "request refused");
        }
        let mut response = Response::new(Full::from(format!("{refused}\n")));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if matches!(refused, Refused::NotPost) {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

fn json(bytes: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The next bytes of the body; trailers are passed over.
async fn next_chunk(body: &mut Incoming) -> Result<Option<Bytes>, Refused> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| Refused::BadFrame)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// application/json with any parameters, plain: nothing is ever decompressed here.
fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let plain = headers
        .get(CONTENT_ENCODING)
        .is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    plain && essence.eq_ignore_ascii_case("application/json")
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
