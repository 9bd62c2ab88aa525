//! One watch of the KafkaTopics, from its list to its first error. Changes are applied to Kafka,
//! and the outcome is written to the KafkaTopic's status.

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
use super::contract::{self, Action, ActualTopic, DesiredTopic, Outcome, Rejection, TopicStatus};
use crate::{Error, Result};

/// The interval at which all topics are compared with Kafka. Strimzi's is two minutes.
const RESYNC: Duration = Duration::from_secs(10);

/// Namespace and name.
type Key = (String, String);

pub(super) struct Session<'a> {
    client: &'a Client,
    resource: ApiResource,
    broker: &'a Broker,
    topics: BTreeMap<Key, DynamicObject>,
    /// To be reconciled now.
    due: BTreeSet<Key>,
    /// To be reconciled at the next retry, since something failed.
    failed: BTreeSet<Key>,
}

impl<'a> Session<'a> {
    /// Runs until the watch fails, and returns its error.
    pub(super) async fn run(
        client: &'a Client,
        broker: &'a Broker,
        selection: &watcher::Config,
    ) -> Result<()> {
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
            // Take all events that have arrived: one read of Kafka's topics serves them all.
            while let Some(event) = next {
                this.handle(event.map_err(|error| {
                    Error::Missing(format!("the watch of KafkaTopics has ended: {error}"))
                })?);
                next = events.next().now_or_never().flatten();
            }
            this.reconcile().await;
        }
    }

    fn handle(&mut self, event: Event<DynamicObject>) {
        match event {
            Event::Init | Event::InitDone => {}
            Event::Apply(topic) | Event::InitApply(topic) => {
                let key = key(&topic);
                self.due.insert(key.clone());
                self.topics.insert(key, topic);
            }
            Event::Delete(topic) => {
                self.topics.remove(&key(&topic));
                // If it managed a topic, another KafkaTopic with that topic manages it now.
                self.due.extend(self.topics.keys().cloned());
            }
        }
    }

    async fn reconcile(&mut self) {
        let due = std::mem::take(&mut self.due);
        let decided = due.into_iter().filter_map(|key| {
            let topic = self.topics.get(&key)?;
            Some((key, topic, contract::topic_status(topic, self.topics.values())))
        });
        let decided: Vec<_> = decided.collect();
        let names = decided.iter().filter_map(|(_, _, status)| match status {
            TopicStatus::Managed(desired) => Some(desired.name.clone()),
            _ => None,
        });
        let actual = self.broker.topics(names.collect()).await;
        let mut failed = BTreeSet::new();
        for (key, topic, status) in decided {
            if let Err(error) = self.apply(topic, status, &actual).await {
                failed.insert(key);
                // Kafka's errors are in the status. The API server's errors are reported here only.
                if let Failed::ApiServer(kube::Error::Api(answer)) = error
                    && !answer.is_conflict()
                {
                    eprintln!("closed-loop: the API server rejected a change of a KafkaTopic: {answer}");
                }
            }
        }
        self.failed.append(&mut failed);
    }

    /// Handles one KafkaTopic as decided.
    async fn apply(
        &self,
        topic: &DynamicObject,
        status: TopicStatus,
        actual: &ActualTopics,
    ) -> Result<(), Failed> {
        let outcome = match status {
            TopicStatus::Deleting(name) => return self.delete(topic, name.as_deref()).await,
            TopicStatus::Rejected(rejection) => Outcome::Rejected(rejection),
            TopicStatus::Unmanaged => Outcome::Unmanaged,
            TopicStatus::Paused => Outcome::Paused,
            TopicStatus::Managed(desired) => {
                if let Some(names) = contract::finalizers_with(topic) {
                    // The finalizer comes before the topic, so that no topic is left behind. Its
                    // write causes another event.
                    return self.set_finalizers(topic, names).await;
                }
                match self.update_kafka(&desired, actual).await {
                    Ok(topic_id) => Outcome::Ready { topic_id },
                    Err(rejection) => Outcome::Rejected(rejection),
                }
            }
        };
        self.write_status(topic, &outcome).await?;
        match outcome {
            Outcome::Rejected(rejection) if rejection.is_retryable() => Err(Failed::Kafka),
            _ => Ok(()),
        }
    }

    /// Applies the KafkaTopic to Kafka; returns the topic's id.
    async fn update_kafka(&self, desired: &DesiredTopic, actual: &ActualTopics) -> Result<String, Rejection> {
        let actual = actual.as_ref().map_err(Clone::clone)?.get(&desired.name);
        let (actions, rejection) = contract::plan(desired, actual);
        for action in actions {
            match action {
                Action::Create => self.broker.create(desired).await?,
                Action::Grow => self.broker.grow(desired).await?,
                Action::Configure => self.broker.configure(desired).await?,
            }
        }
        rejection.map_or(Ok(()), Err)?;
        self.broker.id(&desired.name).await
    }

    /// Deletes the topic, then removes the KafkaTopic's finalizer.
    async fn delete(&self, topic: &DynamicObject, name: Option<&str>) -> Result<(), Failed> {
        let Some(others) = contract::finalizers_without(topic) else { return Ok(()) };
        if let Some(name) = name
            && let Err(rejection) = self.broker.delete(name).await
        {
            self.write_status(topic, &Outcome::Rejected(rejection)).await?;
            return Err(Failed::Kafka);
        }
        self.set_finalizers(topic, others).await
    }

    async fn set_finalizers(&self, topic: &DynamicObject, names: Vec<String>) -> Result<(), Failed> {
        // With the resourceVersion, another writer's new finalizer is not lost.
        let change =
            json!({"metadata": {"finalizers": names, "resourceVersion": topic.metadata.resource_version}});
        let patched =
            self.api(topic).patch(&name(topic), &PatchParams::default(), &Patch::Merge(change)).await;
        patched.map(drop).or_else(ignore_not_found)
    }

    async fn write_status(&self, topic: &DynamicObject, outcome: &Outcome) -> Result<(), Failed> {
        let Some(mut change) = contract::status(topic, outcome, Timestamp::now()) else { return Ok(()) };
        // With the resourceVersion, a newer status is not overwritten.
        change["metadata"] = json!({"resourceVersion": topic.metadata.resource_version});
        let patch: Patch<Value> = Patch::Merge(change);
        let patched = self.api(topic).patch_status(&name(topic), &PatchParams::default(), &patch).await;
        patched.map(drop).or_else(ignore_not_found)
    }

    fn api(&self, topic: &DynamicObject) -> Api<DynamicObject> {
        let namespace = topic.metadata.namespace.as_deref().unwrap_or_default();
        Api::namespaced_with(self.client.clone(), namespace, &self.resource)
    }
}

/// The requested topics in Kafka by name, or Kafka's error.
type ActualTopics = Result<BTreeMap<String, ActualTopic>, Rejection>;

/// Why a KafkaTopic is retried.
enum Failed {
    Kafka,
    ApiServer(kube::Error),
}

/// A KafkaTopic that was deleted meanwhile is no error.
fn ignore_not_found(error: kube::Error) -> Result<(), Failed> {
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
