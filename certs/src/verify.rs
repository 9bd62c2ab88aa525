//! Verifies a certificate chain against a CA bundle, by the rules that the API server applies.

use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::bundle::{self, BundleError};
use crate::pair::ValidityStatus;

/// Why a client would reject the chain.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The CA bundle cannot be read.
    #[error("the CA bundle cannot be read: {0}")]
    Bundle(#[from] BundleError),
    /// The chain is empty.
    #[error("there is no certificate")]
    NoCertificate,
    /// The requested name is not a DNS name.
    #[error("{0:?} is not a DNS name")]
    Name(String),
    /// The leaf is not valid for the requested name.
    #[error("the certificate is not for {0}")]
    OtherName(String),
    /// The leaf or an intermediate certificate is not valid yet.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// The leaf or an intermediate certificate has expired.
    #[error("the certificate has expired")]
    Expired,
    /// The chain ends in a trusted CA that is outside its own validity.
    #[error("the CA of the certificate has expired or is not valid yet")]
    CaOutOfTime,
    /// No trusted CA signed the chain.
    #[error("the certificate is signed by a CA that is not trusted")]
    Untrusted,
    /// The chain violates another rule of RFC 5280.
    #[error("the certificate cannot be trusted: {0}")]
    Unfit(webpki::Error),
}

/// Verifies the chain (leaf first) as a client does that trusts the PEM bundle `trusted` and
/// connects to `name` at `now`.
///
/// Like Go's verification and unlike rustls's, it also checks the validity of the CA certificate.
pub fn verify(
    chain: &[CertificateDer<'_>],
    trusted: &[u8],
    name: &str,
    now: SystemTime,
) -> Result<(), VerifyError> {
    let (leaf, intermediates) = chain.split_first().ok_or(VerifyError::NoCertificate)?;
    let server = ServerName::try_from(name).map_err(|_| VerifyError::Name(name.into()))?;
    let bundle = bundle::parse(trusted)?;
    let leaf = EndEntityCert::try_from(leaf).map_err(VerifyError::Unfit)?;

    let valid = bundle.iter().filter(|(_, validity)| validity.status(now) == ValidityStatus::Valid);
    let anchors: Vec<TrustAnchor<'_>> = valid.filter_map(|(ca, _)| anchor(ca)).collect();
    let all: Vec<TrustAnchor<'_>> = bundle.iter().filter_map(|(ca, _)| anchor(ca)).collect();
    let trusted_by = |anchors: &[TrustAnchor<'_>]| {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
        let usage = KeyUsage::server_auth();
        leaf.verify_for_usage(algorithms, anchors, intermediates, unix_time(now), usage, None, None)
            .map(|_| ())
    };
    match trusted_by(&anchors) {
        Err(webpki::Error::UnknownIssuer) if trusted_by(&all).is_ok() => {
            return Err(VerifyError::CaOutOfTime);
        }
        outcome => outcome.map_err(from_webpki)?,
    }
    leaf.verify_is_valid_for_subject_name(&server).map_err(|_| VerifyError::OtherName(name.into()))
}

/// `None` if the certificate is not X.509 version 3: it cannot be a trust anchor.
fn anchor<'a>(ca: &'a CertificateDer<'_>) -> Option<TrustAnchor<'a>> {
    anchor_from_trusted_cert(ca).ok()
}

fn from_webpki(error: webpki::Error) -> VerifyError {
    match error {
        webpki::Error::CertExpired { .. } => VerifyError::Expired,
        webpki::Error::CertNotValidYet { .. } => VerifyError::NotYetValid,
        webpki::Error::UnknownIssuer => VerifyError::Untrusted,
        other => VerifyError::Unfit(other),
    }
}

fn unix_time(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO))
}
