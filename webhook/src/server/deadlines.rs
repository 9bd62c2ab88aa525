//! How long the server waits for a connection, by what the connection is doing.
//!
//! hyper has one timeout for "no request yet" and "a request that does not end". They need
//! different lengths: an idle connection outlives the API server's own 90 s, while a half-sent head
//! gets seconds. So hyper's timeout is off, and the stream itself enforces the deadline of each
//! phase.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::handler::Permits;
use super::limits::Limits;

/// The phase of a connection. It determines what the server waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The client sends a request's head.
    Head,
    /// The handler has the request.
    Handler,
    /// The server sends the response.
    Response,
    /// Between two requests, or before the first.
    Idle,
}

#[derive(Debug)]
struct Current {
    phase: Phase,
    deadline: Instant,
    /// Held until the response is written.
    _permits: Option<Permits>,
}

/// The phase of a connection and its deadline, shared by the connection's stream and request
/// service.
#[derive(Debug)]
pub(super) struct Deadlines {
    limits: Arc<Limits>,
    current: Mutex<Current>,
    /// Whether the server has waited for bytes since the last head was complete.
    waited: AtomicBool,
}

impl Deadlines {
    /// The deadlines of a new connection.
    ///
    /// It may be idle before its first request, too: if an older connection becomes free while Go's
    /// client dials, the client puts the new connection unused into its pool. If the server closed
    /// it there, a later review would be lost.
    pub(super) fn new(limits: Arc<Limits>) -> Arc<Self> {
        let current = Current { phase: Phase::Idle, deadline: Instant::now() + limits.idle, _permits: None };
        Arc::new(Self { limits, current: Mutex::new(current), waited: AtomicBool::new(true) })
    }

    /// The head is complete. The handler has a deadline of its own; this one is its backstop. Returns
    /// whether the head was there before the last request had its response, in one piece with others.
    pub(super) fn head_complete(&self) -> bool {
        self.enter(Phase::Handler, Instant::now() + self.limits.request + self.limits.write, None);
        !self.waited.swap(false, Ordering::Relaxed)
    }

    /// The handler has returned a response. Its permits are released once the client has read it.
    pub(super) fn response_ready(&self, permits: Option<Permits>) {
        self.enter(Phase::Response, Instant::now() + self.limits.write, permits);
    }

    fn enter(&self, phase: Phase, deadline: Instant, permits: Option<Permits>) {
        *self.current.lock() = Current { phase, deadline, _permits: permits };
    }

    /// Moves from one phase to the next. In any other phase the bytes belong to a body, or the
    /// flush to an interim response, and nothing changes.
    fn advance(&self, from: Phase, to: Phase) {
        let mut current = self.current.lock();
        if current.phase == from {
            let timeout = if to == Phase::Idle { self.limits.idle } else { self.limits.head };
            *current = Current { phase: to, deadline: Instant::now() + timeout, _permits: None };
        }
    }

    /// Whether the connection is between two requests, or before its first.
    pub(super) fn is_idle(&self) -> bool {
        self.current.lock().phase == Phase::Idle
    }

    fn deadline(&self) -> Instant {
        self.current.lock().deadline
    }
}

/// A stream that fails with `TimedOut` when its current phase has lasted too long.
pub(super) struct DeadlineStream<T> {
    stream: T,
    deadlines: Arc<Deadlines>,
    timer: Pin<Box<Sleep>>,
}

impl<T> DeadlineStream<T> {
    pub(super) fn new(stream: T, deadlines: Arc<Deadlines>) -> Self {
        let timer = Box::pin(sleep_until(deadlines.deadline()));
        Self { stream, deadlines, timer }
    }

    pub(super) fn into_inner(self) -> T {
        self.stream
    }

