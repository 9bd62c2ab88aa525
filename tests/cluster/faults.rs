//! A layer of the client: logs every request, and lets some go wrong.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Full};
use serde_json::json;
use tower::{BoxError, Layer, Service};

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// It is not sent; this status is the answer.
    Answer(u16),
    /// It is sent and done, and the answer is a 504.
    LoseAnswer,
    /// It is not sent, and no answer comes.
    Hang,
}

/// Which requests go wrong, and how.
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

    pub fn act(mut self, action: Action) -> Self {
        self.action = action;
        self
    }

    pub fn times(mut self, times: usize) -> Self {
        self.left = times;
        self
    }

    /// The first for each object, its third and so on. Counted over all objects, the one that fails could be the same
    /// again and again while the others take turns with it.
    pub fn every_second(mut self) -> Self {
        self.every_second = true;
        self
    }

    fn meets(&mut self, method: &str, path: &str) -> Option<Action> {
        if self.method != method || !path.contains(&self.path) || self.left == 0 || *lock(&self.lifted) {
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

/// Ends a rule.
pub struct Lift(Arc<Mutex<bool>>);

impl Lift {
    pub fn lift(self) {
        *lock(&self.0) = true;
    }
}

#[derive(Clone, Default)]
pub struct Faults {
    rules: Arc<Mutex<Vec<Rule>>>,
    pub log: Log,
}

impl Faults {
    pub fn add(&self, rule: Rule) -> Lift {
        let lift = Lift(rule.lifted.clone());
        lock(&self.rules).push(rule);
        lift
    }

    fn of(&self, method: &str, path: &str) -> Option<Action> {
        lock(&self.rules).iter_mut().find_map(|rule| rule.meets(method, path))
    }
}

/// Every request that was made, as `METHOD path?query`.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn count(&self, method: &str, path: &str) -> usize {
        lock(&self.0).iter().filter(|line| line.starts_with(method) && line.contains(path)).count()
    }

    /// All but those for the Lease.
    pub fn writes(&self) -> Vec<String> {
        let lines = lock(&self.0);
        let is_write = |line: &&String| !line.starts_with("GET") && !line.contains("/leases");
        lines.iter().filter(is_write).cloned().collect()
    }

    pub fn clear(&self) {
        lock(&self.0).clear();
    }

    pub async fn awaits(&self, method: &str, path: &str, limit: Duration) -> Result<(), BoxError> {
        let began = Instant::now();
        while self.count(method, path) == 0 {
            if began.elapsed() > limit {
                return Err(format!("no {method} of {path}").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// A poisoned lock holds plain values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl<S> Layer<S> for Faults {
    type Service = Faulty<S>;

    fn layer(&self, inner: S) -> Faulty<S> {
        Faulty { inner, faults: self.clone() }
    }
}

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
        lock(&self.faults.log.0).push(format!("{method} {path}"));
        match self.faults.of(&method, &path) {
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
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": "Injected",
        "message": format!("the test says {code}"),
    });
    let mut answer = Response::new(Full::from(status.to_string()));
    *answer.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    answer
}
