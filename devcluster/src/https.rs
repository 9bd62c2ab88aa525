//! A small HTTPS server on the calling runtime. Its only client is the API server.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::serve::Listener;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::pki::CertifiedKey;
use crate::{Error, Result};

/// Listens at `address` and serves `router` until the returned task is aborted.
pub async fn serve(address: SocketAddr, pair: &CertifiedKey, router: Router) -> Result<JoinHandle<()>> {
    let tcp = TcpListener::bind(address)
        .await
        .map_err(|source| Error::Start { program: format!("a server at {address}"), source })?;
    let listener = TlsListener { tcp, acceptor: TlsAcceptor::from(Arc::new(server_config(pair)?)) };
    Ok(tokio::spawn(async move {
        // It never returns an error: it runs until the task is aborted.
        let _ = axum::serve(listener, router).await;
    }))
}

/// The TLS configuration of a server with this certificate, without client certificates.
pub fn server_config(pair: &CertifiedKey) -> Result<ServerConfig> {
    let failed = |reason: &dyn std::fmt::Display| Error::Certificate(reason.to_string());
    let certificate =
        CertificateDer::from_pem_slice(pair.certificate.as_bytes()).map_err(|error| failed(&error))?;
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(|error| failed(&error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key))
        .map_err(|error| failed(&error))
}

/// Performs one handshake at a time, which is enough for a single client.
struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.tcp).await;
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
