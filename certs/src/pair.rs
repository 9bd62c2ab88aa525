//! A certificate chain with its private key, known to belong together. Floor 0.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use x509_parser::error::X509Error;
use x509_parser::nom;
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate};

/// The file, or the key of a Secret, that a chain comes in: PEM, leaf first.
pub const CHAIN_FILE: &str = "tls.crt";
/// The one that its private key comes in: PEM.
pub const KEY_FILE: &str = "tls.key";
/// The one that the authority's certificate comes in, where there is one.
pub const AUTHORITY_FILE: &str = "ca.crt";

/// A chain (leaf first) and the leaf's private key.
///
/// A `Pair` exists only when every certificate of the chain parses and the key is the leaf's own, so whoever
/// holds one can serve it.
#[derive(Clone)]
pub struct Pair {
    certified: Arc<CertifiedKey>,
    names: Arc<[String]>,
    validity: Validity,
}

/// From when until when a certificate holds, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

/// How a certificate stands to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The leaf's notBefore is still to come.
    NotYetValid,
    /// Between notBefore and notAfter, both included.
    Valid,
    /// The leaf's notAfter has passed.
    Expired,
}

/// Why bytes are not a pair that can be served.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The chain's PEM is broken between its markers.
    #[error("the certificate chain is not readable PEM: {0}")]
    ChainPem(pem::Error),
    /// No CERTIFICATE block at all.
    #[error("the certificate chain holds no CERTIFICATE block")]
    NoCertificate,
    /// A block of the chain is no X.509 certificate; counted from 1, leaf first.
    #[error("certificate {position} of the chain is not a well-formed X.509 certificate: {source}")]
    Certificate {
        /// The certificate's place in the chain, from 1.
        position: usize,
        /// What the parser said.
        source: nom::Err<X509Error>,
    },
    /// The key's PEM is broken, or holds no private key.
    #[error("the private key is not readable PEM: {0}")]
    KeyPem(pem::Error),
    /// A key of a kind that cannot sign here.
    #[error("the private key cannot be used (ECDSA P-256 or P-384, Ed25519 or RSA are): {0}")]
    Key(rustls::Error),
    /// A new certificate beside an old key, or the other way round: often a pair caught half-written.
    #[error("the private key is not that of the first certificate of the chain")]
    Mismatch,
}

impl Pair {
    /// Takes a PEM chain (leaf first) and the leaf's PEM key (PKCS#8, PKCS#1 or SEC1).
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, PairError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(PairError::ChainPem)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(PairError::KeyPem)?;
        Self::from_der(chain, &key)
    }

    /// Takes a DER chain (leaf first) and the leaf's key.
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

    /// What rustls serves.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The DNS names that the leaf is for.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether a client that asks for this DNS name takes the leaf, wildcards included.
    pub fn is_for(&self, name: &str) -> bool {
        let leaf = self.chain().first().and_then(|leaf| webpki::EndEntityCert::try_from(leaf).ok());
        let name = ServerName::try_from(name).ok();
        leaf.zip(name).is_some_and(|(leaf, name)| leaf.verify_is_valid_for_subject_name(&name).is_ok())
    }

    /// From when until when the leaf holds.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The first moment of the leaf.
    pub fn not_before(&self) -> SystemTime {
        self.validity.not_before
    }

    /// The last moment of the leaf.
    pub fn not_after(&self) -> SystemTime {
        self.validity.not_after
    }

    /// Whether the leaf holds at `now`.
    pub fn standing(&self, now: SystemTime) -> Standing {
        self.validity.standing(now)
    }
}

impl Validity {
    /// That of a DER certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, nom::Err<X509Error>> {
        read(certificate).map(|(validity, _)| validity)
    }

    /// Whether the certificate holds at `now`.
    pub fn standing(&self, now: SystemTime) -> Standing {
        if now < self.not_before {
            Standing::NotYetValid
        } else if now > self.not_after {
            Standing::Expired
        } else {
            Standing::Valid
        }
    }
}

/// The key never reaches a log.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("names", &self.names)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

/// The certificate's time and its DNS names.
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

/// X.509 reaches back before 1970 and up to the year 9999; both ends fit a `SystemTime`.
fn instant(time: ASN1Time) -> SystemTime {
    let since_epoch = Duration::from_secs(time.timestamp().unsigned_abs());
    if time.timestamp() < 0 {
        SystemTime::UNIX_EPOCH - since_epoch
    } else {
        SystemTime::UNIX_EPOCH + since_epoch
    }
}
