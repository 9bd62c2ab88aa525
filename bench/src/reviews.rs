//! AdmissionReviews of several sizes, and the load of them on a webhook.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::workload::{Workload, group};

/// A size of review, and how many of it are sent in a round.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub name: &'static str,
    /// Variables of the container, in the new and in the old object.
    variables: usize,
    /// Annotations of 100 bytes, in the new and in the old object.
    annotations: usize,
    pub requests: usize,
    pub connections: usize,
}

/// A group of 1 kB as it is created; an update of a group near the bound of a spec; an update of a group as
/// large as an API server stores.
pub const SIZES: [Size; 3] = [
    Size { name: "2 kB", variables: 0, annotations: 0, requests: 40_000, connections: 8 },
    Size { name: "100 kB", variables: 750, annotations: 0, requests: 4000, connections: 8 },
    Size { name: "3 MB", variables: 0, annotations: 14_000, requests: 160, connections: 4 },
];

impl Size {
    /// The review as an API server sends it.
    pub fn review(&self) -> Bytes {
        let object = self.object(2);
        let old = if self.variables + self.annotations == 0 { Value::Null } else { self.object(1) };
        let operation = if old.is_null() { "CREATE" } else { "UPDATE" };
        let kind = json!({"group": "thenextapps.com", "version": "v1alpha1", "kind": "KconsumerGroup"});
        let resource =
            json!({"group": "thenextapps.com", "version": "v1alpha1", "resource": "kconsumergroups"});
        let request = json!({
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": object["metadata"]["name"], "namespace": "default", "operation": operation,
            "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
            "object": object, "oldObject": old, "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-create"},
        });
        // The request's uid comes first, as an API server writes it.
        Bytes::from(format!(
            r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{request}}}"#
        ))
    }

    fn object(&self, generation: i64) -> Value {
        let mut object = group(&Workload::new("bench", 1).name(0));
        object["metadata"]["namespace"] = json!("default");
        object["metadata"]["uid"] = json!("9d8f3b1c-0f0e-4a52-9a57-4b3f0e9f6b11");
        object["metadata"]["generation"] = json!(generation);
        let annotation = |index: usize| (format!("example.com/note-{index:05}"), json!("n".repeat(80)));
        object["metadata"]["annotations"] =
            (0..self.annotations).map(annotation).collect::<Map<_, _>>().into();
        let variable = |index: usize| json!({"name": format!("SETTING_{index:04}"), "value": "v".repeat(24 + usize::from(generation == 2))});
        if self.variables > 0 {
            object["spec"]["consumerSpec"]["env"] = (0..self.variables).map(variable).collect();
        }
        object
    }
}

/// Sends reviews over some connections, one after the other on each. Every answer has to allow the review.
pub async fn load(address: SocketAddr, ca: &str, size: Size) -> Result<()> {
    let (connector, review) = (connector(ca)?, size.review());
    let each = size.requests.div_ceil(size.connections);
    try_join_all((0..size.connections).map(|_| async {
        let mut connection = connect(&connector, address).await?;
        for _ in 0..each {
            send(&mut connection, review.clone()).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

fn connector(ca: &str) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
}

async fn connect(connector: &TlsConnector, address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.context("connect to the webhook")?;
    stream.set_nodelay(true)?;
    let stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn send(connection: &mut SendRequest<Full<Bytes>>, review: Bytes) -> Result<()> {
    let request =
        Request::post("/validate").header("host", "localhost").header("content-type", "application/json");
    connection.ready().await?;
    let response = connection.send_request(request.body(Full::new(review))?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let allows = body.windows(14).any(|window| window == br#""allowed":true"#);
    ensure!(allows, "HTTP {status}: {}", String::from_utf8_lossy(&body[..body.len().min(500)]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviews_have_the_size_of_their_name() {
        let bytes = SIZES.map(|size| size.review().len());
        assert!((1800..2400).contains(&bytes[0]), "{bytes:?}");
        assert!((90_000..110_000).contains(&bytes[1]), "{bytes:?}");
        assert!((2_900_000..3_300_000).contains(&bytes[2]), "{bytes:?}");
    }
}
