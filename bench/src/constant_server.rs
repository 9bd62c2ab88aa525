//! The floor of the webhook: a TLS server that reads a review and allows it, whatever is in it. It runs in a
//! process of its own, so that its CPU time can be read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::de::IgnoredAny;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The subcommand, which is not for users.
pub const COMMAND: &str = "constant-server";

/// What the server is told.
pub struct Arguments {
    address: SocketAddr,
    /// With tls.crt and tls.key.
    folder: PathBuf,
    /// Whether it also parses the body, without keeping anything of it.
    walks: bool,
}

impl Arguments {
    /// `None` if this process is not the server.
    pub fn from_environment() -> Option<Self> {
        let mut arguments = std::env::args().skip(1);
        if arguments.next()? != COMMAND {
            return None;
        }
        let (address, folder) = (arguments.next()?.parse().ok()?, arguments.next()?.into());
        Some(Self { address, folder, walks: arguments.next().is_some() })
    }

    /// As [`Self::from_environment`] reads them.
    pub fn to_arguments(address: SocketAddr, folder: &std::path::Path, walks: bool) -> Vec<String> {
        let mut arguments = vec![COMMAND.to_owned(), address.to_string(), folder.display().to_string()];
        arguments.extend(walks.then(|| "walk".to_owned()));
        arguments
    }
}

/// Serves until the process is killed.
pub async fn run(arguments: Arguments) -> Result<()> {
    let tls = TlsAcceptor::from(tls(&arguments)?);
    let listener = TcpListener::bind(arguments.address).await.context("listen")?;
    loop {
        let (stream, _) = listener.accept().await?;
        let tls = tls.clone();
        tokio::spawn(async move {
            stream.set_nodelay(true)?;
            let stream = TokioIo::new(tls.accept(stream).await?);
            let service = service_fn(move |request| answer(request, arguments.walks));
            http1::Builder::new().serve_connection(stream, service).await?;
            anyhow::Ok(())
        });
    }
}

/// The protocols of the webhook.
fn tls(arguments: &Arguments) -> Result<Arc<ServerConfig>> {
    let file =
        |name: &str| std::fs::read(arguments.folder.join(name)).with_context(|| format!("read {name}"));
    let chain = CertificateDer::pem_slice_iter(&file("tls.crt")?).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(&file("tls.key")?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

async fn answer(request: Request<Incoming>, walks: bool) -> Result<Response<Full<Bytes>>, Infallible> {
    let Ok(body) = request.into_body().collect().await else { return Ok(Response::default()) };
    let body = body.to_bytes();
    if walks && serde_json::from_slice::<IgnoredAny>(&body).is_err() {
        return Ok(Response::default());
    }
    let answer = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"{}","allowed":true}}}}"#,
        uid(&body)
    );
    let response = Response::builder().header(CONTENT_TYPE, "application/json").body(Full::from(answer));
    Ok(response.unwrap_or_default())
}

/// The uid that an API server expects in the answer: the first one of the review.
fn uid(review: &[u8]) -> String {
    const FIELD: &[u8] = br#""uid":""#;
    let start = &review[..review.len().min(512)];
    let found =
        start.windows(FIELD.len()).position(|window| window == FIELD).map(|at| &start[at + FIELD.len()..]);
    let uid = found.and_then(|rest| rest.split(|byte| *byte == b'"').next()).unwrap_or_default();
    String::from_utf8_lossy(uid).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uid_is_that_of_the_request() {
        let review =
            br#"{"kind":"AdmissionReview","request":{"uid":"a-1","object":{"metadata":{"uid":"b"}}}}"#;
        assert_eq!(uid(review), "a-1");
        assert_eq!(uid(b"{}"), "");
    }
}
