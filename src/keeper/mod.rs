//! Keeps the webhook's certificate and its authority, where no cert-manager does: one Secret, and what the registrations
//! trust. Floor 2; what is due when is decided in `kcg_certs::rotation`.
//!
//! Only the leader looks, but nothing depends on that: every write of the Secret names the version that it was decided on,
//! so of two that decide at once one is refused and looks again.

mod metrics;
mod requests;

use kcg_api::names;
use kcg_certs::CaError;
use kcg_certs::rotation::{
    CertificateRequest, CertificateSet, Entries, Issuance, IssuedKind, Lifetimes, RotationStep, next_step,
};
use kcg_runtime::backoff::Backoff;
use kcg_runtime::client::RequestError;
use kcg_runtime::lease::{Clock, Leadership};
use kube::Client;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::sleep;

use metrics::Metrics;
use requests::{Kept, Registration, Requests};

/// How often is looked. By then a wiped caBundle is back, a nonsense Secret is replaced, and a machine that was suspended
/// over a renewal has noticed.
const PERIOD: Duration = Duration::from_secs(10);
/// The delays after failures in a row.
const RETRY: Backoff = Backoff::new(Duration::from_secs(20), Duration::from_mins(1));

/// Where the certificates are, and what they are for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's namespace; the registrations are called like it.
    pub namespace: String,
    /// How this process is called in Events.
    pub identity: String,
    pub lifetimes: Lifetimes,
}

/// Why a look did not end well.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// It ships with the overlay, so that no right to create Secrets is needed.
    #[error("there is no Secret {namespace}/{secret}: apply the operator's overlay again, which brings it empty", secret = names::CERTIFICATE_SECRET)]
    NoSecret { namespace: String },
    #[error("{0}: apply the operator's overlay again, which grants this")]
    Forbidden(RequestError),
    #[error(transparent)]
    Call(RequestError),
    #[error(transparent)]
    Issue(#[from] CaError),
    #[error(
        "there is no {kind} {name}: the API server asks this webhook nothing until the operator's overlay is applied again"
    )]
    NoRegistration { kind: &'static str, name: String },
}

impl From<RequestError> for KeeperError {
    fn from(error: RequestError) -> Self {
        if error.is_forbidden() { Self::Forbidden(error) } else { Self::Call(error) }
    }
}

/// Looks after one installation's certificates.
#[derive(Debug)]
pub struct Keeper {
    requests: Requests,
    request: CertificateRequest,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
}

impl Keeper {
    /// A keeper that has not looked yet. It judges by the clock's wall side.
    pub fn new(client: Client, settings: &Settings, clock: Arc<dyn Clock>, registry: &mut Registry) -> Self {
        let request = CertificateRequest {
            ca_name: format!("{} in {}", names::OPERATOR, settings.namespace),
            dns_names: vec![names::webhook_host(&settings.namespace)],
            lifetimes: settings.lifetimes,
        };
        let requests = Requests::new(client, &settings.namespace, &settings.identity);
        Self { requests, request, metrics: Metrics::register(registry), clock }
    }

    /// Looks again and again, for as long as the leadership lasts.
    pub async fn keep(&self, leadership: &Leadership) {
        // However this ends.
        let _over = OnDrop(|| self.metrics.stands_elsewhere());
        let (mut known, mut retry) = (String::new(), RETRY);
        loop {
            let troubles = self.look(|| leadership.still_held()).await;
            let said = troubles.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let delay = if troubles.is_empty() {
                retry.reset();
                PERIOD
            } else {
                retry.next_delay(fastrand::f64())
            };
            if said != known {
                if troubles.is_empty() {
                    tracing::info!("the certificates are in order again");
                } else {
                    tracing::warn!("the certificates are not in order: {said}");
                }
            }
            known = said;
            sleep(delay).await;
        }
    }

    /// One look, and the writes that it finds due. `may_write` is asked before each.
    ///
    /// What is wrong in one place keeps nothing from being done in another.
    pub async fn look(&self, may_write: impl Fn() -> bool) -> Vec<KeeperError> {
        let (mut troubles, mut registrations) = (Vec::new(), Vec::new());
        for found in self.requests.registrations().await {
            match found {
                Ok(registration) => registrations.push(registration),
                Err(error) => troubles.push(error),
            }
        }
        let mut trusted: Vec<Vec<u8>> = registrations.iter().flat_map(Registration::bundles).collect();
        // What cannot be read may trust anything: no authority is replaced meanwhile.
        let unread = |trouble: &KeeperError| !matches!(trouble, KeeperError::NoRegistration { .. });
        trusted.extend(troubles.iter().filter(|trouble| unread(trouble)).map(|_| Vec::new()));

        let (entries, trouble) = self.renewed(&trusted, &may_write).await;
        troubles.extend(trouble);
        if let Some(entries) = entries {
            let set = CertificateSet::read(&entries, self.now());
            self.metrics.stands(&set);
            for registration in &registrations {
                troubles.extend(self.publish(&set, registration, &may_write).await.err());
            }
        }
        self.metrics.looked(troubles.is_empty());
        troubles
    }

    /// The Secret's entries after what was due, and why that could not be done; no entries where they are not known or
    /// somebody else wrote at the same moment.
    async fn renewed(
        &self,
        trusted: &[Vec<u8>],
        may_write: &impl Fn() -> bool,
    ) -> (Option<Entries>, Option<KeeperError>) {
        let kept = match self.requests.secret().await {
            Ok(kept) => kept,
            Err(error) => return (None, Some(error)),
        };
        let RotationStep { entries, issued } =
            match next_step(&kept.entries, trusted, &self.request, self.now()) {
                Ok(Some(step)) => step,
                Ok(None) => return (Some(kept.entries), None),
                Err(error) => return (Some(kept.entries), Some(error.into())),
            };
        if !may_write() {
            return (None, None);
        }
        match self.requests.replace(&kept, &entries).await {
            Ok(true) => {}
            Ok(false) => return (None, None),
            // What is stored goes on to serve, and has to be trusted.
            Err(error) => return (Some(kept.entries), Some(error)),
        }
        for issuance in &issued {
            self.announce(&kept, issuance).await;
        }
        (Some(entries), None)
    }

    /// Makes one registration trust what it should.
    async fn publish(
        &self,
        set: &CertificateSet,
        registration: &Registration,
        may_write: &impl Fn() -> bool,
    ) -> Result<(), KeeperError> {
        let now = self.now();
        let bundle = |before: &[u8]| set.bundle(before, now, &self.request.lifetimes).into_bytes();
        let changed = registration.with_bundles(bundle);
        if changed.is_empty() || !may_write() {
            return Ok(());
        }
        self.requests.trust(registration, &changed).await?;
        tracing::info!(kind = registration.kind(), webhooks = changed.len(), "caBundle written");
        Ok(())
    }

    fn now(&self) -> SystemTime {
        self.clock.now().wall
    }

    async fn announce(&self, kept: &Kept, issuance: &Issuance) {
        let Issuance { kind: what, reason: why, scheduled: by_time } = issuance;
        self.metrics.renewed(*what);
        let thing = match what {
            IssuedKind::ServingCertificate => "certificate",
            IssuedKind::Ca => "authority",
        };
        tracing::info!(why, "{thing} issued");
        // The first ones, and those that only time has brought, are no news.
        if !by_time && !kept.entries.is_empty() {
            self.requests.event(kept, &format!("The {thing} was issued anew: {why}")).await;
        }
    }
}

/// Does something when it is dropped, as a task's end does.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
