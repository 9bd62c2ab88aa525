//! One HTTP request and its response: the route, the limits, the body.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use kcg_api::escape;
use kcg_core::text::one_line;
use kcg_runtime::peer::Peer;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::fair_semaphore::{FairPermit, FairSemaphore};
use super::handler_error::HandlerError;
use super::limits::Limits;
use super::refusal_limit::RefusalLimit;
use crate::admit::{Admission, Stage};
use crate::log_limit::LogLimit;
use crate::metrics::WebhookMetrics;
use crate::review::{self, Denial, ReviewOutcome, ReviewResponse};

/// The most bytes of what a log line names of a denial. With the namespace and the name, the line has
/// about 1 KiB.
const MAX_FAULTS: usize = 600;

/// Handles the requests of all connections.
#[derive(Debug)]
pub(super) struct RequestHandler<A> {
    admission: Arc<A>,
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: WebhookMetrics,
    in_flight: Arc<FairSemaphore>,
    large_bodies: Arc<FairSemaphore>,
    workers: Arc<FairSemaphore>,
    denials: RefusalLimit,
    invalid: RefusalLimit,
    invalid_log: LogLimit,
    denial_log: LogLimit,
}

/// A response, and whether a part of the request was not read: the client may still be sending it.
pub(super) struct Handled {
    pub(super) response: Response<Full<Bytes>>,
    pub(super) unread: bool,
    /// Of a review: to release once the response is written.
    pub(super) permits: Option<Permits>,
}

/// The places that a request occupies until its response is written.
#[derive(Debug)]
pub(super) struct Permits {
    _in_flight: FairPermit,
    _large_body: Option<FairPermit>,
}

impl Permits {
    pub(super) const fn for_review(in_flight: FairPermit, large_body: Option<FairPermit>) -> Self {
        Self { _in_flight: in_flight, _large_body: large_body }
    }
}

impl<A: Admission> RequestHandler<A> {
    pub(super) fn new(admission: A, limits: Arc<Limits>, metrics: WebhookMetrics) -> Self {
        Self {
            admission: Arc::new(admission),
            metrics,
            in_flight: FairSemaphore::new(limits.in_flight, limits.in_flight_per_client),
            large_bodies: FairSemaphore::new(limits.large_bodies, limits.large_bodies_per_client),
            workers: FairSemaphore::new(limits.workers, limits.workers_per_client),
            denials: RefusalLimit::new(limits.denials, limits.denials_per_second),
            invalid: RefusalLimit::new(limits.invalid, limits.invalid_per_second),
            invalid_log: LogLimit::new(5, Duration::from_secs(10)),
            denial_log: LogLimit::new(200, Duration::from_secs(10)),
            limits,
        }
    }

    /// Handles one request. Once `draining` is cancelled, the response asks the client to close the
    /// connection and send its next request to another replica.
    pub(super) async fn handle(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        draining: &CancellationToken,
    ) -> Handled {
        let started = Instant::now();
        let (head, mut body) = request.into_parts();
        let result = match self.check_head(&head) {
            Ok(stage) => self
                .review(stage, peer, &head.headers, &mut body, started)
                .await
                .inspect(|_| self.metrics.record_duration(stage, started.elapsed())),
            Err(error) => Err(error),
        };
        let unread = !body.is_end_stream();
        let (mut response, permits) = match result {
            Ok((bytes, permits)) => (json(bytes), Some(permits)),
            Err(error) => {
                if error.status().is_client_error() {
                    self.slow_down(peer, draining).await;
                }
                (self.error_response(&error), None)
            }
        };
        if unread || draining.is_cancelled() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Handled { response, unread, permits }
    }

    /// Counts a request that is no review, and makes a client wait that sends too many: over its
    /// connections it sends no more than the limit, and the cores are left to others.
    async fn slow_down(&self, peer: Peer, draining: &CancellationToken) {
        if self.invalid.allows(peer) {
            self.invalid.count(peer);
        } else {
            draining.run_until_cancelled(sleep(self.limits.penalty)).await;
        }
    }

    /// Decides what the head alone can decide, so that nothing of a hopeless body is read.
    fn check_head(&self, head: &http::request::Parts) -> Result<Stage, HandlerError> {
        let stage = match head.uri.path() {
            "/mutate" => Stage::Mutate,
            "/validate" => Stage::Validate,
            _ => return Err(HandlerError::NoSuchPath),
        };
        if head.method != Method::POST {
            return Err(HandlerError::NotPost);
        }
        if !is_json(&head.headers) {
            return Err(HandlerError::NotJson);
        }
        let limit = self.limits.body_bytes;
        if content_length(&head.headers).is_some_and(|length| length > limit as u64) {
            return Err(HandlerError::TooLarge { limit });
        }
        Ok(stage)
    }