    /// Polls the deadline; called when the stream itself is pending, so that the deadline wakes the
    /// task.
    ///
    /// The timer moves only if the deadline came nearer. If the deadline moved away, the timer
    /// fires early and is set again: on a busy connection that costs one timer operation in seconds
    /// instead of several for each request.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let deadline = self.deadlines.deadline();
            if self.timer.deadline() > deadline {
                self.timer.as_mut().reset(deadline);
            }
            ready!(self.timer.as_mut().poll(cx));
            let deadline = self.deadlines.deadline();
            if deadline <= Instant::now() {
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client is too slow"));
            }
            self.timer.as_mut().reset(deadline);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for DeadlineStream<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(read) => {
                if buf.filled().len() > before {
                    this.deadlines.advance(Phase::Idle, Phase::Head);
                }
                Poll::Ready(read)
            }
            Poll::Pending => {
                this.deadlines.waited.store(true, Ordering::Relaxed);
                this.poll_deadline(cx).map(Err)
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for DeadlineStream<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_write(cx, buf) {
            Poll::Pending => this.poll_deadline(cx).map(Err),
            written @ Poll::Ready(_) => written,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_flush(cx) {
            Poll::Pending => this.poll_deadline(cx).map(Err),
            flushed @ Poll::Ready(_) => {
                this.deadlines.advance(Phase::Response, Phase::Idle);
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
            Poll::Pending => this.poll_deadline(cx).map(Err),
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
    use crate::server::fair_semaphore::FairSemaphore;
    use kcg_runtime::peer::Peer;
    use std::net::IpAddr;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const SECOND: Duration = Duration::from_secs(1);

    fn connection() -> (DuplexStream, DeadlineStream<DuplexStream>) {
        let (client, server) = duplex(1024);
        (client, DeadlineStream::new(server, Deadlines::new(Arc::new(Limits::default()))))
    }

    /// Reads until the stream times out; returns how long that took.
    async fn time_until_timeout(stream: &mut DeadlineStream<DuplexStream>) -> Duration {
        let began = Instant::now();
        let error = stream.read_u8().await.expect_err("nothing is sent");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        began.elapsed()
    }

    fn about(measured: Duration, expected: Duration) {
        assert!(measured >= expected && measured <= expected + Duration::from_millis(5), "{measured:?}");
    }

    /// One request and its response, after which the connection is idle.
    async fn exchange(client: &mut DuplexStream, stream: &mut DeadlineStream<DuplexStream>) {
        client.write_u8(b'P').await.unwrap();
        stream.read_u8().await.unwrap();
        stream.deadlines.head_complete();
        stream.deadlines.response_ready(None);
        stream.write_u8(b'H').await.unwrap();
        stream.flush().await.unwrap();
        client.read_u8().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_head_may_begin_after_three_idle_minutes_and_must_end_within_five_seconds() {
        let (_client, mut stream) = connection();
        about(time_until_timeout(&mut stream).await, 180 * SECOND);

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
    async fn a_connection_may_be_idle_for_three_minutes_between_requests_and_the_next_head_gets_five_seconds()
    {
        let (mut client, mut stream) = connection();
        for idle in [0, 60, 95, 179] {
            tokio::time::sleep(idle * SECOND).await;
            exchange(&mut client, &mut stream).await;
        }
        about(time_until_timeout(&mut stream).await, 180 * SECOND);

        let (mut client, mut stream) = connection();
        exchange(&mut client, &mut stream).await;
        tokio::time::sleep(100 * SECOND).await;
        client.write_u8(b'P').await.unwrap();
        stream.read_u8().await.unwrap();
        about(time_until_timeout(&mut stream).await, 5 * SECOND);
    }

    #[tokio::test]
    async fn a_review_keeps_its_place_until_its_response_is_written() {
        let (places, peer) = (FairSemaphore::new(1, 1), Peer::from(IpAddr::from([192, 0, 2, 1])));
        let permits = || Permits::for_review(places.try_acquire(peer).unwrap(), None);
        let is_free = || places.try_acquire(peer).is_some();
        let (_client, mut stream) = connection();
        stream.deadlines.head_complete();
        stream.deadlines.response_ready(Some(permits()));
        stream.write_all(&[0; 512]).await.unwrap();
        assert!(!is_free());
        stream.flush().await.unwrap();
        assert!(is_free());

        let (_client, stream) = connection();
        stream.deadlines.response_ready(Some(permits()));
        drop(stream);
        assert!(is_free(), "the connection is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_the_client_does_not_read_times_out() {
        let (_client, mut stream) = connection();
        stream.deadlines.head_complete();
        stream.deadlines.response_ready(None);
        let began = Instant::now();
        let error = stream.write_all(&[0; 4096]).await.expect_err("the client reads nothing");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        about(began.elapsed(), 5 * SECOND);
    }
}
