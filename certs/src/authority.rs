//! A certificate authority of our own: made, read back, and what it issues. Floor 0.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::bundle;
use crate::pair::{PairError, Validity};

/// How far back a certificate is dated, so that a client whose clock is behind takes it. Its issue is that much later
/// than its notBefore.
pub const BACKDATED: Duration = Duration::from_hours(1);

/// A certificate with the key that signs for it (ECDSA P-256).
#[derive(Debug)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    validity: Validity,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A leaf with its key, both as PEM.
#[derive(Clone)]
pub struct Issued {
    pub chain: String,
    pub key: String,
}

/// Why there is no authority, or nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("the authority's certificate is not readable PEM: {0}")]
    Pem(pem::Error),
    #[error("the authority's certificate is not a well-formed X.509 certificate")]
    Certificate,
    #[error("the authority's certificate may not sign others")]
    NoAuthority,
    #[error("the authority's key cannot be read: {0}")]
    Key(rcgen::Error),
    #[error("the authority's key is not that of its certificate")]
    Mismatch,
    /// Never because of what came from outside.
    #[error("cannot issue a certificate: {0}")]
    Issue(rcgen::Error),
    /// Nor this.
    #[error("what was issued cannot be served: {0}")]
    Issued(#[from] PairError),
}

impl Authority {
    /// A new one, valid from an hour before `now` until `life` after it.
    ///
    /// Its subject ends with a digest of its key: two authorities of one name would be taken for each other while a
    /// client looks for the one that signed.
    pub fn create(name: &str, now: SystemTime, life: Duration) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Issue)?;
        let mut params = CertificateParams::default();
        let digest =
            params.key_identifier(&key).iter().take(8).fold(0, |digest, byte| digest << 8 | u64::from(*byte));
        let name: String = name.chars().take(COMMON_NAME - 17).collect();
        params.distinguished_name.push(DnType::CommonName, format!("{name} {digest:016x}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        date(&mut params, now, now + life);
        let certificate = params.self_signed(&key).map_err(AuthorityError::Issue)?;
        Self::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
    }

    /// Reads back what `certificate_pem` and `key_pem` gave, or a person's own.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, AuthorityError> {
        let certificate = CertificateDer::from_pem_slice(certificate).map_err(AuthorityError::Pem)?;
        let validity = Validity::of(&certificate).map_err(|_| AuthorityError::Certificate)?;
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| AuthorityError::Certificate)?;
        if !parsed.is_ca() {
            return Err(AuthorityError::NoAuthority);
        }
        let key =
            std::str::from_utf8(key).map_err(|_| AuthorityError::Key(rcgen::Error::CouldNotParseKeyPair))?;
        let key = KeyPair::from_pem(key).map_err(AuthorityError::Key)?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(AuthorityError::Mismatch);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| AuthorityError::Certificate)?;
        let pem = bundle::text([&certificate]);
        Ok(Self { pem, validity, issuer, certificate: certificate.clone() })
    }

    /// A leaf for DNS names that a server may present, valid from an hour before `now`, never while the authority is not:
    /// a clock that is set back would have a server present it otherwise, and every client refuse it.
    pub fn issue(&self, names: &[String], now: SystemTime, life: Duration) -> Result<Issued, AuthorityError> {
        let mut params = CertificateParams::new(names).map_err(AuthorityError::Issue)?;
        // Clients look at the alternative names alone; the subject is for people.
        params.distinguished_name.push(DnType::CommonName, common_name(names));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issue = now.max(self.validity.not_before + BACKDATED);
        date(&mut params, issue, (now + life).min(self.validity.not_after));
        let key = KeyPair::generate().map_err(AuthorityError::Issue)?;
        let chain = params.signed_by(&key, &self.issuer).map_err(AuthorityError::Issue)?.pem();
        Ok(Issued { chain, key: key.serialize_pem() })
    }

    /// What clients trust.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The same as PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// PKCS#8.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    pub fn validity(&self) -> Validity {
        self.validity
    }
}

/// Seconds count: X.509 knows nothing smaller.
fn date(params: &mut CertificateParams, issue: SystemTime, until: SystemTime) {
    params.not_before = (issue - BACKDATED).into();
    params.not_after = until.into();
}

/// The letters that a common name may have: X.509's ub-common-name.
const COMMON_NAME: usize = 64;

fn common_name(names: &[String]) -> String {
    names.first().map(|name| name.chars().take(COMMON_NAME).collect()).unwrap_or_default()
}

/// The key never reaches a log.
impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("chain", &self.chain).finish_non_exhaustive()
    }
}
