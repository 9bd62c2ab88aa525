//! Whether a chain serves a name to a client that trusts a bundle, judged as the API server judges it. Floor 0.

use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::bundle::{self, BundleError};
use crate::pair::Standing;

/// Why a client would refuse the chain.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// What should be trusted cannot be read.
    #[error("the bundle of trusted authorities cannot be read: {0}")]
    Bundle(#[from] BundleError),
    /// A chain of no certificate.
    #[error("there is no certificate")]
    NoCertificate,
    /// The name asked for is no DNS name.
    #[error("{0:?} is no DNS name")]
    Name(String),
    /// The leaf is for other names than the one asked for.
    #[error("the certificate is not for {0}")]
    OtherName(String),
    /// The leaf or one between it and the authority.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// The leaf or one between it and the authority.
    #[error("the certificate has expired")]
    Expired,
    /// Signed by one that is trusted, which holds no longer or not yet.
    #[error("the certificate's authority has expired or is not valid yet")]
    AuthorityOutOfTime,
    /// Signed by none that is trusted.
    #[error("the certificate comes from an authority that is not trusted")]
    Untrusted,
    /// Anything else that RFC 5280 forbids.
    #[error("the certificate cannot be trusted: {0}")]
    Unfit(webpki::Error),
}

/// Whether a client that trusts the PEM `trusted` and asks for `name` at `now` takes the chain (leaf first).
///
/// As Go's verification, and other than rustls's, it holds the authority itself to its time.
pub fn verify(
    chain: &[CertificateDer<'_>],
    trusted: &[u8],
    name: &str,
    now: SystemTime,
) -> Result<(), VerifyError> {
    let (leaf, between) = chain.split_first().ok_or(VerifyError::NoCertificate)?;
    let server = ServerName::try_from(name).map_err(|_| VerifyError::Name(name.into()))?;
    let bundle = bundle::read(trusted)?;
    let leaf = EndEntityCert::try_from(leaf).map_err(VerifyError::Unfit)?;

    let in_time = bundle.iter().filter(|(_, validity)| validity.standing(now) == Standing::Valid);
    let anchors: Vec<TrustAnchor<'_>> = in_time.filter_map(|(authority, _)| anchor(authority)).collect();
    let all: Vec<TrustAnchor<'_>> = bundle.iter().filter_map(|(authority, _)| anchor(authority)).collect();
    let trusted_by = |anchors: &[TrustAnchor<'_>]| {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
        let usage = KeyUsage::server_auth();
        leaf.verify_for_usage(algorithms, anchors, between, unix(now), usage, None, None).map(|_| ())
    };
    match trusted_by(&anchors) {
        Err(webpki::Error::UnknownIssuer) if trusted_by(&all).is_ok() => {
            return Err(VerifyError::AuthorityOutOfTime);
        }
        outcome => outcome.map_err(of_webpki)?,
    }
    leaf.verify_is_valid_for_subject_name(&server).map_err(|_| VerifyError::OtherName(name.into()))
}

/// One that is no certificate of version 3 is trusted for nothing.
fn anchor<'a>(authority: &'a CertificateDer<'_>) -> Option<TrustAnchor<'a>> {
    anchor_from_trusted_cert(authority).ok()
}

fn of_webpki(error: webpki::Error) -> VerifyError {
    match error {
        webpki::Error::CertExpired { .. } => VerifyError::Expired,
        webpki::Error::CertNotValidYet { .. } => VerifyError::NotYetValid,
        webpki::Error::UnknownIssuer => VerifyError::Untrusted,
        other => VerifyError::Unfit(other),
    }
}

fn unix(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO))
}
