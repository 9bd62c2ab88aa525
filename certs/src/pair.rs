//! A certificate chain and the private key that belongs to it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use x509_parser::error::X509Error;
use x509_parser::nom;
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate};

/// The file name, or Secret key, of the certificate chain: PEM, leaf first.
pub const CHAIN_FILE: &str = "tls.crt";
/// The file name, or Secret key, of the private key: PEM.
pub const KEY_FILE: &str = "tls.key";
/// The file name, or Secret key, of the CA certificate: PEM, optional.
pub const CA_FILE: &str = "ca.crt";

/// A chain (leaf first) and the leaf's private key.
///
/// A `Pair` can always be served: every certificate of its chain parses, and the key belongs to the
/// leaf.
#[derive(Clone)]
pub struct Pair {
    certified: Arc<CertifiedKey>,
    names: Arc<[String]>,
    validity: Validity,
}

/// The validity period of a certificate, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment at which the certificate is valid.
    pub not_before: SystemTime,
    /// The last moment at which the certificate is valid.
    pub not_after: SystemTime,
}

/// Whether a certificate is valid at a given time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidityStatus {
    /// Its notBefore is in the future.
    NotYetValid,
    /// The time is between notBefore and notAfter, both included.
    Valid,
    /// Its notAfter has passed.
    Expired,
}

/// Why bytes are not a certificate chain and key that can be served.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The chain's PEM is broken between its markers.
    #[error("the certificate chain is not readable PEM: {0}")]
    ChainPem(pem::Error),
    /// The chain has no CERTIFICATE block.
    #[error("the certificate chain contains no CERTIFICATE block")]
    NoCertificate,
    /// A block of the chain is not an X.509 certificate.
    #[error("certificate {position} of the chain is not a well-formed X.509 certificate: {source}")]
    Certificate {
        /// The certificate's position in the chain, from 1, leaf first.
        position: usize,
        /// The parser's error.
        source: nom::Err<X509Error>,
    },
    /// The key's PEM is broken, or contains no private key.
    #[error("the private key is not readable PEM: {0}")]
    KeyPem(pem::Error),
    /// The key is of a kind that the server cannot sign with.
    #[error("the private key is not supported (use ECDSA P-256 or P-384, Ed25519 or RSA): {0}")]
    Key(rustls::Error),
    /// A new certificate with an old key, or the reverse. Often the files were read between two
    /// writes.
    #[error("the private key does not belong to the first certificate of the chain")]
    Mismatch,
}

impl Pair {
    /// Reads a PEM chain (leaf first) and the leaf's PEM key (PKCS#8, PKCS#1 or SEC1).
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, PairError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(PairError::ChainPem)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(PairError::KeyPem)?;
        Self::from_der(chain, &key)
    }

    /// Reads a DER chain (leaf first) and the leaf's key.
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'static>,
    ) -> Result<Self, PairError> {
        let mut facts = Vec::with_capacity(chain.len());
        for (index, certificate) in chain.iter().enumerate() {
            facts.push(
                read(certificate).map_err(|source| PairError::Certificate { position: index + 1, source })?,
            );
        }
        let (validity, names) = facts.into_iter().next().ok_or(PairError::NoCertificate)?;
        let key = rustls::crypto::ring::sign::any_supported_type(key).map_err(PairError::Key)?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| PairError::Mismatch)?;
        Ok(Self { certified: Arc::new(certified), names: names.into(), validity })
    }

    /// The pair in the form that rustls serves.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The DNS names of the leaf.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether the leaf is valid for this DNS name; wildcards count.
    pub fn is_for(&self, name: &str) -> bool {
        let leaf = self.chain().first().and_then(|leaf| webpki::EndEntityCert::try_from(leaf).ok());
        let name = ServerName::try_from(name).ok();
        leaf.zip(name).is_some_and(|(leaf, name)| leaf.verify_is_valid_for_subject_name(&name).is_ok())
    }

    /// The validity of the leaf.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The leaf's notBefore.
    pub fn not_before(&self) -> SystemTime {
        self.validity.not_before
    }

    /// The leaf's notAfter.
    pub fn not_after(&self) -> SystemTime {
        self.validity.not_after
    }

    /// Whether the leaf is valid at `now`.
    pub fn validity_status(&self, now: SystemTime) -> ValidityStatus {
        self.validity.status(now)
    }
}

impl Validity {
    /// The validity of a DER certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, nom::Err<X509Error>> {
        read(certificate).map(|(validity, _)| validity)
    }

    /// Whether the certificate is valid at `now`.
    pub fn status(&self, now: SystemTime) -> ValidityStatus {
        if now < self.not_before {
            ValidityStatus::NotYetValid
        } else if now > self.not_after {
            ValidityStatus::Expired
        } else {
            ValidityStatus::Valid
        }
    }
}

/// Omits the key, so that it never reaches a log.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("names", &self.names)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// The certificate's validity and its DNS names.
fn read(certificate: &CertificateDer<'_>) -> Result<(Validity, Vec<String>), nom::Err<X509Error>> {
    let (_, parsed) = X509Certificate::from_der(certificate)?;
    let validity = Validity {
        not_before: instant(parsed.validity().not_before),
        not_after: instant(parsed.validity().not_after),
    };
    let alternatives = parsed.subject_alternative_name().ok().flatten();
    let names =
        alternatives.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
    Ok((validity, names.collect()))
}

/// X.509 times range from before 1970 up to the year 9999; a `SystemTime` holds all of them.
fn instant(time: ASN1Time) -> SystemTime {
    let since_epoch = Duration::from_secs(time.timestamp().unsigned_abs());
    if time.timestamp() < 0 {
        SystemTime::UNIX_EPOCH - since_epoch
    } else {
        SystemTime::UNIX_EPOCH + since_epoch
    }
}
