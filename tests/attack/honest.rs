//! Who must not notice an attack: the API server with its one connection and with new ones, a user who
//! creates groups, and a tenant whose drift is repaired.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kcg_api::KconsumerGroup;
use kcg_tests::Outcome;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{CONFIG_MAP, group};
use kube::Api;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::arena::Arena;
use crate::clients::Target;
use crate::post;
use crate::reviewer::{Reviewer, Sample};

/// The timeout of the webhook configurations.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The ConfigMap of the raw client.
const RAW: &str = "raw";

/// A repair of the honest tenant's drift, and one by a raw client that began at the same moment.
pub struct Repair {
    pub due: Instant,
    pub took: Duration,
    pub raw: Duration,
}

/// What each of them saw.
pub struct Seen {
    /// Reviews over one connection.
    pub reviews: Vec<Sample>,
    /// The same reviews by a webhook that is not attacked.
    pub spared: Vec<Sample>,
    /// Reviews over a new connection each, ten a second.
    pub newcomers: Vec<Result<(), String>>,
    /// Groups that are created through the API server, ten a second.
    pub admissions: Vec<Result<(), String>>,
    pub repairs: Vec<Repair>,
}

pub struct Honest {
    stop: CancellationToken,
    reviewer: Reviewer,
    spared: Reviewer,
    newcomers: JoinHandle<Vec<Result<(), String>>>,
    admissions: JoinHandle<Vec<Result<(), String>>>,
    repairs: JoinHandle<Outcome<Vec<Repair>>>,
}

impl Honest {
    pub fn start(arena: &Arena) -> Outcome<Self> {
        let review = |of: &Target| Reviewer::start(of.address, Arc::clone(&of.tls), of.host.clone());
        let stop = CancellationToken::new();
        let (target, groups) = (arena.target.api_server(), Api::namespaced(arena.client.clone(), "default"));
        let every = Duration::from_millis(100);
        let newcomers = repeat(stop.clone(), every, async move || {
            target.review(&post(crate::reviewer::REVIEW)).await.map_err(|error| error.to_string())
        });
        let admissions = repeat(stop.clone(), every, async move || accepted(&groups).await);
        Ok(Self {
            reviewer: review(&arena.target)?,
            spared: review(&arena.spared)?,
            newcomers: tokio::spawn(newcomers),
            admissions: tokio::spawn(admissions),
            repairs: tokio::spawn(repairs(arena.honest.clone(), stop.clone())),
            stop,
        })
    }

    pub async fn end(self) -> Outcome<Seen> {
        self.stop.cancel();
        Ok(Seen {
            reviews: self.reviewer.end()?,
            spared: self.spared.end()?,
            newcomers: self.newcomers.await?,
            admissions: self.admissions.await?,
            repairs: self.repairs.await??,
        })
    }
}

/// Does something at this pace until it is stopped; what takes longer than [`TIMEOUT`] has failed.
async fn repeat(
    stop: CancellationToken,
    every: Duration,
    act: impl AsyncFn() -> Result<(), String>,
) -> Vec<Result<(), String>> {
    let (mut clock, mut answers) = (interval(every), Vec::new());
    while !stop.is_cancelled() {
        clock.tick().await;
        answers
            .push(timeout(TIMEOUT, act()).await.unwrap_or_else(|_| Err(format!("no answer in {TIMEOUT:?}"))));
    }
    answers
}

/// Only the mutating webhook sets the groupId; its failure alone would not fail the request.
async fn accepted(groups: &Api<KconsumerGroup>) -> Result<(), String> {
    let dry_run = PostParams { dry_run: true, field_manager: None };
    let honest = serde_json::from_value(group("honest", &json!({}))).map_err(|error| error.to_string())?;
    match groups.create(&dry_run, &honest).await {
        Ok(made) if made.spec.consumer_spec.group_id.as_deref() == Some("honest") => Ok(()),
        Ok(_) => Err("the group has no defaults: the mutating webhook failed".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Lets the operator and the raw client repair the same kind of change at the same time.
async fn repairs(honest: Namespace, stop: CancellationToken) -> Outcome<Vec<Repair>> {
    let raw = raw_client(honest.clone()).await?;
    // A group has a write a second, but for a burst: a faster drift would wait for its turn.
    let (mut clock, mut repairs) = (interval(Duration::from_millis(1200)), Vec::new());
    while !stop.is_cancelled() {
        clock.tick().await;
        let due = Instant::now();
        let by_operator = async {
            honest.drift_is_repaired("g").await?;
            anyhow::Ok(due.elapsed())
        };
        let by_raw_client = async {
            honest.patch(CONFIG_MAP, RAW, &json!({"data": {"drift": "yes"}})).await?;
            honest.eventually(CONFIG_MAP, RAW, "it is repaired", |raw| raw["data"]["drift"] == "no").await?;
            anyhow::Ok(due.elapsed())
        };
        let (took, raw) = tokio::try_join!(by_operator, by_raw_client)?;
        repairs.push(Repair { due, took, raw });
    }
    raw.abort();
    Ok(repairs)
}

/// A client that does nothing but watch one ConfigMap and repair it: what it takes is the API server's time.
async fn raw_client(honest: Namespace) -> Outcome<JoinHandle<Outcome>> {
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": RAW}, "data": {"drift": "no"}});
    if honest.list(CONFIG_MAP).await?.is_empty() {
        honest.create_object(CONFIG_MAP, &object).await?;
    }
    Ok(tokio::spawn(async move {
        let mut seen = pin!(watcher::watch_object(honest.api(CONFIG_MAP), RAW).default_backoff());
        while let Some(event) = seen.next().await {
            if event.is_ok_and(|raw| raw.is_some_and(|raw| raw.data["data"]["drift"] == "yes")) {
                honest.patch(CONFIG_MAP, RAW, &json!({"data": {"drift": "no"}})).await?;
            }
        }
        Ok(())
    }))
}
