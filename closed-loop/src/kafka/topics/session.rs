//! One watch of the KafkaTopics, from its list to its first error: what it tells is done in Kafka, and what came of it is
//! told in their status.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, discovery};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::RETRY;
use super::broker::Broker;
use super::contract::{self, Action, Outcome, Refusal, Seen, Standing, Wanted};
use crate::{Error, Result};

/// All of Kafka is compared so often; Strimzi does so every two minutes.
const RESYNC: Duration = Duration::from_secs(10);

/// Namespace and name.
type Key = (String, String);

pub(super) struct Session<'a> {
    client: &'a Client,
    resource: ApiResource,
    broker: &'a Broker,
    topics: BTreeMap<Key, DynamicObject>,
    /// Those to look at now.
    due: BTreeSet<Key>,
    /// Those to look at again soon, since something failed.
    failed: BTreeSet<Key>,
}

impl<'a> Session<'a> {
    /// Runs until the API server is away or no longer serves what it watches, which is the error.
    pub async fn run(client: &'a Client, broker: &'a Broker, selection: &watcher::Config) -> Result<()> {
        let unserved = || Error::Missing("the API server serves no KafkaTopics".into());
        let group =
            discovery::group(client, "kafka.strimzi.io").await.map_err(Error::kube("find KafkaTopic"))?;
        let (resource, _) = group.recommended_kind("KafkaTopic").ok_or_else(unserved)?;
        let mut events = std::pin::pin!(watcher(Api::all_with(client.clone(), &resource), selection.clone()));
        let (topics, due, failed) = Default::default();
        let mut this = Self { client, resource, broker, topics, due, failed };
        let [mut retry, mut resync] = [RETRY, RESYNC].map(interval);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut next = tokio::select! {
                event = events.next() => event,
                _ = retry.tick() => { this.due.append(&mut this.failed); None }
                _ = resync.tick() => { this.due.extend(this.topics.keys().cloned()); None }
            };
            // All that has come is seen to at once: one look at Kafka does for it.
            while let Some(event) = next {
                this.note(event.map_err(|error| {
                    Error::Missing(format!("a watch of KafkaTopics that goes on: {error}"))
                })?);
                next = events.next().now_or_never().flatten();
            }
            this.reconcile().await;
        }
    }

    fn note(&mut self, event: Event<DynamicObject>) {
        match event {
            Event::Init | Event::InitDone => {}
            Event::Apply(topic) | Event::InitApply(topic) => {
                let key = key(&topic);
                self.due.insert(key.clone());
                self.topics.insert(key, topic);
            }
            Event::Delete(topic) => {
                self.topics.remove(&key(&topic));
                // Where it was the older of two, the other one's time has come.
                self.due.extend(self.topics.keys().cloned());
            }
        }
    }

    async fn reconcile(&mut self) {
        let due = std::mem::take(&mut self.due);
        let stands = due.into_iter().filter_map(|key| {
            let topic = self.topics.get(&key)?;
            Some((key, topic, contract::standing(topic, self.topics.values())))
        });
        let stands: Vec<_> = stands.collect();
        let names = stands.iter().filter_map(|(_, _, standing)| match standing {
            Standing::Managed(wanted) => Some(wanted.name.clone()),
            _ => None,
        });
        let looked = self.broker.look(names.collect()).await;
        let mut failed = BTreeSet::new();
        for (key, topic, standing) in stands {
            if let Err(error) = self.settle(topic, standing, &looked).await {
                failed.insert(key);
                // What Kafka refuses stands in the status; what the API server refuses stands nowhere else.
                if let Failed::ApiServer(kube::Error::Api(answer)) = error
                    && !answer.is_conflict()
                {
                    eprintln!("devcluster: a KafkaTopic's change was refused: {answer}");
                }
            }
        }
        self.failed.append(&mut failed);
    }

    /// Does for one KafkaTopic what its standing asks for.
    async fn settle(&self, topic: &DynamicObject, standing: Standing, looked: &Looked) -> Result<(), Failed> {
        let outcome = match standing {
            Standing::Going(name) => return self.bury(topic, name.as_deref()).await,
            Standing::Refused(refusal) => Outcome::Refused(refusal),
            Standing::Unmanaged => Outcome::Unmanaged,
            Standing::Paused => Outcome::Paused,
            Standing::Managed(wanted) => {
                if let Some(names) = contract::finalizers_with(topic) {
                    // Before the topic, so that none is left behind. The watch brings this KafkaTopic back.
                    return self.set_finalizers(topic, names).await;
                }
                match self.follow(&wanted, looked).await {
                    Ok(topic_id) => Outcome::Ready { topic_id },
                    Err(refusal) => Outcome::Refused(refusal),
                }
            }
        };
        self.tell(topic, &outcome).await?;
        match outcome {
            Outcome::Refused(refusal) if refusal.may_pass() => Err(Failed::Kafka),
            _ => Ok(()),
        }
    }

    /// Brings Kafka to what is wanted, as far as that goes; answers with the topic's id.
    async fn follow(&self, wanted: &Wanted, looked: &Looked) -> Result<String, Refusal> {
        let seen = looked.as_ref().map_err(Clone::clone)?.get(&wanted.name);
        let (actions, refusal) = contract::plan(wanted, seen);
        for action in actions {
            match action {
                Action::Create => self.broker.create(wanted).await?,
                Action::Grow => self.broker.grow(wanted).await?,
                Action::Configure => self.broker.configure(wanted).await?,
            }
        }
        refusal.map_or(Ok(()), Err)?;
        self.broker.id(&wanted.name).await
    }

    /// Deletes the topic, then lets the KafkaTopic go.
    async fn bury(&self, topic: &DynamicObject, name: Option<&str>) -> Result<(), Failed> {
        let Some(others) = contract::finalizers_without(topic) else { return Ok(()) };
        if let Some(name) = name
            && let Err(refusal) = self.broker.delete(name).await
        {
            self.tell(topic, &Outcome::Refused(refusal)).await?;
            return Err(Failed::Kafka);
        }
        self.set_finalizers(topic, others).await
    }

    async fn set_finalizers(&self, topic: &DynamicObject, names: Vec<String>) -> Result<(), Failed> {
        // Somebody else's finalizer of a moment ago would be lost, but for the version.
        let change =
            json!({"metadata": {"finalizers": names, "resourceVersion": topic.metadata.resource_version}});
        let patched =
            self.api(topic).patch(&name(topic), &PatchParams::default(), &Patch::Merge(change)).await;
        patched.map(drop).or_else(gone_is_done)
    }

    async fn tell(&self, topic: &DynamicObject, outcome: &Outcome) -> Result<(), Failed> {
        let Some(mut change) = contract::status(topic, outcome, Timestamp::now()) else { return Ok(()) };
        // A status of a moment ago is told anew only by whoever has seen it.
        change["metadata"] = json!({"resourceVersion": topic.metadata.resource_version});
        let patch: Patch<Value> = Patch::Merge(change);
        let patched = self.api(topic).patch_status(&name(topic), &PatchParams::default(), &patch).await;
        patched.map(drop).or_else(gone_is_done)
    }

    fn api(&self, topic: &DynamicObject) -> Api<DynamicObject> {
        let namespace = topic.metadata.namespace.as_deref().unwrap_or_default();
        Api::namespaced_with(self.client.clone(), namespace, &self.resource)
    }
}

/// What Kafka has of the topics asked for, or why it does not say.
type Looked = Result<BTreeMap<String, Seen>, Refusal>;

/// Why a KafkaTopic is looked at again soon.
enum Failed {
    Kafka,
    ApiServer(kube::Error),
}

/// A KafkaTopic that went meanwhile has nothing left to be told.
fn gone_is_done(error: kube::Error) -> Result<(), Failed> {
    match error {
        kube::Error::Api(answer) if answer.is_not_found() => Ok(()),
        other => Err(Failed::ApiServer(other)),
    }
}

fn key(topic: &DynamicObject) -> Key {
    (topic.metadata.namespace.clone().unwrap_or_default(), name(topic))
}

fn name(topic: &DynamicObject) -> String {
    topic.metadata.name.clone().unwrap_or_default()
}
