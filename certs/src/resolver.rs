//! Serves the pair that is current and replaces it between two handshakes: no connection is dropped, and a
//! pair that cannot serve never takes the place of one that can. Floor 0.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::pair::{Pair, PairError, Standing};

/// The pair that the next handshake gets. Empty until the first `replace` succeeds; handshakes fail until then.
#[derive(Debug, Default)]
pub struct Resolver {
    current: ArcSwapOption<Pair>,
    name: Option<String>,
}

/// Why the pair that was there stays.
#[derive(Debug, thiserror::Error)]
pub enum Kept {
    /// The candidate is no pair.
    #[error(transparent)]
    Unusable(#[from] PairError),
    /// No client that asks for this server would take it.
    #[error("the certificate is not for {wanted}: it is for {}", .names.join(", "))]
    OtherNames {
        /// What clients ask for.
        wanted: String,
        /// What the leaf is for.
        names: Vec<String>,
    },
    /// The current pair is valid now and the candidate is not yet.
    #[error("the new certificate is not valid yet")]
    NotYetValid,
    /// The current pair is valid now and the candidate no longer is.
    #[error("the new certificate has expired")]
    Expired,
}

impl Resolver {
    /// A resolver without a pair, which takes one for any name.
    pub fn new() -> Self {
        Self::default()
    }

    /// A resolver without a pair, which takes none that is not for the DNS name that clients ask for.
    pub fn for_name(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// The pair that is served, if there is one.
    pub fn current(&self) -> Option<Arc<Pair>> {
        self.current.load_full()
    }

    /// Takes the candidate, unless the current pair serves better at `now`.
    ///
    /// A pair outside its validity is kept out, unless the current one is outside of it by now, too: with a clock that is
    /// wrong the newer may still be the right one, and the client judges by its own clock.
    pub fn replace(&self, candidate: Result<Pair, PairError>, now: SystemTime) -> Result<Arc<Pair>, Kept> {
        let candidate = candidate?;
        if let Some(wanted) = self.name.as_ref().filter(|name| !candidate.is_for(name)) {
            return Err(Kept::OtherNames { wanted: wanted.clone(), names: candidate.names().into() });
        }
        let current_is_no_better =
            self.current.load().as_deref().is_some_and(|pair| pair.standing(now) != Standing::Valid);
        match candidate.standing(now) {
            Standing::NotYetValid if !current_is_no_better => Err(Kept::NotYetValid),
            Standing::Expired if !current_is_no_better => Err(Kept::Expired),
            _ => {
                let taken = Arc::new(candidate);
                self.current.store(Some(Arc::clone(&taken)));
                Ok(taken)
            }
        }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load().as_deref().map(Pair::certified)
    }
}
