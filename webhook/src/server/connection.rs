//! One connection, from the handshake to the last byte. Floor 3.

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
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::exchange::Exchange;
use super::gate::Place;
use super::limits::Limits;
use super::patience::{Patience, Patient};
use crate::admit::Admission;

/// What every connection is served with.
pub(super) struct House<A> {
    pub(super) tls: TlsAcceptor,
    pub(super) exchange: Arc<Exchange<A>>,
    /// From here on each answer asks its client to leave.
    pub(super) quiet: CancellationToken,
    /// From here on only the requests under way are served.
    pub(super) closing: CancellationToken,
}

/// Why a connection ended other than by its client's own wish.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("no TLS handshake: {0}")]
    Handshake(io::Error),
    #[error("the TLS handshake took too long")]
    SlowHandshake,
    #[error("the client is too slow")]
    Slow,
    #[error("no HTTP/1.1 that can be read: {0}")]
    Http(hyper::Error),
    #[error("the client went away in the middle of a request")]
    Gone,
    #[error("closed to make room for a newer connection")]
    Evicted,
}

impl Fault {
    /// The fault as a metric's label.
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

impl From<hyper::Error> for Fault {
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

impl<A: Admission> House<A> {
    /// Serves one connection until it ends, whoever ends it.
    pub(super) async fn serve(&self, stream: TcpStream, place: Place) -> Result<(), Fault> {
        let place = Arc::new(place);
        tokio::select! {
            biased;
            () = place.evicted() => Err(Fault::Evicted),
            served = self.visit(stream, Arc::clone(&place)) => served,
        }
    }

    async fn visit(&self, stream: TcpStream, place: Arc<Place>) -> Result<(), Fault> {
        let limits = &self.exchange.limits;
        // An answer is one small write; waiting for more to send would only delay it. Where the socket is gone
        // already, the handshake says so.
        let _ = stream.set_nodelay(true);
        let stream = timeout(limits.handshake, self.tls.accept(stream))
            .await
            .map_err(|_| Fault::SlowHandshake)?
            .map_err(Fault::Handshake)?;
        let visit = Arc::new(Visit {
            exchange: Arc::clone(&self.exchange),
            quiet: self.quiet.clone(),
            patience: Patience::new(Arc::clone(limits)),
            place,
            unread: AtomicBool::new(false),
        });
        let (stream, served) = self.converse(stream, &visit).await;
        let talking = visit.unread.load(Ordering::Relaxed) || matches!(served, Err(Fault::Http(_)));
        farewell(stream, talking, limits).await;
        match served {
            // It has rested long enough.
            Err(Fault::Slow) if visit.patience.is_idle() => Ok(()),
            served => served,
        }
    }

    /// Requests and answers, until either side is done. Gives the stream back: how it is closed is not hyper's.
    async fn converse(
        &self,
        stream: TlsStream<TcpStream>,
        visit: &Arc<Visit<A>>,
    ) -> (TlsStream<TcpStream>, Result<(), Fault>) {
        let patient = Patient::new(stream, Arc::clone(&visit.patience));
        let mut connection = http1::Builder::new()
            .max_header_size(self.exchange.limits.head_bytes)
            // Patience keeps the deadlines.
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(patient), Visitor(Arc::clone(visit)));
        let mut leaving = pin!(async {
            tokio::select! {
                () = self.closing.cancelled() => {}
                () = visit.place.displaced() => {}
            }
        });
        let mut told = false;
        let served = poll_fn(|cx| {
            if !told && leaving.as_mut().poll(cx).is_ready() {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            connection.poll_without_shutdown(cx)
        })
        .await;
        let stream = connection.into_parts().io.into_inner().into_inner();
        (stream, served.map_err(Fault::from))
    }
}

/// Closes the stream. Where the client is still talking, what it says is read and dropped for a moment: closing
/// under it would send a reset, and the reset would destroy our answer before the client has read it.
async fn farewell(mut stream: TlsStream<TcpStream>, talking: bool, limits: &Limits) {
    let farewell = async {
        stream.shutdown().await?;
        if talking {
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        }
        io::Result::Ok(())
    };
    // Either way the connection is over and has had its answer.
    let _ = timeout(limits.linger, farewell).await;
}

/// What one connection's stream and its handler of requests share.
struct Visit<A> {
    exchange: Arc<Exchange<A>>,
    quiet: CancellationToken,
    patience: Arc<Patience>,
    place: Arc<Place>,
    /// The last answer left some of its request unread.
    unread: AtomicBool,
}

/// One connection's handler of requests.
struct Visitor<A>(Arc<Visit<A>>);

impl<A: Admission> Service<Request<Incoming>> for Visitor<A> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.0.patience.head_is_complete();
        let visit = Arc::clone(&self.0);
        Box::pin(async move {
            let answered = visit.exchange.answer(request, &visit.quiet).await;
            // Only who brought a whole review is worth keeping where others want to come in.
            if answered.response.status() == StatusCode::OK {
                visit.place.settle();
            }
            visit.unread.store(answered.unread, Ordering::Relaxed);
            visit.patience.answer_is_ready();
            Ok(answered.response)
        })
    }
}
