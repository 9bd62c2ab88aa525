//! A CA and the certificates that it signs. They are valid for years because they are deleted with
//! the cluster.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::{Error, Result};

/// A certificate and its private key, both as PEM.
#[derive(Debug, Clone)]
pub struct CertifiedKey {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS#8.
    pub key: String,
}

/// A certificate ca.
#[derive(Debug)]
pub struct Ca {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    /// Creates a self-signed CA.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = named(name, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// The CA certificate as PEM, for clients to trust.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Issues a server certificate for DNS names and IP addresses. The first name is the common
    /// name.
    pub fn server(&self, names: &[&str]) -> Result<CertifiedKey> {
        let common_name = names.first().copied().unwrap_or_default();
        self.sign(named(common_name, names)?, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Issues a client certificate.
    pub fn client(&self, name: &str) -> Result<CertifiedKey> {
        self.sign(named(name, &[])?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Result<CertifiedKey> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        Ok(CertifiedKey { certificate, key: key.serialize_pem() })
    }
}

/// A key pair that signs ServiceAccount tokens. Its `certificate` is the bare public key.
pub(crate) fn signing_keys() -> Result<CertifiedKey> {
    let key = KeyPair::generate().map_err(failed)?;
    Ok(CertifiedKey { certificate: key.public_key_pem(), key: key.serialize_pem() })
}

fn named(common_name: &str, names: &[&str]) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

/// For `map_err`, which passes the error by value.
#[allow(clippy::needless_pass_by_value)]
fn failed(source: rcgen::Error) -> Error {
    Error::Certificate(source.to_string())
}
