//! Certificates for one cluster's life: an authority and what it signs, made in milliseconds, valid for years
//! since the files go with the cluster.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::{Error, Result};

/// A certificate with its private key, both as PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The key, PKCS#8.
    pub key: String,
}

/// A certificate authority of our own.
#[derive(Debug)]
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A fresh one.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = named(name, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// Its certificate as PEM, which clients trust.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A server's certificate for DNS names and IP addresses; the first is its common name.
    pub fn server(&self, names: &[&str]) -> Result<Pair> {
        let common_name = names.first().copied().unwrap_or_default();
        self.sign(named(common_name, names)?, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's certificate.
    pub fn client(&self, name: &str) -> Result<Pair> {
        self.sign(named(name, &[])?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Result<Pair> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        Ok(Pair { certificate, key: key.serialize_pem() })
    }
}

/// A key pair for signing ServiceAccounts' tokens; here `certificate` is the bare public key.
pub(crate) fn signing_keys() -> Result<Pair> {
    let key = KeyPair::generate().map_err(failed)?;
    Ok(Pair { certificate: key.public_key_pem(), key: key.serialize_pem() })
}

fn named(common_name: &str, names: &[&str]) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

/// For `map_err`, which hands over what it has.
#[allow(clippy::needless_pass_by_value)]
fn failed(source: rcgen::Error) -> Error {
    Error::Certificate(source.to_string())
}
