//! Serves the current pair and replaces it between two handshakes.
//!
//! No connection is dropped, and a pair that cannot serve never replaces one that can.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::pair::{Pair, PairError, ValidityStatus};

/// Gives the current pair to each TLS handshake. Handshakes fail until the first
/// [`Resolver::replace`] succeeds.
#[derive(Debug, Default)]
pub struct Resolver {
    current: ArcSwapOption<Pair>,
    name: Option<String>,
}

/// Why a new pair was rejected; the current pair stays.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// The new files are not a pair.
    #[error(transparent)]
    Unusable(#[from] PairError),
    /// The certificate is not valid for the server's DNS name.
    #[error("the certificate is not for {wanted}: it is for {}", .names.join(", "))]
    OtherNames {
        /// The DNS name that clients connect to.
        wanted: String,
        /// The DNS names of the certificate.
        names: Vec<String>,
    },
    /// The new certificate's notBefore is in the future, and the current one is valid or there is
    /// none.
    #[error("the new certificate is not valid yet")]
    NotYetValid,
    /// The new certificate has expired, and the current one is valid or there is none.
    #[error("the new certificate has expired")]
    Expired,
}

impl Resolver {
    /// An empty resolver that accepts a certificate for any name.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty resolver that accepts only certificates for this DNS name, the one that clients
    /// connect to.
    pub fn for_name(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// The pair that is served, if any.
    pub fn current(&self) -> Option<Arc<Pair>> {
        self.current.load_full()
    }

    /// Replaces the current pair with `candidate`, unless the current pair is the better one at
    /// `now`.
    ///
    /// A candidate outside its validity is rejected, unless the current pair is outside its own,
    /// too: if our clock is wrong, the newer pair may still be the right one, and the client judges
    /// by its own clock.
    pub fn replace(
        &self,
        candidate: Result<Pair, PairError>,
        now: SystemTime,
    ) -> Result<Arc<Pair>, Rejected> {
        let candidate = candidate?;
        if let Some(wanted) = self.name.as_ref().filter(|name| !candidate.is_for(name)) {
            return Err(Rejected::OtherNames { wanted: wanted.clone(), names: candidate.names().into() });
        }
        let current_is_no_better = self
            .current
            .load()
            .as_deref()
            .is_some_and(|pair| pair.validity_status(now) != ValidityStatus::Valid);
        match candidate.validity_status(now) {
            ValidityStatus::NotYetValid if !current_is_no_better => Err(Rejected::NotYetValid),
            ValidityStatus::Expired if !current_is_no_better => Err(Rejected::Expired),
            _ => {
                let loaded = Arc::new(candidate);
                self.current.store(Some(Arc::clone(&loaded)));
                Ok(loaded)
            }
        }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load().as_deref().map(Pair::certified)
    }
}
