//! One connection, from the handshake to the last byte.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::future::poll_fn;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::conn_limiter::ConnSlot;
use super::deadlines::{DeadlineStream, Deadlines};
use super::handler::RequestHandler;
use super::limits::Limits;
use crate::admit::Admission;

/// The state that all connections share.
pub(super) struct ConnContext<A> {
    pub(super) tls: TlsAcceptor,
    pub(super) handler: Arc<RequestHandler<A>>,
    /// Once cancelled, each response asks its client to close the connection.
    pub(super) draining: CancellationToken,
    /// Once cancelled, each connection closes after its current request.
    pub(super) closing: CancellationToken,
}

/// Why the server closed a connection, or the client broke it off.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
    #[error("the TLS handshake took too long")]
    SlowHandshake,
    #[error("the client is too slow")]
    Slow,
    #[error("the client does not speak valid HTTP/1.1: {0}")]
    Http(hyper::Error),
    #[error("the client closed the connection during a request")]
    Gone,
    #[error("closed to make room for a newer connection")]
    Evicted,
}

impl ConnectionError {
    /// The value of the metric's label `reason`.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Handshake(_) => "handshake",
            Self::SlowHandshake => "slow_handshake",
            Self::Slow => "slow",
            Self::Http(_) => "http",
            Self::Gone => "gone",
            Self::Evicted => "evicted",
        }
    }
}

impl From<hyper::Error> for ConnectionError {
    fn from(error: hyper::Error) -> Self {
        let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        match cause.map(io::Error::kind) {
            Some(io::ErrorKind::TimedOut) => Self::Slow,
            Some(_) => Self::Gone,
            None if error.is_incomplete_message() || error.is_canceled() => Self::Gone,
            None => Self::Http(error),
        }
    }
}

impl<A: Admission> ConnContext<A> {
    /// Serves one connection until either side closes it.
    pub(super) async fn serve(&self, stream: TcpStream, slot: ConnSlot) -> Result<(), ConnectionError> {
        let slot = Arc::new(slot);
        tokio::select! {
            biased;
            () = slot.evicted() => Err(ConnectionError::Evicted),
            served = self.serve_tls(stream, Arc::clone(&slot)) => served,
        }
    }

    async fn serve_tls(&self, stream: TcpStream, slot: Arc<ConnSlot>) -> Result<(), ConnectionError> {
        let limits = &self.handler.limits;
        // A response is one small write, which Nagle's algorithm would only delay. If the socket is
        // already closed, the handshake reports it.
        let _ = stream.set_nodelay(true);
        let stream = timeout(limits.handshake, self.tls.accept(stream))
            .await
            .map_err(|_| ConnectionError::SlowHandshake)?
            .map_err(ConnectionError::Handshake)?;
        let connection = Arc::new(Connection {
            handler: Arc::clone(&self.handler),
            draining: self.draining.clone(),
            deadlines: Deadlines::new(Arc::clone(limits)),
            slot,
            unread: AtomicBool::new(false),
        });
        let (stream, served) = self.serve_http(stream, &connection).await;
        let still_sending =
            connection.unread.load(Ordering::Relaxed) || matches!(served, Err(ConnectionError::Http(_)));
        shut_down(stream, still_sending, limits).await;
        match served {
            // Closing an idle connection is not an error.
            Err(ConnectionError::Slow) if connection.deadlines.is_idle() => Ok(()),
            served => served,
        }
    }

    /// Serves HTTP requests until either side is done. Returns the stream, because hyper would
    /// close it differently.
    async fn serve_http(
        &self,
        stream: TlsStream<TcpStream>,
        connection: &Arc<Connection<A>>,
    ) -> (TlsStream<TcpStream>, Result<(), ConnectionError>) {
        let stream = DeadlineStream::new(stream, Arc::clone(&connection.deadlines));
        let mut http = http1::Builder::new()
            .max_header_size(self.handler.limits.head_bytes)
            // DeadlineStream enforces the deadlines.
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(stream), RequestService(Arc::clone(connection)));
        let mut close = pin!(async {
            tokio::select! {
                () = self.closing.cancelled() => {}
                () = connection.slot.displaced() => {}
            }
        });
        let mut shutting_down = false;
        let served = poll_fn(|cx| {
            if !shutting_down && close.as_mut().poll(cx).is_ready() {
                shutting_down = true;
                Pin::new(&mut http).graceful_shutdown();
            }
            http.poll_without_shutdown(cx)
        })
        .await;
        let stream = http.into_parts().io.into_inner().into_inner();
        (stream, served.map_err(ConnectionError::from))
    }
}

/// Closes the stream. If the client is still sending, the server reads and drops its bytes for a
/// moment: otherwise the kernel would send a reset, which destroys our response before the client
/// has read it.
async fn shut_down(mut stream: TlsStream<TcpStream>, still_sending: bool, limits: &Limits) {
    let shut_down = async {
        stream.shutdown().await?;
        if still_sending {
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        }
        io::Result::Ok(())
    };
    // In any case the connection is over, and its response was sent.
    let _ = timeout(limits.linger, shut_down).await;
}

/// The state that the stream and the request service of one connection share.
struct Connection<A> {
    handler: Arc<RequestHandler<A>>,
    draining: CancellationToken,
    deadlines: Arc<Deadlines>,
    slot: Arc<ConnSlot>,
    /// The last response left a part of its request unread.
    unread: AtomicBool,
}

/// Serves the requests of one connection.
struct RequestService<A>(Arc<Connection<A>>);

impl<A: Admission> Service<Request<Incoming>> for RequestService<A> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_one_piece = self.0.deadlines.head_complete();
        let connection = Arc::clone(&self.0);
        Box::pin(async move {
            // A connection on which hundreds of requests arrive together would hold its thread until all
            // have their responses.
            if in_one_piece {
                yield_now().await;
            }
            let handled =
                connection.handler.handle(request, connection.slot.peer(), &connection.draining).await;
            // Only a client that sent a complete review keeps its connection when others need room.
            if handled.response.status() == StatusCode::OK {
                connection.slot.mark_proven();
            }
            connection.unread.store(handled.unread, Ordering::Relaxed);
            connection.deadlines.response_ready(handled.permits);
            Ok(handled.response)
        })
    }
}
