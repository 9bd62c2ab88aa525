//! A layer of a Kubernetes client that logs every request and makes some of them fail.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Full};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use parking_lot::Mutex;
use serde_json::json;
use tower::{BoxError, Layer, Service};

use crate::{eventually, met};

/// The limit of a wait for a request.
const LIMIT: Duration = Duration::from_secs(20);

/// A fault that a test injects into a request.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// It is not sent, and is answered with this status.
    Answer(u16),
    /// The API server performs it, but the client gets a 504.
    LoseAnswer,
    /// It is not sent and never answered.
    Hang,
}

/// Which requests fail, and how.
#[derive(Clone, Debug)]
pub struct Rule {
    method: &'static str,
    path: String,
    action: Action,
    left: usize,
    every_second: bool,
    met: HashMap<String, usize>,
    lifted: Arc<Mutex<bool>>,
}

impl Rule {
    /// Requests of this method whose path and query contain the text.
    pub fn new(method: &'static str, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            action: Action::Answer(500),
            left: usize::MAX,
            every_second: false,
            met: HashMap::new(),
            lifted: Arc::default(),
        }
    }

    /// What happens to them instead of an answer with status 500.
    #[must_use]
    pub fn act(mut self, action: Action) -> Self {
        self.action = action;
        self
    }

    /// Only the first `times` of them.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.left = times;
        self
    }

    /// The first request for each object, the third and so on. Counted over all objects, the same
    /// object could fail each time.
    #[must_use]
    pub fn every_second(mut self) -> Self {
        self.every_second = true;
        self
    }

    fn meets(&mut self, method: &str, path: &str) -> Option<Action> {
        if self.method != method || !path.contains(&self.path) || self.left == 0 || *self.lifted.lock() {
            return None;
        }
        let met = self.met.entry(path.split('?').next().unwrap_or_default().to_owned()).or_default();
        *met += 1;
        if self.every_second && met.is_multiple_of(2) {
            return None;
        }
        self.left -= 1;
        Some(self.action)
    }
}

/// A handle to end a rule.
pub struct Lift(Arc<Mutex<bool>>);

impl Lift {
    /// Ends the rule.
    pub fn lift(self) {
        *self.0.lock() = true;
    }
}

/// The rules that are in force, and the log of all requests.
#[derive(Clone, Default)]
pub struct Faults {
    rules: Arc<Mutex<Vec<Rule>>>,
    /// All requests of the client.
    pub log: Log,
}

impl Faults {
    /// Adds a rule. The first rule that matches a request applies.
    pub fn add(&self, rule: Rule) -> Lift {
        let lift = Lift(rule.lifted.clone());
        self.rules.lock().push(rule);
        lift
    }

    /// A client of the cluster of `kubeconfig` with these faults. It does not retry.
    pub async fn client(&self, kubeconfig: &Path) -> anyhow::Result<Client> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        self.client_of(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
    }

    /// A client with these faults for another configuration. It does not retry.
    pub fn client_of(&self, mut config: Config) -> anyhow::Result<Client> {
        config.default_retry = false;
        Ok(ClientBuilder::try_from(config)?.with_layer(self).build())
    }

    fn action(&self, method: &str, path: &str) -> Option<Action> {
        self.rules.lock().iter_mut().find_map(|rule| rule.meets(method, path))
    }
}

/// All requests, each as `METHOD path?query`.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// The number of requests with this method whose path and query contain the text.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.0.lock().iter().filter(|line| line.starts_with(method) && line.contains(path)).count()
    }

    /// All writes but those of the Lease.
    pub fn writes(&self) -> Vec<String> {
        let lines = self.0.lock();
        let is_write = |line: &&String| !line.starts_with("GET") && !line.contains("/leases");
        lines.iter().filter(is_write).cloned().collect()
    }

    /// Forgets all requests so far.
    pub fn clear(&self) {
        self.0.lock().clear();
    }

    /// Waits for the first such request.
    pub async fn eventually(&self, method: &str, path: &str) -> anyhow::Result<()> {
        eventually(&format!("a {method} of {path}"), LIMIT, async || {
            Ok(met(self.count(method, path) > 0, || "none"))
        })
        .await
    }
}

impl<S> Layer<S> for Faults {
    type Service = Faulty<S>;

    fn layer(&self, inner: S) -> Faulty<S> {
        Faulty { inner, faults: self.clone() }
    }
}

/// The service of the layer [`Faults`].
#[derive(Clone)]
pub struct Faulty<S> {
    inner: S,
    faults: Faults,
}

impl<S, B, R> Service<Request<B>> for Faulty<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = BoxError>,
    S::Future: Send + 'static,
    R: hyper::body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Either<R, Full<Bytes>>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (method, path) = (request.method().to_string(), request.uri().to_string());
        self.faults.log.0.lock().push(format!("{method} {path}"));
        match self.faults.action(&method, &path) {
            None => {
                let answer = self.inner.call(request);
                Box::pin(async move { Ok(answer.await?.map(Either::Left)) })
            }
            Some(Action::Answer(code)) => Box::pin(async move { Ok(failure(code).map(Either::Right)) }),
            Some(Action::LoseAnswer) => {
                let answer = self.inner.call(request);
                Box::pin(async move {
                    answer.await?;
                    Ok(failure(504).map(Either::Right))
                })
            }
            Some(Action::Hang) => Box::pin(std::future::pending()),
        }
    }
}

fn failure(code: u16) -> Response<Full<Bytes>> {
    let reason = if code == 409 { "Conflict" } else { "Injected" };
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason,
        "message": format!("the test answers {code}"),
    });
    let mut answer = Response::new(Full::from(status.to_string()));
    *answer.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    answer
}
