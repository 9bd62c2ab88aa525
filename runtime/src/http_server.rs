//! A small HTTP/1.1 server for probes and metrics: one request a connection, and a bound on
//! everything that a client can make grow or last.

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc, thread, time::Duration};

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::listen::{BindAddress, ListenError, listen};
use crate::peer::Peer;

/// The pause after a failed accept. The usual cause, a lack of file descriptors, passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a client may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerLimits {
    /// Connections at a time. A further one closes the oldest of the client that has the most.
    pub(crate) connections: usize,
    /// How long a client may take to send its request head.
    pub(crate) head: Duration,
    /// The lifetime of a connection, from its acceptance to the last byte of its one response.
    pub(crate) lifetime: Duration,
}

/// A port, bound but not served yet, so that a bad address is known before anything else starts.
#[derive(Debug)]
pub(crate) struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
    /// What it serves, for the log.
    purpose: &'static str,
    limits: ServerLimits,
}

impl HttpServer {
    pub(crate) fn bind(
        address: BindAddress,
        purpose: &'static str,
        limits: ServerLimits,
    ) -> Result<Self, ListenError> {
        let listener = listen(address, purpose)?;
        let address = listener.local_addr().expect("invariant: a listening socket has an address");
        Ok(Self { listener, address, purpose, limits })
    }

    /// The bound address. If port 0 was requested, it has the port that the system chose.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled.
    pub(crate) async fn serve(self, router: Router, stop: CancellationToken) {
        stop.run_until_cancelled(self.accept(router)).await;
    }

    /// Serves on a thread of its own until `stop` is cancelled, so that an answer waits for none of the
    /// caller's tasks. If there is no thread to be had, the caller's runtime serves.
    pub(crate) async fn serve_on_own_thread(self, router: Router, stop: CancellationToken) {
        let purpose = self.purpose;
        // If the caller drops this future, the thread ends as well.
        let stop = stop.child_token();
        let _ended = stop.clone().drop_guard();
        let (done, served) = oneshot::channel();
        // What a thread would own is lost if it cannot start.
        let server = Arc::new(Mutex::new(Some((self, router))));
        let (taken, stopped) = (Arc::clone(&server), stop.clone());
        let run = move || {
            let taken = taken.lock().take();
            let outcome = taken.map_or(Ok(()), |(server, router)| server.block_on_serve(router, stopped));
            // The receiver is gone if the caller has dropped the future.
            let _ = done.send(outcome);
        };
        match thread::Builder::new().name(purpose.to_owned()).spawn(run) {
            Ok(_) => {
                if let Ok(Err(error)) = served.await {
                    tracing::error!(%error, purpose, "cannot serve on a thread of its own");
                }
            }
            Err(error) => {
                tracing::warn!(%error, purpose, "no thread of its own: the common ones serve");
                let server = server.lock().take();
                if let Some((server, router)) = server {
                    server.serve(router, stop).await;
                }
            }
        }
    }

