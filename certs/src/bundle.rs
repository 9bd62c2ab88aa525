//! CA bundles: the CA certificates that a client trusts, as PEM.

use ::pem::{EncodeConfig, LineEnding, Pem};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};

use crate::pair::Validity;

/// Why bytes are not a bundle of certificates.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The PEM is broken between its markers.
    #[error("it is not readable PEM: {0}")]
    Pem(pem::Error),
    /// The PEM contains no certificate.
    #[error("it contains no CERTIFICATE block")]
    Empty,
    /// The certificate at this position, counted from 1, is not X.509.
    #[error("its certificate {0} is not a well-formed X.509 certificate")]
    Certificate(usize),
}

/// Parses a PEM bundle into its certificates, at least one, each with its validity.
pub fn parse(pem: &[u8]) -> Result<Vec<(CertificateDer<'static>, Validity)>, BundleError> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(BundleError::Pem)?;
    if certificates.is_empty() {
        return Err(BundleError::Empty);
    }
    let with_validity = |(index, certificate): (usize, CertificateDer<'static>)| {
        let validity = Validity::of(&certificate).map_err(|_| BundleError::Certificate(index + 1))?;
        Ok((certificate, validity))
    };
    certificates.into_iter().enumerate().map(with_validity).collect()
}

/// Encodes certificates as PEM, one block each.
pub fn to_pem<'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> String {
    let blocks: Vec<Pem> =
        certificates.into_iter().map(|der| Pem::new("CERTIFICATE", der.as_ref())).collect();
    ::pem::encode_many_config(&blocks, EncodeConfig::new().set_line_ending(LineEnding::LF))
}
