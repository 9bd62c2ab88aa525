//! The attackers: slow clients, and clients that send malformed requests.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kcg_tests::Outcome;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_rustls::TlsConnector;

use crate::post;

/// More than the ten seconds that the server's deadlines give a client: five for the handshake and
/// five for the head.
const MAX_HELD: Duration = Duration::from_secs(15);

/// The webhook under attack, and the TLS client to reach it.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub tls: Arc<ClientConfig>,
    pub host: ServerName<'static>,
    /// The address of the client.
    pub from: Ipv4Addr,
}

/// Connects from an address: every address of 127.0.0.0/8 is this host's.
pub async fn attacker(from: Ipv4Addr, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(address).await
}

/// Sends a request and reads its response; returns the head.
pub async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
) -> std::io::Result<String> {
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut read = Vec::new();
    loop {
        if let Some((head, _)) = crate::answer(&read) {
            return Ok(head.to_owned());
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(std::io::Error::other("the connection was closed without a response"));
        }
    }
}

impl Target {
    /// For a client at another address than the API server's.
    pub fn new(address: SocketAddr, tls: Arc<ClientConfig>, host: ServerName<'static>) -> Self {
        Self { address, tls, host, from: Ipv4Addr::new(127, 0, 0, 2) }
    }

    /// The same for one of four clients, each with an address of its own.
    pub fn of(&self, number: usize) -> Self {
        let last = [2, 3, 4, 5][number % 4];
        Self { from: Ipv4Addr::new(127, 0, 0, last), ..self.clone() }
    }

    /// The same for a client at the address of the API server.
    pub fn api_server(&self) -> Self {
        Self { from: Ipv4Addr::LOCALHOST, ..self.clone() }
    }

    pub async fn connect(&self) -> std::io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>> {
        let stream = attacker(self.from, self.address).await?;
        TlsConnector::from(Arc::clone(&self.tls)).connect(self.host.clone(), stream).await
    }

    /// Sends a review over a connection of its own, which must be decided.
    pub async fn review(&self, request: &[u8]) -> Outcome {
        let head = exchange(&mut self.connect().await?, request).await?;
        if head.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(format!("a review got {head}").into()) }
    }

    /// Begins a TLS hello, a head or a body, in turn, does not complete it, and stays until the
    /// server closes.
    pub async fn linger(self, turn: usize) -> Outcome {
        let lingered = async {
            // The server may close at any moment, also during the handshake, to accept newer
            // connections.
            if turn.is_multiple_of(3) {
                let mut stream = attacker(self.from, self.address).await?;
                // The first 11 bytes of a ClientHello that announces 512.
                let half = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
                let _ = stream.write_all(&half).await;
                until_closed(&mut stream).await;
            } else if let Ok(mut stream) = self.connect().await {
                let whole = post(&"x".repeat(1000));
                let (half, rest) =
                    if turn % 3 == 1 { (&whole[..40], &[][..]) } else { whole.split_at(whole.len() - 500) };
                let _ = stream.write_all(half).await;
                let _ = stream.flush().await;
                let (mut reading, mut writing) = tokio::io::split(stream);
                let trickled = async {
                    for byte in rest {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        if writing.write_all(&[*byte]).await.is_err() || writing.flush().await.is_err() {
                            break;
                        }
                    }
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = trickled => {}
                    () = until_closed(&mut reading) => {}
                }
            }
            std::io::Result::Ok(())
        };
        let held = timeout(MAX_HELD, lingered).await;
        Ok(held.map_err(|_| "a slow connection was not closed by the server in 15 s")??)
    }

    /// Sends these bytes without TLS; returns how long the server takes to close the connection.
    async fn closed_after(self, bytes: &[u8]) -> Outcome<Duration> {
        let began = Instant::now();
        let closed = async {
            let mut stream = attacker(self.from, self.address).await?;
            // The server may close before this is written.
            let _ = stream.write_all(bytes).await;
            until_closed(&mut stream).await;
            std::io::Result::Ok(())
        };
        timeout(MAX_HELD, closed).await.map_err(|_| "a malformed hello was not closed in 15 s")??;
        Ok(began.elapsed())
    }

    /// Sends malformed reviews over one connection; returns how many were refused.
    async fn malformed(self, duration: Duration) -> Outcome<usize> {
        let mut stream = self.connect().await?;
        let (request, mut refused, mut clock) =
            (post("{\"kind\": oh"), 0, interval(Duration::from_millis(4)));
        let (began, mut read) = (Instant::now(), Vec::new());
        while began.elapsed() < duration {
            clock.tick().await;
            stream.write_all(&request).await?;
            stream.flush().await?;
            read.clear();
            while crate::answer(&read).is_none() {
                if stream.read_buf(&mut read).await? == 0 {
                    return Err("a connection with malformed reviews was closed".into());
                }
            }
            if !read.starts_with(b"HTTP/1.1 400 ") {
                return Err(String::from_utf8_lossy(&read).into());
            }
            refused += 1;
        }
        Ok(refused)
    }
}

/// Reads until the server closes the connection, possibly with a reset.
pub async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut chunk = [0; 1024];
    while stream.read(&mut chunk).await.is_ok_and(|read| read > 0) {}
}

/// The results of a flood of bad requests: when the server closed each connection, and how many
/// malformed reviews it refused.
#[derive(Debug, Default)]
pub struct Flood {
    pub plain_http: Vec<Duration>,
    pub old_tls: Vec<Duration>,
    pub malformed: usize,
}

impl Flood {
    /// Sends plain HTTP, TLS 1.0 and 1.1, and malformed JSON, together about 500 requests per
    /// second.
    pub async fn send(target: &Target, duration: Duration) -> Outcome<Self> {
        let mut flood = Self::default();
        let malformed = tokio::spawn(target.clone().malformed(duration));
        let mut closing = JoinSet::<Outcome<_>>::new();
        let (mut clock, began) = (interval(Duration::from_millis(8)), Instant::now());
        for minor in [1, 2].into_iter().cycle() {
            clock.tick().await;
            if began.elapsed() > duration {
                break;
            }
            let (first, second) = (target.clone(), target.clone());
            let plain = async move { Ok((true, first.closed_after(b"GET / HTTP/1.1\r\n\r\n").await?)) };
            let old = async move { Ok((false, second.closed_after(&old_hello(minor)).await?)) };
            closing.spawn(plain);
            closing.spawn(old);
        }
        while let Some(closed) = closing.join_next().await {
            let (plain, took) = closed??;
            if plain { &mut flood.plain_http } else { &mut flood.old_tls }.push(took);
        }
        flood.malformed = malformed.await??;
        Ok(flood)
    }
}

/// The ClientHello of TLS 1.0 (minor 1) or 1.1 (minor 2), with one cipher suite.
fn old_hello(minor: u8) -> Vec<u8> {
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, minor];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    hello
}
