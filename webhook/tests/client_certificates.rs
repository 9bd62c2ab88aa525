//! Which clients get through the handshake if client certificates are required.
#![allow(clippy::unwrap_used, reason = "test code")]

mod harness;

use std::sync::Arc;
use std::time::Duration;

use harness::{AllowAll, Client, TestServer, review};
use kcg_certs::client_verifier::{ClientCas, ClientVerifier};
use kcg_webhook::server::Limits;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A CA of clients.
struct ClientCa {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// The certificate and the key of a client.
type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl ClientCa {
    fn new() -> Self {
        let mut params = named("a CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: &str) -> Identity {
        let mut params = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        (certificate.der().clone(), key)
    }

    fn cas(&self) -> ClientCas {
        ClientCas::from_pem(self.pem.as_bytes()).unwrap()
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

async fn server(verifier: &Arc<ClientVerifier>) -> TestServer {
    TestServer::start_for(Some(Arc::clone(verifier)), Limits::default(), AllowAll, Duration::ZERO).await
}

/// Whether a client with this certificate gets a review answered. With TLS 1.3 it learns only from its
/// first read that the server has refused the handshake.
async fn is_served(server: &TestServer, identity: Option<Identity>) -> bool {
    match Client::connect_as(server.address, &server.chain(), &[b"http/1.1"], identity).await {
        Ok(mut client) => client.try_post("/validate", &review("a", "{}")).await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn only_a_client_with_an_allowed_subject_of_the_ca_gets_through_the_handshake() {
    let (ca, other_ca) = (ClientCa::new(), ClientCa::new());
    let verifier = Arc::new(ClientVerifier::new(vec!["kube-apiserver".to_owned()]));
    let server = server(&verifier).await;
    assert!(!is_served(&server, Some(ca.sign("kube-apiserver"))).await, "before the CA was read");
    verifier.replace(ca.cas());
    assert!(is_served(&server, Some(ca.sign("kube-apiserver"))).await);
    assert!(!is_served(&server, None).await, "without a certificate");
    assert!(!is_served(&server, Some(ca.sign("a-pod"))).await, "another subject");
    assert!(!is_served(&server, Some(other_ca.sign("kube-apiserver"))).await, "another CA");
    let metrics = server.metrics();
    assert!(metrics.contains(r#"webhook_connection_errors_total{reason="handshake"} 4"#), "{metrics}");
}

#[tokio::test]
async fn without_allowed_names_every_subject_of_the_ca_is_accepted_and_a_new_ca_replaces_the_old() {
    let (old, new) = (ClientCa::new(), ClientCa::new());
    let verifier = Arc::new(ClientVerifier::new(Vec::new()));
    verifier.replace(old.cas());
    let server = server(&verifier).await;
    assert!(is_served(&server, Some(old.sign("anyone"))).await);
    verifier.replace(new.cas());
    assert!(!is_served(&server, Some(old.sign("anyone"))).await);
    assert!(is_served(&server, Some(new.sign("anyone"))).await);
}
