//! A bundle: the certificates of the authorities that a client trusts, as PEM. Floor 0.

use ::pem::{EncodeConfig, LineEnding, Pem};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};

use crate::pair::Validity;

/// Why bytes are no bundle of certificates.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("it is not readable PEM: {0}")]
    Pem(pem::Error),
    #[error("it holds no CERTIFICATE block")]
    Empty,
    /// Counted from 1.
    #[error("certificate {0} of it is not a well-formed X.509 certificate")]
    Certificate(usize),
}

/// The certificates of a PEM bundle, each with its time; at least one.
pub fn read(pem: &[u8]) -> Result<Vec<(CertificateDer<'static>, Validity)>, BundleError> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(BundleError::Pem)?;
    if certificates.is_empty() {
        return Err(BundleError::Empty);
    }
    let dated = |(index, certificate): (usize, CertificateDer<'static>)| {
        let validity = Validity::of(&certificate).map_err(|_| BundleError::Certificate(index + 1))?;
        Ok((certificate, validity))
    };
    certificates.into_iter().enumerate().map(dated).collect()
}

/// Certificates as PEM, one block each.
pub fn text<'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> String {
    let blocks: Vec<Pem> =
        certificates.into_iter().map(|der| Pem::new("CERTIFICATE", der.as_ref())).collect();
    ::pem::encode_many_config(&blocks, EncodeConfig::new().set_line_ending(LineEnding::LF))
}