    fn block_on_serve(self, router: Router, stop: CancellationToken) -> io::Result<()> {
        let listener = self.listener.into_std()?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            Self { listener, ..self }.serve(router, stop).await;
            Ok(())
        })
    }

    async fn accept(&self, router: Router) {
        let mut open = Vec::with_capacity(self.limits.connections);
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    make_room(&mut open, self.limits.connections).await;
                    let answering = answer(stream, router.clone(), self.purpose, self.limits);
                    open.push(OpenConnection { peer: peer.ip().into(), task: tokio::spawn(answering) });
                }
                Err(error) => {
                    tracing::warn!(%error, purpose = self.purpose, "failed to accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

struct OpenConnection {
    peer: Peer,
    task: JoinHandle<()>,
}

/// Closes connections, and waits until they have ended, so that there is room for one more: clients that
/// hold connections cannot keep others out. `open` is in the order of acceptance.
async fn make_room(open: &mut Vec<OpenConnection>, most: usize) {
    open.retain(|connection| !connection.task.is_finished());
    while open.len() >= most {
        let peers: Vec<Peer> = open.iter().map(|connection| connection.peer).collect();
        let OpenConnection { task, .. } = open.remove(first_to_close(&peers));
        task.abort();
        // An error says that it was aborted.
        let _ = task.await;
    }
}

/// The position of the oldest connection of the client that has the most. `peers` are the clients of all
/// connections, the oldest first.
fn first_to_close(peers: &[Peer]) -> usize {
    let mut counts = HashMap::<Peer, usize>::new();
    for peer in peers {
        *counts.entry(*peer).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or_default();
    peers.iter().position(|peer| counts[peer] == most).unwrap_or_default()
}

/// Answers one request, then closes the connection.
async fn answer(stream: TcpStream, router: Router, purpose: &'static str, limits: ServerLimits) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(limits.lifetime, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, purpose, "a connection broke"),
        Err(_) => tracing::debug!(purpose, "a connection timed out"),
    }
}

/// A response of plain text.
pub(crate) fn plain(status: StatusCode, text: String) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

#[cfg(test)]
pub(crate) mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinSet;

    use super::*;

    /// Sends the bytes and returns everything until the server closes the connection.
    pub(crate) async fn exchange(address: SocketAddr, sent: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // A connection that is closed to make room may be reset.
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    pub(crate) async fn got(address: SocketAddr, path: &str) -> String {
        exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await
    }

    const LIMITS: ServerLimits =
        ServerLimits { connections: 4, head: Duration::from_secs(2), lifetime: Duration::from_secs(5) };

    fn served(router: Router) -> SocketAddr {
        let server = HttpServer::bind("127.0.0.1:0".parse().unwrap(), "a test", LIMITS).unwrap();
        let address = server.address();
        tokio::spawn(server.serve(router, CancellationToken::new()));
        address
    }

    fn ok() -> Router {
        Router::new().route("/", get(|| async { "ok" }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_completes_its_request_head_is_disconnected() {
        let address = served(ok());
        let answer = timeout(2 * LIMITS.lifetime, exchange(address, "GET / HTTP/1.1\r\nslow: ")).await;
        assert!(!answer.expect("closed").contains("200"));
    }

    #[tokio::test]
    async fn clients_that_hold_every_connection_do_not_keep_others_out() {
        let address = served(ok());
        let mut idle = Vec::new();
        for _ in 0..3 * LIMITS.connections {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let answer = timeout(LIMITS.head / 2, got(address, "/")).await.expect("before any deadline");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let mut closed = JoinSet::new();
        for mut stream in idle {
            closed.spawn(async move { stream.read(&mut [0]).await.unwrap_or(0) });
        }
        assert_eq!(closed.join_all().await, vec![0; 3 * LIMITS.connections], "the rest ends by its deadline");
    }

    #[test]
    fn the_client_with_the_most_connections_makes_room_with_its_oldest() {
        let first = |addresses: &[&str]| {
            let peers: Vec<Peer> =
                addresses.iter().map(|text| text.parse::<std::net::IpAddr>().unwrap().into()).collect();
            first_to_close(&peers)
        };
        let (a, b, c) = ("192.0.2.1", "192.0.2.2", "192.0.2.3");
        assert_eq!(first(&[a, b, b, c]), 1);
        assert_eq!(first(&[a, b, c]), 0, "if all have the same, the oldest");
        assert_eq!(first(&["2001:db8:1::1", "2001:db8::1", "2001:db8::2"]), 1, "a /64 is one client");
    }

    #[tokio::test]
    async fn no_more_requests_run_than_there_are_slots() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        struct Running;
        impl Drop for Running {
            fn drop(&mut self) {
                RUNNING.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let slow = || async {
            MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _running = Running;
            std::future::pending::<()>().await;
        };
        let address = served(Router::new().route("/", get(slow)));
        let mut clients = JoinSet::new();
        for _ in 0..10 * LIMITS.connections {
            clients.spawn(got(address, "/"));
        }
        clients.join_all().await;
        assert_eq!(MOST.load(Ordering::SeqCst), LIMITS.connections);
    }
}
