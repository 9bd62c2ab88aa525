//! A request whose response is read up to a bound. The API server answers most requests itself, with
//! objects that it bounds; what it only passes on, from an aggregated API, can have any length, and a
//! list has as many objects as users create.

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kube::client::Body;
use kube::core::Status;
use kube::{Client, Error};
use serde::de::DeserializeOwned;

use super::{RequestError, with_deadline};

/// The longest response of one object, in bytes: etcd holds 1.5 MiB of it, and as JSON it can be longer.
pub const MAX_OBJECT: usize = 32 << 20;
/// The longest body of an error response that is read, in bytes. That of a rejected object may quote it.
pub(super) const MAX_ERROR_BODY: usize = 1 << 20;

/// Gets the object at `path` under the usual deadline. A response of more than `max` bytes is an
/// error and is read no further.
pub async fn get_bounded<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    max: usize,
) -> Result<T, RequestError> {
    let body = body(client, path, max).await?;
    serde_json::from_slice(&body)
        .map_err(|error| RequestError::new(format!("get {path}"), Error::SerdeError(error)))
}

/// Like [`get_bounded`] for a text. Bytes that are not UTF-8 are replaced.
pub async fn get_bounded_text(client: &Client, path: &str, max: usize) -> Result<String, RequestError> {
    Ok(String::from_utf8_lossy(&body(client, path, max).await?).into_owned())
}

/// The body of a successful response.
async fn body(client: &Client, path: &str, max: usize) -> Result<Vec<u8>, RequestError> {
    let what = format!("get {path}");
    let request = Request::get(path).body(Vec::new()).map_err(Error::HttpError);
    send_bounded(client, what, request, max).await
}

/// Sends a request and returns the body of its successful response. A response of more than `max`
/// bytes is [`RequestError::TooLarge`] and is read no further. Of an error response that is too long only
/// the status code is kept.
pub async fn send_bounded(
    client: &Client,
    what: String,
    request: kube::Result<Request<Vec<u8>>>,
    max: usize,
) -> Result<Vec<u8>, RequestError> {
    match with_deadline(&what, read(client, request, max)).await? {
        Some((status, body)) if status.is_success() => Ok(body),
        Some((status, body)) => Err(RequestError::new(what, Error::Api(failure(status, &body).boxed()))),
        None => Err(RequestError::TooLarge { what, max }),
    }
}

/// The status and the body of the response; `None` if the body is too large.
async fn read(
    client: &Client,
    request: kube::Result<Request<Vec<u8>>>,
    max: usize,
) -> kube::Result<Option<(StatusCode, Vec<u8>)>> {
    let (head, body) = client.send(request?.map(Body::from)).await?.into_parts();
    let max = if head.status.is_success() { max } else { MAX_ERROR_BODY };
    match Limited::new(body, max).collect().await {
        Ok(body) => Ok(Some((head.status, body.to_bytes().into()))),
        Err(error) if error.is::<LengthLimitError>() && head.status.is_success() => Ok(None),
        Err(error) if error.is::<LengthLimitError>() => {
            let text = format!("the error response is longer than {max} bytes");
            Ok(Some((head.status, text.into_bytes())))
        }
        Err(error) => Err(Error::Service(error)),
    }
}

/// The error in a response, which need not be a Status.
fn failure(status: StatusCode, body: &[u8]) -> Status {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        Status::failure(String::from_utf8_lossy(body).trim(), "").with_code(status.as_u16())
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{Stream, StreamExt as _, stream};
    use http::Response;
    use http_body_util::StreamBody;
    use hyper::body::{Bytes, Frame};
    use serde_json::{Value, json};
    use tower::service_fn;

    use super::*;

    /// The client of a server that sends each response in these parts.
    fn client(status: u16, parts: impl Stream<Item = &'static [u8]> + Clone + Send + 'static) -> Client {
        let server = service_fn(move |_: Request<Body>| {
            let frames = parts.clone().map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from_static(part))));
            async move { Response::builder().status(status).body(StreamBody::new(frames)) }
        });
        Client::new(server, "default")
    }

    async fn get(
        status: u16,
        parts: impl Stream<Item = &'static [u8]> + Clone + Send + 'static,
        max: usize,
    ) -> Result<Value, RequestError> {
        get_bounded(&client(status, parts), "/apis/a", max).await
    }

    #[tokio::test]
    async fn a_text_is_read_up_to_its_bound() {
        let client = client(200, stream::iter([&b"a 1\n"[..], &b"\xff"[..]]));
        assert_eq!(get_bounded_text(&client, "/metrics", 5).await.unwrap(), "a 1\n\u{fffd}");
        let error = get_bounded_text(&client, "/metrics", 4).await.unwrap_err();
        assert_eq!(error.to_string(), "get /metrics: the response is longer than 4 bytes");
    }

    fn text(body: &'static str) -> impl Stream<Item = &'static [u8]> + Clone + Send {
        stream::iter([body.as_bytes()])
    }

    fn endless() -> impl Stream<Item = &'static [u8]> + Clone + Send {
        stream::repeat(&[b' '; 1024][..])
    }

    #[tokio::test]
    async fn a_response_is_read_up_to_its_bound() {
        let body = || text(r#"{"a":1}"#);
        assert_eq!(get(200, body(), 7).await.unwrap(), json!({"a": 1}));
        let error = get(200, body(), 6).await.unwrap_err();
        assert_eq!(error.to_string(), "get /apis/a: the response is longer than 6 bytes");
        assert!(matches!(get(200, endless(), 1 << 20).await, Err(RequestError::TooLarge { .. })));
    }

    #[tokio::test]
    async fn an_error_is_bounded_too_and_keeps_the_servers_words() {
        let status = r#"{"kind":"Status","message":"busy","reason":"TooManyRequests","code":429}"#;
        for (code, body, message) in [(429, status, "busy"), (503, "unavailable\n", "unavailable")] {
            let error = get(code, text(body), 1).await.unwrap_err();
            assert_eq!(error.to_string(), format!("get /apis/a: {message} (HTTP {code})"));
        }
        let error = get(503, endless(), 1).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "get /apis/a: the error response is longer than 1048576 bytes (HTTP 503)"
        );
    }
}
