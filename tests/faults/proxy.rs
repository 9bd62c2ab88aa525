//! A proxy between one operator and the API server: TLS to both. It knows each request by verb and
//! resource, logs it, and lets it meet the faults of a plan.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kcg_devcluster::https::server_config;
use kcg_devcluster::pki::Ca;
use kube::client::Body;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;
use tower::BoxError;

use crate::events::{self, Stream};
use crate::faults::Faults;
use crate::log::Log;
use crate::plan::{Fault, When};
use crate::request::RequestId;

/// How long the request is not forwarded during which the operator gets SIGTERM.
const STALLED: Duration = Duration::from_secs(3);

pub type Answer = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>>;

/// What all proxies to one API server share: the client, which adds no credentials of its own, and the
/// certificate.
#[derive(Clone)]
pub struct Upstream {
    client: Client,
    acceptor: TlsAcceptor,
    ca: Arc<str>,
}

/// What a fault does besides the request.
pub struct Hooks {
    /// Kills the operator's process.
    pub kill: Box<dyn Fn() + Send + Sync>,
    /// Sends SIGTERM to it.
    pub term: Box<dyn Fn() + Send + Sync>,
    /// Deletes the groups.
    pub remove: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

impl Hooks {
    /// For plans that need none.
    pub fn none() -> Self {
        Self { kill: Box::new(|| {}), term: Box::new(|| {}), remove: Box::new(|| Box::pin(async {})) }
    }
}

/// A running proxy.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

struct Shared {
    client: Client,
    faults: Faults,
    log: Log,
    hooks: Hooks,
}

impl Upstream {
    pub async fn of(kubeconfig: &Path) -> Result<Self> {
        let mut kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        for user in &mut kubeconfig.auth_infos {
            user.auth_info = Some(AuthInfo::default());
        }
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.default_retry = false;
        config.read_timeout = None;
        let ca = Ca::new("fault-proxy")?;
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&ca.server(&["127.0.0.1"])?)?));
        Ok(Self { client: Client::try_from(config)?, acceptor, ca: ca.certificate().into() })
    }
}

impl Proxy {
    pub async fn start(upstream: &Upstream, faults: Faults, hooks: Hooks) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Shared { client: upstream.client.clone(), faults, log: Log::default(), hooks };
        let shared = Arc::new(shared);
        let accepting = accept(listener, upstream.acceptor.clone(), shared.clone());
        Ok(Self { shared, address, _task: AbortOnDropHandle::new(tokio::spawn(accepting)) })
    }

    /// All requests so far.
    pub fn log(&self) -> &Log {
        &self.shared.log
    }

    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Writes a copy of a kubeconfig with the proxy as its server.
    pub fn kubeconfig(&self, upstream: &Upstream, original: &Path, copy: PathBuf) -> Result<PathBuf> {
        use base64::Engine as _;
        let mut config = Kubeconfig::read_from(original)?;
        let cluster = config.clusters.first_mut().and_then(|named| named.cluster.as_mut());
        let cluster = cluster.context("the kubeconfig has no cluster")?;
        cluster.server = Some(format!("https://{}", self.address));
        cluster.certificate_authority = None;
        cluster.certificate_authority_data =
            Some(base64::engine::general_purpose::STANDARD.encode(&*upstream.ca));
        std::fs::write(&copy, serde_json::to_vec(&config)?)?;
        Ok(copy)
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            // A connection that the operator gives up ends with an error, which is no fault of ours.
            let _ = serve(stream, acceptor, shared).await;
        });
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) -> Result<()> {
    stream.set_nodelay(true)?;
    let socket = Arc::new(stream.as_fd().try_clone_to_owned()?);
    let stream = TokioIo::new(acceptor.accept(stream).await?);
    let service = service_fn(move |request| answer(shared.clone(), socket.clone(), request));
    Ok(hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await?)
}

/// Ends the connection without an answer.
fn closed<T>() -> Result<T, BoxError> {
    Err(io::Error::from(io::ErrorKind::ConnectionAborted).into())
}

