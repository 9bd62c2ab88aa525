//! The operator's own CA: create it, read it back, issue serving certificates from it.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::bundle;
use crate::pair::{PairError, Validity};

/// How far before its issue a certificate's notBefore is set, so that clients whose clock is behind
/// accept it.
pub const BACKDATED: Duration = Duration::from_hours(1);

/// The longest common name in characters: X.509's ub-common-name.
const MAX_COMMON_NAME: usize = 64;

/// A CA certificate with its signing key (ECDSA P-256).
#[derive(Debug)]
pub struct Ca {
    certificate: CertificateDer<'static>,
    validity: Validity,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// The DNS names of its name constraints, sorted; empty if it has none.
    permitted: Vec<String>,
}

/// A serving certificate with its key, both as PEM.
#[derive(Clone)]
pub struct IssuedCertificate {
    /// The certificate chain, leaf first.
    pub chain: String,
    /// The private key: PKCS#8.
    pub key: String,
}

/// Why a CA cannot be created, read or used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The certificate's PEM is broken, or contains no certificate.
    #[error("the CA certificate is not readable PEM: {0}")]
    Pem(pem::Error),
    /// The PEM block is not an X.509 certificate.
    #[error("the CA certificate is not a well-formed X.509 certificate")]
    Certificate,
    /// The certificate is a leaf: its basic constraints do not make it a CA.
    #[error("the CA certificate is not allowed to sign certificates")]
    NotACa,
    /// The key's PEM is broken, or the key is of an unsupported kind.
    #[error("the CA's key cannot be read: {0}")]
    Key(rcgen::Error),
    /// Certificate and key come from different CAs.
    #[error("the CA's key does not belong to its certificate")]
    Mismatch,
    /// Signing failed. Input from outside cannot cause this.
    #[error("cannot issue a certificate: {0}")]
    Issue(rcgen::Error),
    /// The issued certificate cannot be served. Input from outside cannot cause this.
    #[error("the issued certificate cannot be served: {0}")]
    Issued(#[from] PairError),
}

impl Ca {
    /// Creates a CA that is valid from an hour before `now` until `duration` after it.
    ///
    /// Its name constraints permit it to sign for `dns_names` and their subdomains alone; without
    /// names it has no constraints. A client that trusts it for the webhook can be deceived about no
    /// other server by a thief of its key.
    ///
    /// The subject ends with a digest of the key: a client that looks for the signer of a
    /// certificate would otherwise confuse two CAs of the same name.
    pub fn create(
        name: &str,
        dns_names: &[String],
        now: SystemTime,
        duration: Duration,
    ) -> Result<Self, CaError> {
        let key = KeyPair::generate().map_err(CaError::Issue)?;
        let mut params = CertificateParams::default();
        let digest =
            params.key_identifier(&key).iter().take(8).fold(0, |digest, byte| digest << 8 | u64::from(*byte));
        let name: String = name.chars().take(MAX_COMMON_NAME - 17).collect();
        params.distinguished_name.push(DnType::CommonName, format!("{name} {digest:016x}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let permitted_subtrees: Vec<_> = dns_names.iter().cloned().map(GeneralSubtree::DnsName).collect();
        params.name_constraints = (!permitted_subtrees.is_empty())
            .then_some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
        set_validity(&mut params, now, now + duration);
        let certificate = params.self_signed(&key).map_err(CaError::Issue)?;
        Self::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
    }

    /// Reads a CA from PEM: the output of [`Self::certificate_pem`] and [`Self::key_pem`], or a
    /// user's own CA.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, CaError> {
        let certificate = CertificateDer::from_pem_slice(certificate).map_err(CaError::Pem)?;
        let validity = Validity::of(&certificate).map_err(|_| CaError::Certificate)?;
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| CaError::Certificate)?;
        if !parsed.is_ca() {
            return Err(CaError::NotACa);
        }
        let key = std::str::from_utf8(key).map_err(|_| CaError::Key(rcgen::Error::CouldNotParseKeyPair))?;
        let key = KeyPair::from_pem(key).map_err(CaError::Key)?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(CaError::Mismatch);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| CaError::Certificate)?;
        let permitted = permitted(&parsed);
        let pem = bundle::to_pem([&certificate]);
        Ok(Self { pem, validity, issuer, permitted, certificate: certificate.clone() })
    }

    /// Issues a serving certificate for DNS names, valid from an hour before `now` until `duration`
    /// after it.
    ///
    /// The certificate is never valid outside the CA's own validity. Otherwise, after the clock was
    /// set back, a server would present a certificate that every client rejects.
    pub fn issue(
        &self,
        dns_names: &[String],
        now: SystemTime,
        duration: Duration,
    ) -> Result<IssuedCertificate, CaError> {
        let mut params = CertificateParams::new(dns_names).map_err(CaError::Issue)?;
        // Clients check the subject alternative names only; the common name is for humans.
        params.distinguished_name.push(DnType::CommonName, common_name(dns_names));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issued_at = now.max(self.validity.not_before + BACKDATED);
        set_validity(&mut params, issued_at, (now + duration).min(self.validity.not_after));
        let key = KeyPair::generate().map_err(CaError::Issue)?;
        let chain = params.signed_by(&key, &self.issuer).map_err(CaError::Issue)?.pem();
        Ok(IssuedCertificate { chain, key: key.serialize_pem() })
    }

    /// Whether its name constraints permit these DNS names and no other.
    pub fn is_limited_to(&self, dns_names: &[String]) -> bool {
        let mut names = dns_names.to_vec();
        names.sort();
        self.permitted == names
    }

    /// The CA certificate, which clients trust.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The CA certificate as PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The signing key as PEM: PKCS#8.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// The validity of the CA certificate.
    pub fn validity(&self) -> Validity {
        self.validity
    }
}

/// The DNS names that the name constraints of a CA permit, sorted.
fn permitted(ca: &X509Certificate<'_>) -> Vec<String> {
    let constraints = ca.name_constraints().ok().flatten();
    let subtrees = constraints.and_then(|constraints| constraints.value.permitted_subtrees.as_ref());
    let mut names: Vec<String> = subtrees
        .into_iter()
        .flatten()
        .filter_map(|subtree| match &subtree.base {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    names.sort();
    names
}

/// X.509 rounds both times to whole seconds.
fn set_validity(params: &mut CertificateParams, issued_at: SystemTime, not_after: SystemTime) {
    params.not_before = (issued_at - BACKDATED).into();
    params.not_after = not_after.into();
}

fn common_name(dns_names: &[String]) -> String {
    dns_names.first().map(|name| name.chars().take(MAX_COMMON_NAME).collect()).unwrap_or_default()
}

/// Omits the key, so that it never reaches a log.
impl fmt::Debug for IssuedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedCertificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}