    async fn review(
        &self,
        stage: Stage,
        peer: Peer,
        headers: &HeaderMap,
        body: &mut Incoming,
        started: Instant,
    ) -> Result<(Vec<u8>, Permits), HandlerError> {
        let deadline = started + self.limits.request;
        if !self.denials.allows(peer) {
            return Err(HandlerError::TooManyDenials);
        }
        let (bytes, large_body) = timeout_at(deadline, self.collect(peer, headers, body))
            .await
            .map_err(|_| HandlerError::TooSlow)??;
        let in_flight = self.in_flight.try_acquire(peer).ok_or(HandlerError::Busy)?;
        let permits = Permits::for_review(in_flight, large_body);
        let (response, permits) = timeout_at(deadline, self.decide(stage, peer, bytes, permits))
            .await
            .map_err(|_| HandlerError::Overdue)??;
        self.metrics.count_review(&response.outcome);
        if let Some(denial) = &response.denial {
            self.denials.count(peer);
            self.log_denial(response.outcome, denial);
        }
        Ok((response.bytes, permits))
    }

    /// Decides the review on a thread that serves no connection, unless that is quick. If the caller
    /// stops waiting, that thread keeps the permits until it is done.
    async fn decide(
        &self,
        stage: Stage,
        peer: Peer,
        body: Bytes,
        permits: Permits,
    ) -> Result<(ReviewResponse, Permits), HandlerError> {
        if self.admission.is_quick(&body) {
            let decide = AssertUnwindSafe(|| review::respond(stage, &body, &*self.admission));
            let decided = catch_unwind(decide).map_err(|_| HandlerError::Panicked)?;
            return Ok((decided?, permits));
        }
        let worker = self.workers.acquire(peer).await;
        let admission = Arc::clone(&self.admission);
        let decided = spawn_blocking(move || {
            let response = review::respond(stage, &body, &*admission);
            drop(worker);
            response.map(|response| (response, permits))
        });
        Ok(decided.await.map_err(|_| HandlerError::Panicked)??)
    }

    /// Reads the whole body. A body in one piece is not copied; a large one waits for its turn
    /// before the server buffers it.
    async fn collect(
        &self,
        peer: Peer,
        headers: &HeaderMap,
        body: &mut Incoming,
    ) -> Result<(Bytes, Option<FairPermit>), HandlerError> {
        let Some(first) = next_chunk(body).await? else {
            return Ok((Bytes::new(), None));
        };
        if body.is_end_stream() {
            return Ok((first, None));
        }
        let mut large = None;
        let expected =
            content_length(headers).and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        // On a connection that has carried large bodies, the first piece alone can be a large one.
        let mut whole = Vec::with_capacity(expected.min(self.limits.small_body_bytes).max(first.len()));
        whole.extend_from_slice(&first);
        while let Some(chunk) = next_chunk(body).await? {
            let length = whole.len() + chunk.len();
            if length > self.limits.body_bytes {
                return Err(HandlerError::TooLarge { limit: self.limits.body_bytes });
            }
            if large.is_none() && length > self.limits.small_body_bytes {
                large = Some(self.large_bodies.acquire(peer).await);
                whole.reserve_exact(expected.saturating_sub(whole.len()));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok((whole.into(), large))
    }

    /// One log line for each denial. The limit cuts off a flood, which the API server alone never
    /// causes.
    fn log_denial(&self, outcome: ReviewOutcome, denial: &Denial) {
        if let Some(suppressed) = self.denial_log.pass() {
            tracing::info!(
                operation = ?outcome.operation,
                reason = outcome.reason,
                namespace = %one_line(&denial.namespace, 63),
                name = %one_line(&denial.name, 253),
                suppressed,
                "denied: {}",
                one_line(&denial.faults, MAX_FAULTS),
            );
        }
    }

    fn error_response(&self, error: &HandlerError) -> Response<Full<Bytes>> {
        let status = error.status();
        self.metrics.count_invalid_request(status);
        if let Some(suppressed) = self.invalid_log.pass() {
            let reason = one_line(&error.to_string(), 200);
            tracing::warn!(status = status.as_u16(), suppressed, %reason, "invalid request");
        }
        let mut response = Response::new(Full::from(format!("{}\n", escape::line(&error.to_string()))));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if matches!(error, HandlerError::NotPost) {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            // In seconds.
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn json(bytes: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The next bytes of the body; trailers are skipped.
async fn next_chunk(body: &mut Incoming) -> Result<Option<Bytes>, HandlerError> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| HandlerError::BadFrame)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Whether the body is application/json, with any parameters, and not compressed: the server never
/// decompresses anything.
fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let plain = headers
        .get(CONTENT_ENCODING)
        .is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    plain && essence.eq_ignore_ascii_case("application/json")
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
