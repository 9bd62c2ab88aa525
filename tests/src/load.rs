//! Reviews at a steady pace through the real API server, and handshakes beside them. Every answer is judged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kcg_api::KconsumerGroup;
use kcg_api::names;
use kube::api::PostParams;
use kube::{Api, Client};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::installation::{Outcome, Place, figure};

/// Groups sent a second. A good one is two reviews, a bad one is refused at its first.
const PACE: u32 = 60;
/// No review may take longer: the registrations' own timeout.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of a load.
#[derive(Debug, Default)]
pub struct Tally {
    /// Answered as they should be.
    pub reviews: usize,
    /// What was answered otherwise, in the API server's words.
    pub failures: Vec<String>,
    pub slowest: Duration,
    pub lasted: Duration,
}

impl Tally {
    pub fn a_second(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
        let reviews = self.reviews as f64;
        reviews / self.lasted.as_secs_f64()
    }

    fn add(&mut self, answered: Result<usize, String>, took: Duration) {
        self.slowest = self.slowest.max(took);
        match answered {
            Ok(reviews) => self.reviews += reviews,
            Err(failure) => self.failures.push(failure),
        }
    }
}

/// A task that goes on until it is ended.
pub struct Load {
    stop: CancellationToken,
    task: JoinHandle<Tally>,
}

impl Load {
    /// Creates groups, good and bad ones by turns, without keeping them.
    pub fn of_reviews(client: &Client) -> Self {
        let groups = Api::namespaced(client.clone(), "default");
        Self::start(Duration::from_secs(1) / PACE, move |turn| {
            let groups = groups.clone();
            async move { if turn % 2 == 0 { accepted(&groups).await } else { refused(&groups).await } }
        })
    }

    /// Shakes hands with the webhook as an API server that has no connection yet: trusting what the registration says.
    pub fn of_handshakes(place: &Arc<Place>) -> Self {
        let place = Arc::clone(place);
        Self::start(Duration::from_millis(100), move |_| {
            let place = Arc::clone(&place);
            async move { handshake(&place).await.map(|_| 1).map_err(|error| error.to_string()) }
        })
    }

    fn start<F>(every: Duration, send: impl Fn(usize) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<usize, String>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let (mut tally, mut under_way, began) = (Tally::default(), JoinSet::new(), Instant::now());
            let mut clock = interval(every);
            clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for turn in 0.. {
                tokio::select! {
                    () = stopped.cancelled() => break,
                    _ = clock.tick() => {}
                }
                let sent = send(turn);
                under_way.spawn(async move {
                    let began = Instant::now();
                    let answer =
                        timeout(PATIENCE, sent).await.unwrap_or_else(|_| Err("no answer in 10 s".into()));
                    (answer, began.elapsed())
                });
                while let Some(Ok((answer, took))) = under_way.try_join_next() {
                    tally.add(answer, took);
                }
            }
            tally.lasted = began.elapsed();
            while let Some(Ok((answer, took))) = under_way.join_next().await {
                tally.add(answer, took);
            }
            tally
        });
        Self { stop, task }
    }

    pub async fn end(self) -> Outcome<Tally> {
        self.stop.cancel();
        Ok(self.task.await?)
    }
}

/// What a load has to have done, and that nothing failed.
pub fn without_failure(what: &str, reviews: &Tally, handshakes: &Tally) {
    figure(&format!(
        "{what}: {} reviews in {:.0} s ({:.0}/s, slowest {} ms), {} handshakes, {} failed",
        reviews.reviews,
        reviews.lasted.as_secs_f64(),
        reviews.a_second(),
        reviews.slowest.as_millis(),
        handshakes.reviews,
        reviews.failures.len() + handshakes.failures.len(),
    ));
    assert_eq!(reviews.failures, Vec::<String>::new());
    assert_eq!(handshakes.failures, Vec::<String>::new());
    assert!(reviews.a_second() >= 50.0, "the load was no load: {} reviews a second", reviews.a_second());
}

fn group(min: i32) -> KconsumerGroup {
    let group = json!({
        "apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup", "metadata": {"name": "load"},
        "spec": {"minReplicas": min, "consumerSpec": {"image": "consumer:1", "topic": "fast-data-topic"}},
    });
    serde_json::from_value(group).expect("a group")
}

const DRY: PostParams = PostParams { dry_run: true, field_manager: None };

/// Only the mutating webhook, whose failure the API server passes over, fills in the groupId.
async fn accepted(groups: &Api<KconsumerGroup>) -> Result<usize, String> {
    match groups.create(&DRY, &group(1)).await {
        Ok(made) if made.spec.consumer_spec.group_id.as_deref() == Some("load") => Ok(2),
        Ok(_) => Err("the group came back without its defaults: the mutating webhook was passed over".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Only the webhook knows how many partitions the topic has.
async fn refused(groups: &Api<KconsumerGroup>) -> Result<usize, String> {
    match groups.create(&DRY, &group(9)).await {
        Err(kube::Error::Api(status)) if status.code == 422 && status.message.contains("partitions") => Ok(1),
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("a bad group was let in".into()),
    }
}

/// A handshake as an API server without a connection has it; the certificate that it met.
pub async fn handshake(place: &Place) -> Outcome<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&place.bundle().await?) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = ServerName::try_from(names::webhook_host(names::NAMESPACE))?;
    let stream = TcpStream::connect(place.operator.webhook_port().address()).await?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(host, stream).await?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    Ok(chain.first().ok_or("no certificate was shown")?.clone().into_owned())
}
