//! A steady load of admission reviews through the API server, and of TLS handshakes with the
//! webhook. Every answer is checked.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use kcg_api::KconsumerGroup;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::certificate::WebhookCertificate;
use crate::measured;
use crate::objects::group;

/// Groups per second. A valid one costs two reviews, an invalid one is refused by the first
/// webhook.
const GROUPS_PER_SECOND: u32 = 60;
/// The longest that a review may take: the timeout of the webhook configurations.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The results of a load.
#[derive(Debug, Default)]
pub struct LoadResults {
    /// Reviews or handshakes with the expected answer.
    pub succeeded: usize,
    /// All other answers.
    pub failures: Vec<String>,
    /// The longest time of one.
    pub slowest: Duration,
    /// How long the load ran.
    pub duration: Duration,
}

impl LoadResults {
    /// The rate of expected answers.
    pub fn per_second(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
        let succeeded = self.succeeded as f64;
        succeeded / self.duration.as_secs_f64()
    }

    fn add(&mut self, answered: Result<usize, String>, took: Duration) {
        self.slowest = self.slowest.max(took);
        match answered {
            Ok(reviews) => self.succeeded += reviews,
            Err(failure) => self.failures.push(failure),
        }
    }
}

/// A load that runs until [`Load::stop`].
pub struct Load {
    stop: CancellationToken,
    task: JoinHandle<LoadResults>,
}

impl Load {
    /// Creates groups as a dry run, valid and invalid ones in turn.
    pub fn of_reviews(client: &Client) -> Self {
        let groups = Api::namespaced(client.clone(), "default");
        Self::start(Duration::from_secs(1) / GROUPS_PER_SECOND, move |turn| {
            let groups = groups.clone();
            async move { if turn % 2 == 0 { accepted(&groups).await } else { refused(&groups).await } }
        })
    }

    /// Connects to the webhook ten times a second and checks its certificate, as an API server
    /// without a connection.
    pub fn of_handshakes(certificate: &WebhookCertificate, webhook: SocketAddr) -> Self {
        let certificate = certificate.clone();
        Self::start(Duration::from_millis(100), move |_| {
            let certificate = certificate.clone();
            async move { certificate.handshake(webhook).await.map(|_| 1).map_err(|error| format!("{error:#}")) }
        })
    }

    fn start<F>(every: Duration, send: impl Fn(usize) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<usize, String>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let (mut results, mut running, began) = (LoadResults::default(), JoinSet::new(), Instant::now());
            let mut clock = interval(every);
            clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for turn in 0.. {
                tokio::select! {
                    () = stopped.cancelled() => break,
                    _ = clock.tick() => {}
                }
                let sent = send(turn);
                running.spawn(async move {
                    let began = Instant::now();
                    let answer =
                        timeout(TIMEOUT, sent).await.unwrap_or_else(|_| Err("no answer in 10 s".into()));
                    (answer, began.elapsed())
                });
                while let Some(Ok((answer, took))) = running.try_join_next() {
                    results.add(answer, took);
                }
            }
            results.duration = began.elapsed();
            while let Some(Ok((answer, took))) = running.join_next().await {
                results.add(answer, took);
            }
            results
        });
        Self { stop, task }
    }

    /// Stops the load and waits for the answers of what was sent.
    pub async fn stop(self) -> Result<LoadResults> {
        self.stop.cancel();
        Ok(self.task.await?)
    }
}

/// Asserts that nothing failed, at 50 reviews per second or more.
pub fn assert_no_failures(what: &str, reviews: &LoadResults, handshakes: &LoadResults) {
    measured(&format!(
        "{what}: {} reviews in {:.0} s ({:.0}/s, slowest {} ms), {} handshakes, {} failed",
        reviews.succeeded,
        reviews.duration.as_secs_f64(),
        reviews.per_second(),
        reviews.slowest.as_millis(),
        handshakes.succeeded,
        reviews.failures.len() + handshakes.failures.len(),
    ));
    assert_eq!(reviews.failures, Vec::<String>::new());
    assert_eq!(handshakes.failures, Vec::<String>::new());
    assert!(reviews.per_second() >= 50.0, "only {} reviews per second", reviews.per_second());
}

fn load_group(min_replicas: i32) -> KconsumerGroup {
    serde_json::from_value(group("load", &json!({"minReplicas": min_replicas}))).expect("it is a group")
}

const DRY_RUN: PostParams = PostParams { dry_run: true, field_manager: None };

/// Only the mutating webhook sets the groupId; its failure alone would not fail the request.
async fn accepted(groups: &Api<KconsumerGroup>) -> Result<usize, String> {
    match groups.create(&DRY_RUN, &load_group(1)).await {
        Ok(made) if made.spec.consumer_spec.group_id.as_deref() == Some("load") => Ok(2),
        Ok(_) => Err("the group has no defaults: the mutating webhook failed".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Only the validating webhook knows how many partitions the topic has.
async fn refused(groups: &Api<KconsumerGroup>) -> Result<usize, String> {
    match groups.create(&DRY_RUN, &load_group(9)).await {
        Err(kube::Error::Api(status)) if status.code == 422 && status.message.contains("partitions") => Ok(1),
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("an invalid group was accepted".into()),
    }
}
