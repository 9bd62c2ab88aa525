//! The attackers: clients that are slow, and clients that are wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_rustls::TlsConnector;

use crate::{Outcome, post};

/// The longest that the server's own deadlines let a client last is ten seconds: a handshake's five and a head's five.
const HELD_AT_MOST: Duration = Duration::from_secs(15);

/// Where the attack goes to.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub trust: Arc<ClientConfig>,
    pub host: ServerName<'static>,
}

impl Target {
    async fn tls(&self) -> std::io::Result<impl AsyncRead + AsyncWrite + Unpin + use<>> {
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::clone(&self.trust)).connect(self.host.clone(), stream).await
    }

    /// Begins something by turns (a TLS hello, a head, a body), does not end it, and stays until the server closes.
    pub async fn linger(self, turn: usize) -> Outcome {
        let lingered = async {
            // The server may close at any moment, in the handshake too: it has to make room for newer ones.
            if turn.is_multiple_of(3) {
                let mut stream = TcpStream::connect(self.address).await?;
                // The first 11 bytes of a ClientHello that announces 512.
                let half = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
                let _ = stream.write_all(&half).await;
                drained(&mut stream).await;
            } else if let Ok(mut stream) = self.tls().await {
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
                    () = drained(&mut reading) => {}
                }
            }
            std::io::Result::Ok(())
        };
        let held = timeout(HELD_AT_MOST, lingered).await;
        Ok(held.map_err(|_| "a slow connection was not closed by the server in 15 s")??)
    }

    /// Sends these bytes without TLS; how long it takes until the server has closed the connection.
    async fn closed_after(self, bytes: &[u8]) -> Outcome<Duration> {
        let began = Instant::now();
        let closed = async {
            let mut stream = TcpStream::connect(self.address).await?;
            // The server may be quicker to close than this is to write.
            let _ = stream.write_all(bytes).await;
            drained(&mut stream).await;
            std::io::Result::Ok(())
        };
        timeout(HELD_AT_MOST, closed).await.map_err(|_| "a wrong hello was not closed in 15 s")??;
        Ok(began.elapsed())
    }

    /// Sends malformed reviews over one kept connection for so long; how many were refused.
    async fn malformed(self, lasts: Duration) -> Outcome<usize> {
        let mut stream = self.tls().await?;
        let (request, mut refused, mut clock) =
            (post("{\"kind\": oh"), 0, interval(Duration::from_millis(4)));
        let (began, mut read) = (Instant::now(), Vec::new());
        while began.elapsed() < lasts {
            clock.tick().await;
            stream.write_all(&request).await?;
            stream.flush().await?;
            read.clear();
            while crate::answer(&read).is_none() {
                if stream.read_buf(&mut read).await? == 0 {
                    return Err("closed on who sends malformed reviews".into());
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

/// Reads until the server has closed the connection, which it may do with a reset.
async fn drained(stream: &mut (impl AsyncRead + Unpin)) {
    let mut chunk = [0; 1024];
    while stream.read(&mut chunk).await.is_ok_and(|read| read > 0) {}
}

/// What came of a flood of bad requests.
#[derive(Debug, Default)]
pub struct Flood {
    pub plain_http: Vec<Duration>,
    pub old_tls: Vec<Duration>,
    pub malformed: usize,
}

impl Flood {
    /// Bad requests for so long: plain HTTP, TLS 1.0 and 1.1, and malformed JSON, about 500 a second together.
    pub async fn pour(target: &Target, lasts: Duration) -> Outcome<Self> {
        let mut flood = Self::default();
        let malformed = tokio::spawn(target.clone().malformed(lasts));
        let mut wrong = JoinSet::<Outcome<_>>::new();
        let (mut clock, began) = (interval(Duration::from_millis(8)), Instant::now());
        for minor in [1, 2].into_iter().cycle() {
            clock.tick().await;
            if began.elapsed() > lasts {
                break;
            }
            let (first, second) = (target.clone(), target.clone());
            let plain = async move { Ok((true, first.closed_after(b"GET / HTTP/1.1\r\n\r\n").await?)) };
            let old = async move { Ok((false, second.closed_after(&old_hello(minor)).await?)) };
            wrong.spawn(plain);
            wrong.spawn(old);
        }
        while let Some(closed) = wrong.join_next().await {
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
