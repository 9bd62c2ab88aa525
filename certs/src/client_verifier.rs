//! Verifies the certificates of clients against CAs that may be replaced between two handshakes.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::bundle::{self, BundleError};

/// Why bytes are not the CAs of clients.
#[derive(Debug, thiserror::Error)]
pub enum ClientCaError {
    /// They are not a bundle of certificates.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A certificate is not one of a CA.
    #[error("a certificate is not one of a CA: {0}")]
    NotCa(String),
}

/// The CAs whose certificates clients may present.
#[derive(Clone, Debug)]
pub struct ClientCas(Arc<dyn ClientCertVerifier>);

impl ClientCas {
    /// Reads the CAs from PEM, at least one.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ClientCaError> {
        let not_ca = |error: &dyn ToString| ClientCaError::NotCa(error.to_string());
        let mut roots = RootCertStore::empty();
        for (certificate, _) in bundle::parse(pem)? {
            roots.add(certificate).map_err(|error| not_ca(&error))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        verifier.map(Self).map_err(|error| not_ca(&error))
    }
}

/// Requires a certificate of each client. While there are no CAs, every handshake fails.
#[derive(Debug)]
pub struct ClientVerifier {
    cas: ArcSwapOption<ClientCas>,
    /// The common names of the subjects that are accepted; empty accepts all.
    allowed_names: Vec<String>,
    provider: Arc<CryptoProvider>,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl ClientVerifier {
    /// A verifier without CAs. `allowed_names` are the common names of the subjects that it accepts; if
    /// there are none, it accepts each that a CA has signed.
    pub fn new(allowed_names: Vec<String>) -> Self {
        Self { cas: ArcSwapOption::empty(), allowed_names, provider: provider() }
    }

    /// Uses these CAs from the next handshake on.
    pub fn replace(&self, cas: ClientCas) {
        self.cas.store(Some(Arc::new(cas)));
    }

    fn is_allowed(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
            return false;
        };
        let mut names = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        self.allowed_names.is_empty() || names.any(|name| self.allowed_names.iter().any(|one| one == name))
    }
}

impl ClientCertVerifier for ClientVerifier {
    /// None: the CAs may change, and a client with one certificate needs no hint.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let Some(cas) = self.cas.load_full() else {
            return Err(Error::General("the CA of clients has not been read yet".to_owned()));
        };
        let verified = cas.0.verify_client_cert(end_entity, intermediates, now)?;
        if self.is_allowed(end_entity) {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
