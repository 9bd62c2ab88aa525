//! Counts each request to the API server by verb and outcome. Both labels have small fixed sets of
//! values.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Method, Request, Response, header::CONTENT_TYPE};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tower::{Layer, Service};

/// The metric `api_requests_total{verb, code}`, as a layer of the client.
#[derive(Debug, Clone, Default)]
pub struct RequestMetrics {
    total: Family<RequestLabels, Counter>,
}

impl RequestMetrics {
    /// Adds the metric to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "api_requests",
            "Requests to the API server by verb and HTTP status code; the code is error if no \
             response arrived, and canceled if the caller stopped waiting for it",
            self.total.clone(),
        );
    }

    #[cfg(test)]
    fn count(&self, verb: &'static str, code: ResponseCode) -> u64 {
        self.total.get_or_create(&RequestLabels { verb, code }).get()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    code: ResponseCode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ResponseCode {
    Status(u16),
    Error,
    Canceled,
}

impl EncodeLabelValue for ResponseCode {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), fmt::Error> {
        match self {
            Self::Status(status) => status.encode(encoder),
            Self::Error => "error".encode(encoder),
            Self::Canceled => "canceled".encode(encoder),
        }
    }
}

/// The verb as in RBAC and the audit log, except that a server-side apply is `apply` and not
/// `patch`. kube puts the name of the method that built a request into its extensions.
fn verb<B>(request: &Request<B>) -> &'static str {
    let applied =
        request.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/apply-patch+yaml");
    match request.extensions().get::<&'static str>().copied() {
        Some(name) if name.starts_with("delete_collection") => "deletecollection",
        Some(name) if name.starts_with("list") => "list",
        Some(name) if name.starts_with("watch") => "watch",
        _ => match *request.method() {
            Method::GET => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH if applied => "apply",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "other",
        },
    }
}

impl<S> Layer<S> for RequestMetrics {
    type Service = MeteredService<S>;

    fn layer(&self, inner: S) -> MeteredService<S> {
        MeteredService { inner, requests: self.clone() }
    }
}

/// A client service that counts its requests.
#[derive(Debug, Clone)]
pub struct MeteredService<S> {
    inner: S,
    requests: RequestMetrics,
}

impl<S, B, R> Service<Request<B>> for MeteredService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut pending =
            Pending { requests: self.requests.clone(), verb: verb(&request), code: ResponseCode::Canceled };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            pending.finished(&answer);
            answer
        })
    }
}

/// Counts on drop, so that a request whose caller stopped waiting is counted too.
struct Pending {
    requests: RequestMetrics,
    verb: &'static str,
    code: ResponseCode,
}

impl Pending {
    fn finished<R, E>(&mut self, answer: &Result<Response<R>, E>) {
        self.code = answer
            .as_ref()
            .map_or(ResponseCode::Error, |response| ResponseCode::Status(response.status().as_u16()));
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.requests.total.get_or_create(&RequestLabels { verb: self.verb, code: self.code }).inc();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower::{ServiceExt as _, service_fn};

    use super::*;

    fn request(method: Method, name: Option<&'static str>, content_type: &str) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        request.headers_mut().insert(CONTENT_TYPE, content_type.parse().unwrap());
        request.extensions_mut().extend(
            name.map(|name| {
                let mut extensions = http::Extensions::new();
                extensions.insert(name);
                extensions
            })
            .unwrap_or_default(),
        );
        request
    }

    #[test]
    fn every_request_has_one_of_a_few_verbs() {
        let json = "application/json";
        let table = [
            (Method::GET, Some("get"), json, "get"),
            (Method::GET, None, json, "get"),
            (Method::GET, Some("list"), json, "list"),
            (Method::GET, Some("watch"), json, "watch"),
            (Method::POST, Some("create"), json, "create"),
            (Method::PUT, Some("replace"), json, "update"),
            (Method::PATCH, Some("patch_status"), "application/apply-patch+yaml", "apply"),
            (Method::PATCH, Some("patch_scale"), "application/merge-patch+json", "patch"),
            (Method::DELETE, Some("delete"), json, "delete"),
            (Method::DELETE, Some("delete_collection"), json, "deletecollection"),
            (Method::OPTIONS, None, json, "other"),
        ];
        for (method, name, content_type, expected) in table {
            assert_eq!(verb(&request(method, name, content_type)), expected);
        }
    }

    #[tokio::test]
    async fn responses_errors_and_canceled_requests_are_counted_separately() {
        let requests = RequestMetrics::default();
        let answering = requests.layer(service_fn(|_: Request<()>| async {
            Ok::<_, std::io::Error>(Response::builder().status(404).body(()).unwrap())
        }));
        let failing = requests.layer(service_fn(|_: Request<()>| async {
            Err::<Response<()>, _>(std::io::Error::other("gone"))
        }));
        let silent = requests.layer(service_fn(|_: Request<()>| {
            std::future::pending::<Result<Response<()>, std::io::Error>>()
        }));
        answering.oneshot(Request::new(())).await.unwrap();
        failing.oneshot(Request::new(())).await.unwrap_err();
        tokio::time::timeout(Duration::from_millis(1), silent.oneshot(Request::new(()))).await.unwrap_err();
        assert_eq!(requests.count("get", ResponseCode::Status(404)), 1);
        assert_eq!(requests.count("get", ResponseCode::Error), 1);
        assert_eq!(requests.count("get", ResponseCode::Canceled), 1);
    }
}
