//! How long a connection is waited for. Floor 3.
//!
//! hyper has one timeout for "no request yet" and for "a request that does not come to its end", and the two need
//! different lengths: an idle connection outlives the API server's own 90 s, a half-sent head gets seconds. So
//! hyper's is off, and the stream itself says when it has waited enough.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::limits::Limits;

/// What the connection is doing, and so what is being waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A head is under way.
    Head,
    /// The request is in the handler's hands.
    Exchange,
    /// The answer is on its way out.
    Answer,
    /// Between two requests, or before the first.
    Idle,
}

#[derive(Debug)]
struct Wait {
    phase: Phase,
    until: Instant,
}

/// The one record of a connection's phase, shared by its stream and its handler.
#[derive(Debug)]
pub(super) struct Patience {
    limits: Arc<Limits>,
    wait: Mutex<Wait>,
}

impl Patience {
    /// A connection that may rest before its first request, too: where an older connection becomes free while Go's client
    /// dials, the new one goes unused into its pool. Were it closed there, a later review would be lost with it.
    pub(super) fn new(limits: Arc<Limits>) -> Arc<Self> {
        let wait = Wait { phase: Phase::Idle, until: Instant::now() + limits.idle };
        Arc::new(Self { limits, wait: Mutex::new(wait) })
    }

    /// The head is complete: the handler has its own deadline, and this one is the belt behind it.
    pub(super) fn head_is_complete(&self) {
        self.enter(Phase::Exchange, Instant::now() + self.limits.request + self.limits.write);
    }

    /// The handler has answered.
    pub(super) fn answer_is_ready(&self) {
        self.enter(Phase::Answer, Instant::now() + self.limits.write);
    }

    fn enter(&self, phase: Phase, until: Instant) {
        *self.wait.lock().unwrap_or_else(PoisonError::into_inner) = Wait { phase, until };
    }

    /// Moves on where `from` is the phase; elsewhere the bytes belong to a body, or the flush to an interim answer.
    fn advance(&self, from: Phase, to: Phase) {
        let mut wait = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
        if wait.phase == from {
            let patience = if to == Phase::Idle { self.limits.idle } else { self.limits.head };
            *wait = Wait { phase: to, until: Instant::now() + patience };
        }
    }

    /// Nothing is asked for and nothing owed.
    pub(super) fn is_idle(&self) -> bool {
        self.wait.lock().unwrap_or_else(PoisonError::into_inner).phase == Phase::Idle
    }

    fn until(&self) -> Instant {
        self.wait.lock().unwrap_or_else(PoisonError::into_inner).until
    }
}

/// A stream that fails with `TimedOut` once its phase has lasted too long.
pub(super) struct Patient<T> {
    stream: T,
    patience: Arc<Patience>,
    timer: Pin<Box<Sleep>>,
}

impl<T> Patient<T> {
    pub(super) fn new(stream: T, patience: Arc<Patience>) -> Self {
        let timer = Box::pin(sleep_until(patience.until()));
        Self { stream, patience, timer }
    }

    pub(super) fn into_inner(self) -> T {
        self.stream
    }

    /// Called where the stream itself has nothing to give: registers the wake-up of the deadline.
    ///
    /// The timer is moved only when the deadline came nearer. Where it went away, the timer fires early and looks
    /// again: on a busy connection that is one timer operation in seconds instead of several a request.
    fn overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let until = self.patience.until();
            if self.timer.deadline() > until {
                self.timer.as_mut().reset(until);
            }
            ready!(self.timer.as_mut().poll(cx));
            let until = self.patience.until();
            if until <= Instant::now() {
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client is too slow"));
            }
            self.timer.as_mut().reset(until);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(read) => {
                if buf.filled().len() > before {
                    this.patience.advance(Phase::Idle, Phase::Head);
                }
                Poll::Ready(read)
            }
            Poll::Pending => this.overdue(cx).map(Err),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_write(cx, buf) {
            Poll::Pending => this.overdue(cx).map(Err),
            written @ Poll::Ready(_) => written,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_flush(cx) {
            Poll::Pending => this.overdue(cx).map(Err),
            flushed @ Poll::Ready(_) => {
                this.patience.advance(Phase::Answer, Phase::Idle);
                flushed
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_write_vectored(cx, bufs) {
            Poll::Pending => this.overdue(cx).map(Err),
            written @ Poll::Ready(_) => written,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const SECOND: Duration = Duration::from_secs(1);

    fn connection() -> (DuplexStream, Patient<DuplexStream>) {
        let (client, server) = duplex(1024);
        (client, Patient::new(server, Patience::new(Arc::new(Limits::default()))))
    }

    /// Waits for bytes that do not come; returns how long.
    async fn waited(stream: &mut Patient<DuplexStream>) -> Duration {
        let began = Instant::now();
        let error = stream.read_u8().await.expect_err("nothing is sent");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        began.elapsed()
    }

    fn about(measured: Duration, expected: Duration) {
        assert!(measured >= expected && measured <= expected + Duration::from_millis(5), "{measured:?}");
    }

    /// One request and its answer, after which the connection rests.
    async fn exchange(client: &mut DuplexStream, stream: &mut Patient<DuplexStream>) {
        client.write_u8(b'P').await.unwrap();
        stream.read_u8().await.unwrap();
        stream.patience.head_is_complete();
        stream.patience.answer_is_ready();
        stream.write_u8(b'H').await.unwrap();
        stream.flush().await.unwrap();
        client.read_u8().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_head_may_be_as_late_as_any_and_has_five_seconds_however_it_trickles() {
        let (_client, mut stream) = connection();
        about(waited(&mut stream).await, 180 * SECOND);

        let (mut client, mut stream) = connection();
        tokio::time::sleep(100 * SECOND).await;
        let began = Instant::now() + SECOND / 2;
        let trickled = async {
            loop {
                tokio::time::sleep(SECOND / 2).await;
                if client.write_u8(b'P').await.is_err() {
                    break;
                }
            }
        };
        let read = async { while stream.read_u8().await.is_ok() {} };
        tokio::select! { () = trickled => {}, () = read => {} }
        about(began.elapsed(), 5 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_between_two_requests_lasts_three_minutes_and_the_next_head_five_seconds() {
        let (mut client, mut stream) = connection();
        for rest in [0, 60, 95, 179] {
            tokio::time::sleep(rest * SECOND).await;
            exchange(&mut client, &mut stream).await;
        }
        about(waited(&mut stream).await, 180 * SECOND);

        let (mut client, mut stream) = connection();
        exchange(&mut client, &mut stream).await;
        tokio::time::sleep(100 * SECOND).await;
        client.write_u8(b'P').await.unwrap();
        stream.read_u8().await.unwrap();
        about(waited(&mut stream).await, 5 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_reads_is_given_up() {
        let (_client, mut stream) = connection();
        stream.patience.head_is_complete();
        stream.patience.answer_is_ready();
        let began = Instant::now();
        let error = stream.write_all(&[0; 4096]).await.expect_err("the client reads nothing");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        about(began.elapsed(), 5 * SECOND);
    }
}
