//! Passes on the Retry-After header of an error response. kube reads the body of an error only, and an
//! API server that sheds load answers in plain text.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{
    HeaderMap, Request, Response,
    header::{CONTENT_LENGTH, RETRY_AFTER},
};
use http_body_util::{BodyExt as _, Full};
use kube::client::{Body, DynBody};
use serde_json::{Value, json};
use tower::{BoxError, Layer, Service};

use super::bounded::MAX_ERROR_BODY;

/// A layer that writes the seconds of a Retry-After header into the Status in the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryAfter;

impl<S> Layer<S> for RetryAfter {
    type Service = RetryAfterService<S>;

    fn layer(&self, inner: S) -> RetryAfterService<S> {
        RetryAfterService { inner }
    }
}

/// A client service with the layer [`RetryAfter`].
#[derive(Debug, Clone)]
pub(super) struct RetryAfterService<S> {
    inner: S,
}

type ClientResponse = Response<Box<DynBody>>;

impl<S> Service<Request<Body>> for RetryAfterService<S>
where
    S: Service<Request<Body>, Response = ClientResponse, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = ClientResponse;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<ClientResponse, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await?;
            let status = response.status();
            match seconds(response.headers()) {
                Some(seconds) if status.is_client_error() || status.is_server_error() => {
                    Ok(with_seconds(response, seconds).await)
                }
                _ => Ok(response),
            }
        })
    }
}

/// The header's seconds. The API server never sends a date.
fn seconds(headers: &HeaderMap) -> Option<u32> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

async fn with_seconds(response: ClientResponse, seconds: u32) -> ClientResponse {
    let (mut head, mut frames) = response.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(frame)) = frames.frame().await {
        body.extend(frame.into_data().unwrap_or_default());
        if body.len() > MAX_ERROR_BODY {
            body.truncate(MAX_ERROR_BODY);
            break;
        }
    }
    let mut status = serde_json::from_slice(&body).ok().filter(Value::is_object).unwrap_or_else(|| {
        let message = String::from_utf8_lossy(&body).trim().to_owned();
        json!({"kind": "Status", "status": "Failure", "message": message, "code": head.status.as_u16()})
    });
    let is_said = status.pointer("/details/retryAfterSeconds").is_some();
    if !is_said && (status["details"].is_null() || status["details"].is_object()) {
        status["details"]["retryAfterSeconds"] = json!(seconds);
    }
    head.headers.remove(CONTENT_LENGTH);
    let body = Full::from(status.to_string()).map_err(|never| match never {});
    Response::from_parts(head, Box::new(body))
}

#[cfg(test)]
mod tests {
    use kube::Client;
    use tower::service_fn;

    use super::*;
    use crate::client::{RequestError, with_deadline};

    /// The error of a request that a server answers like this.
    async fn error(code: u16, retry_after: &'static str, body: &'static str) -> RequestError {
        let server = service_fn(move |_: Request<Body>| async move {
            let body: Box<DynBody> = Box::new(Full::from(body).map_err(|never| match never {}));
            Ok::<_, BoxError>(Response::builder().status(code).header(RETRY_AFTER, retry_after).body(body)?)
        });
        let client = Client::new(RetryAfter.layer(server), "default");
        let request = Request::get("/").body(Vec::new()).unwrap();
        with_deadline("get it", client.request::<Value>(request)).await.unwrap_err()
    }

    #[tokio::test]
    async fn the_delay_of_the_header_is_read_and_the_servers_words_stay() {
        let busy = "Too many requests, please try again later.";
        let status = r#"{"kind":"Status","message":"busy","reason":"TooManyRequests","code":429,"details":{"name":"a"}}"#;
        let said = r#"{"kind":"Status","message":"busy","code":503,"details":{"retryAfterSeconds":3}}"#;
        for (code, header, body, message, seconds) in [
            (429, "7", busy, busy, Some(7)),
            (429, "7", status, "busy", Some(7)),
            (503, "1", said, "busy", Some(3)),
            (503, "3600", "no", "no", Some(30)),
            (503, "Wed, 21 Oct 2026 07:28:00 GMT", "no", "no", None),
            (503, "7", "[1]", "[1]", Some(7)),
        ] {
            let error = error(code, header, body).await;
            assert_eq!(error.code(), Some(code), "{error}");
            assert_eq!(error.to_string(), format!("get it: {message} (HTTP {code})"));
            assert_eq!(error.retry_after().map(|delay| delay.as_secs()), seconds, "{header} {body}");
        }
    }
}
