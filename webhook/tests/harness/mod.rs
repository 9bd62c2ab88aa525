//! An admission server on 127.0.0.1, and a client that writes HTTP by hand so that it can break the
//! rules.
#![allow(clippy::unwrap_used, dead_code, reason = "test code; each test file uses a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use json_patch::Patch;
use kcg_certs::client_verifier::ClientVerifier;
use kcg_certs::{Pair, Resolver};
use kcg_webhook::admit::{Admission, AdmissionRequest, Verdict};
use kcg_webhook::metrics::WebhookMetrics;
use kcg_webhook::server::{self, Drain, Limits};
use prometheus_client::registry::Registry;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

/// The head of a request without the header that ends its body (Content-Length or
/// Transfer-Encoding).
pub const HEAD: &str = "POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";

/// Allows everything.
#[derive(Debug)]
pub struct AllowAll;

impl Admission for AllowAll {
    fn admit(&self, _request: &AdmissionRequest<'_>) -> Verdict {
        Verdict::Allowed { patch: Patch::default(), warnings: Vec::new() }
    }
}

pub struct PemFiles {
    pub chain: String,
    pub key: String,
}

/// A self-signed pair for `localhost`.
pub fn self_signed() -> PemFiles {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    PemFiles { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

pub struct TestServer {
    pub address: SocketAddr,
    pub stop: CancellationToken,
    pub served: JoinHandle<usize>,
    pub registry: Registry,
    pub resolver: Arc<Resolver>,
    chain: String,
}

/// Limits short enough for a test to wait for.
pub fn short_limits() -> Limits {
    Limits {
        handshake: Duration::from_millis(300),
        head: Duration::from_millis(300),
        request: Duration::from_millis(300),
        write: Duration::from_millis(300),
        idle: Duration::from_millis(1500),
        linger: Duration::from_millis(300),
        ..Limits::default()
    }
}

impl TestServer {
    pub async fn start(limits: Limits) -> Self {
        Self::start_with(limits, AllowAll, Duration::ZERO).await
    }

    pub async fn start_with(limits: Limits, admission: impl Admission, quiet_period: Duration) -> Self {
        Self::start_for(None, limits, admission, quiet_period).await
    }

    /// A server that serves only the clients which the verifier accepts.
    pub async fn start_for(
        clients: Option<Arc<ClientVerifier>>,
        limits: Limits,
        admission: impl Admission,
        quiet_period: Duration,
    ) -> Self {
        let files = self_signed();
        let resolver = Arc::new(Resolver::new());
        let pair = Pair::from_pem(files.chain.as_bytes(), files.key.as_bytes());
        resolver.replace(pair, SystemTime::now()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut registry = Registry::default();
        let metrics = WebhookMetrics::register(&mut registry);
        let drain = Drain { stop: stop.clone(), quiet_period };
        let tls = server::tls(Arc::clone(&resolver), clients).unwrap();
        let served = tokio::spawn(server::serve(listener, tls, limits, admission, metrics, drain));
        Self { address, stop, served, registry, resolver, chain: files.chain }
    }

    pub fn chain(&self) -> String {
        self.chain.clone()
    }

    pub async fn connect_plain(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.address, &self.chain, &[b"http/1.1"]).await.unwrap()
    }

    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

pub struct Client {
    pub stream: TlsStream<TcpStream>,
    /// Bytes that were read and belong to the next response.
    read: Vec<u8>,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn asks_to_close(&self) -> bool {
        self.head.to_ascii_lowercase().contains("connection: close")
    }
}

impl Client {
    pub async fn connect(address: SocketAddr, chain: &str, alpn: &[&[u8]]) -> std::io::Result<Self> {
        Self::connect_as(address, chain, alpn, None).await
    }

    /// Connects with a client certificate.
    pub async fn connect_as(
        address: SocketAddr,
        chain: &str,
        alpn: &[&[u8]],
        identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> std::io::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        Ok(Self { stream, read: Vec::new() })
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends a request and reads its response.
    pub async fn post(&mut self, path: &str, body: &str) -> Response {
        self.send(request(path, body)).await;
        self.response().await
    }

    /// Like [`Self::post`], but fails if the connection is closed.
    pub async fn try_post(&mut self, path: &str, body: &str) -> std::io::Result<Response> {
        self.stream.write_all(request(path, body).as_bytes()).await?;
        self.stream.flush().await?;
        self.try_response().await
    }

    /// Reads the next response; an interim one (100) counts.
    pub async fn response(&mut self) -> Response {
        match self.try_response().await {
            Ok(response) => response,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&self.read)),
        }
    }

    async fn try_response(&mut self) -> std::io::Result<Response> {
        loop {
            if let Some((response, length)) = parse_response(&self.read) {
                self.read.drain(..length);
                return Ok(response);
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(std::io::Error::other("the connection was closed"));
            }
        }
    }

    /// Reads until the server closes the connection; returns how long that took.
    pub async fn time_until_closed(&mut self) -> Duration {
        time_until_closed(&mut self.stream).await
    }
}

fn request(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Parses the response at the start of `bytes`; returns it with its length.
fn parse_response(bytes: &[u8]) -> Option<(Response, usize)> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let length: usize = text
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
        .map_or(0, |length| length.trim().parse().unwrap());
    let body = bytes.get(head + 4..head + 4 + length)?;
    let status = text[9..12].parse().unwrap();
    let response = Response { status, head: text, body: String::from_utf8_lossy(body).into_owned() };
    Some((response, head + 4 + length))
}

/// Reads until the server closes the stream; returns how long that took.
pub async fn time_until_closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Duration {
    let began = std::time::Instant::now();
    let mut chunk = [0; 4096];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut chunk)).await;
        match read.expect("the server closes the connection within 20 s") {
            Ok(0) | Err(_) => return began.elapsed(),
            Ok(_) => {}
        }
    }
}

/// A review that creates a KconsumerGroup, with this JSON as its object.
pub fn review(uid: &str, object: &str) -> String {
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"{uid}","kind":{{"group":"thenextapps.com","version":"v1alpha1","kind":"KconsumerGroup"}},"resource":{{"group":"thenextapps.com","version":"v1alpha1","resource":"kconsumergroups"}},"name":"kconsumer","namespace":"default","operation":"CREATE","userInfo":{{}},"object":{object},"oldObject":null,"dryRun":false,"options":null}}}}"#
    )
}
