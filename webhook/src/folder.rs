//! The folder that the certificate comes in, as a Secret is mounted: tls.crt and tls.key. Floor 2.
//!
//! Read again and again instead of watched: a mounted Secret changes by the swap of a symbolic link, after which a
//! watch on the file itself is deaf, and a timer aimed at the expiry is wrong after the machine has slept.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kcg_certs::pair::{CA_FILE, CHAIN_FILE, KEY_FILE};
use kcg_certs::{Pair, PairError, Rejected, Resolver, bundle};
use kcg_runtime::probes::ReadinessCheck;
use tokio::time::{MissedTickBehavior, interval};

use crate::metrics::{Metrics, Reload};

/// How often the folder is read. A new pair is served that much after it stands complete.
pub const PERIOD: Duration = Duration::from_secs(2);

/// A pair that cannot be had from the folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file is missing or may not be read.
    #[error(
        "cannot read {}: {source}: put {CHAIN_FILE} and {KEY_FILE} there, or name their folder with --cert-dir",
        .path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The files are no pair, or a worse one than is served.
    #[error("{}: {source}", .folder.display())]
    Pair {
        /// The folder.
        folder: PathBuf,
        /// Why the last good pair stays.
        source: Rejected,
    },
}

impl FolderError {
    fn reload(&self) -> Reload {
        match self {
            Self::Read { .. } => Reload::Unreadable,
            Self::Pair { source, .. } => match source {
                Rejected::Unusable(PairError::Mismatch) => Reload::Mismatched,
                Rejected::Unusable(_) => Reload::Unusable,
                Rejected::OtherNames { .. } => Reload::OtherNames,
                Rejected::NotYetValid => Reload::NotYetValid,
                Rejected::Expired => Reload::Expired,
            },
        }
    }
}

/// Follows one folder and keeps the resolver's pair that of its files.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    resolver: Arc<Resolver>,
    metrics: Metrics,
    gate: ReadinessCheck,
}

/// The files as they were read together.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    chain: Vec<u8>,
    key: Vec<u8>,
    /// Only looked at: cert-manager writes it beside the pair.
    authority: Option<Vec<u8>>,
}

impl Folder {
    /// A folder that has not been looked at. The gate opens once there is a pair to serve, and stays open: whatever
    /// happens to the folder then, the last good pair is served on.
    pub fn new(path: PathBuf, resolver: Arc<Resolver>, metrics: Metrics, gate: ReadinessCheck) -> Self {
        Self { path, resolver, metrics, gate }
    }

    /// Reads the folder every `period`, for ever. Returns only by being dropped.
    pub async fn follow(&self, period: Duration) {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut served, mut trouble) = (None, None);
        loop {
            ticks.tick().await;
            let looked = self.look(&mut served, SystemTime::now()).await;
            self.tell(&mut trouble, looked.err());
        }
    }

    /// Takes the folder's pair where it is not the one `served` already. What fails is tried again at the next look:
    /// a pair caught half-written is whole a moment later.
    async fn look(&self, served: &mut Option<Files>, now: SystemTime) -> Result<(), FolderError> {
        let files = Files {
            chain: self.read(CHAIN_FILE).await?,
            key: self.read(KEY_FILE).await?,
            authority: self.read(CA_FILE).await.ok(),
        };
        if served.as_ref() == Some(&files) {
            return Ok(());
        }
        let taken = self
            .resolver
            .replace(Pair::from_pem(&files.chain, &files.key), now)
            .map_err(|source| FolderError::Pair { folder: self.path.clone(), source })?;
        self.metrics.certificate_expires(taken.not_after());
        let authority = files.authority.as_deref().and_then(|authority| bundle::parse(authority).ok());
        // Of several the first to end is the one to look after.
        let ends = authority.into_iter().flatten().map(|(_, validity)| validity.not_after).min();
        self.metrics.authority_expires(ends.unwrap_or(SystemTime::UNIX_EPOCH));
        self.metrics.reloaded(Reload::Taken);
        let seconds_left = taken.not_after().duration_since(now).unwrap_or_default().as_secs();
        tracing::info!(folder = %self.path.display(), seconds_left, "certificate taken");
        *served = Some(files);
        Ok(())
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, FolderError> {
        let path = self.path.join(name);
        tokio::fs::read(&path).await.map_err(|source| FolderError::Read { path, source })
    }

    /// Says a trouble once, when it is a new one, and to the readiness probe as long as nothing can be served.
    fn tell(&self, known: &mut Option<String>, trouble: Option<FolderError>) {
        let serving = self.resolver.current().is_some();
        self.metrics.keeps_the_last_one(serving && trouble.is_some());
        let Some(trouble) = trouble else {
            self.gate.pass();
            *known = None;
            return;
        };
        let said = trouble.to_string();
        if serving {
            self.gate.pass();
        } else {
            self.gate.fail(&said);
        }
        if known.as_ref() != Some(&said) {
            self.metrics.reloaded(trouble.reload());
            tracing::warn!(serving_the_last_good_one = serving, "no certificate taken: {said}");
        }
        *known = Some(said);
    }
}