async fn answer(
    shared: Arc<Shared>,
    socket: Arc<OwnedFd>,
    request: Request<Incoming>,
) -> Result<Answer, BoxError> {
    let uri = request.uri();
    let id = RequestId::of(request.method().as_str(), uri.path(), uri.query().unwrap_or_default());
    let fault = shared.faults.meet(&id);
    let entry = shared.log.begin(&id);
    match fault {
        Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
        Some(Fault::Drop(When::Before)) => return closed(),
        Some(Fault::Answer(code, When::Before, retry)) => {
            entry.answered(code);
            return failure(code, retry);
        }
        Some(Fault::Reset) => {
            SockRef::from(&*socket).set_linger(Some(Duration::ZERO))?;
            return closed();
        }
        Some(Fault::Stall) => return std::future::pending().await,
        Some(Fault::Kill(When::Before)) => {
            (shared.hooks.kill)();
            return closed();
        }
        Some(Fault::Late(time)) => {
            let request = forwarded(request).await?;
            (shared.hooks.kill)();
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                shared.client.send(request).await
            });
            return closed();
        }
        Some(Fault::Term) => {
            (shared.hooks.term)();
            tokio::time::sleep(STALLED).await;
        }
        Some(Fault::Remove) => (shared.hooks.remove)().await,
        _ => {}
    }
    let path = request.uri().path().to_owned();
    let (mut head, body) = shared.client.send(forwarded(request).await?).await?.into_parts();
    // The length is that of the body that is sent, and none of a stream.
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.remove(header::TRANSFER_ENCODING);
    if id.verb == "watch" && head.status.is_success() && !is_of_answer(fault) {
        entry.answered(head.status.as_u16());
        let stream = Stream::new(body, shared.faults.clone(), shared.log.clone(), &id.resource);
        let body = StreamBody::new(events::with_fault(stream, fault));
        return Ok(Response::from_parts(head, BodyExt::boxed_unsync(body)));
    }
    let body = body.collect().await?.to_bytes();
    match fault {
        Some(Fault::Drop(When::After)) => return closed(),
        Some(Fault::Answer(code, When::After, retry)) => {
            entry.answered(code);
            return failure(code, retry);
        }
        Some(Fault::Kill(When::After)) => {
            (shared.hooks.kill)();
            return closed();
        }
        _ => entry.answered(head.status.as_u16()),
    }
    let body = if id.verb == "list" { shared.faults.replay(&path, &body, fault) } else { body };
    Ok(Response::from_parts(head, changed(body, fault)))
}

/// Whether the fault is of the answer as a whole, also of a watch.
fn is_of_answer(fault: Option<Fault>) -> bool {
    matches!(fault, Some(Fault::Drop(_) | Fault::Answer(..) | Fault::Kill(_)))
}

/// The request as the API server gets it: with the operator's token, and asking for no compression.
async fn forwarded(request: Request<Incoming>) -> Result<Request<Body>, BoxError> {
    let (mut head, body) = request.into_parts();
    head.headers.remove(header::HOST);
    head.headers.remove(header::ACCEPT_ENCODING);
    let body = body.collect().await?.to_bytes();
    Ok(Request::from_parts(head, Body::from(body)))
}

fn changed(body: Bytes, fault: Option<Fault>) -> http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError> {
    let half = body.slice(..body.len() / 2);
    match fault {
        Some(Fault::Truncate) => {
            let parts = [Ok(hyper::body::Frame::data(half)), closed()];
            BodyExt::boxed_unsync(StreamBody::new(futures::stream::iter(parts)))
        }
        Some(Fault::Corrupt) => whole(half),
        Some(Fault::Trickle(time)) => {
            let part = Ok(hyper::body::Frame::data(body));
            BodyExt::boxed_unsync(StreamBody::new(events::trickled(part, time)))
        }
        _ => whole(body),
    }
}

fn whole(body: Bytes) -> http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError> {
    BodyExt::boxed_unsync(Full::new(body).map_err(|never| match never {}))
}

/// An answer as the API server gives it if it fails.
fn failure(code: u16, retry_after: Option<u32>) -> Result<Answer, BoxError> {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let mut status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason,
        "message": format!("the fault proxy answers {code}"),
    });
    let mut answer = Response::builder().status(StatusCode::from_u16(code)?);
    answer = answer.header(header::CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        status["details"] = json!({"retryAfterSeconds": seconds});
        answer = answer.header(header::RETRY_AFTER, seconds);
    }
    Ok(answer.body(whole(status.to_string().into()))?)
}
