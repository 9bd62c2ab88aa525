//! The one stage of all faults, and how they look at it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kcg_closed_loop::stage::Stage;
use kcg_closed_loop::{AlertState, Programs};
use kcg_closed_loop::{Settings, Which};
use kcg_devcluster::wait;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::group::{Group, producer, sender};

/// How soon a person is told of a fault.
pub const TOLD: Duration = Duration::from_secs(30);
/// How long what takes seconds may take on a busy computer.
pub const SOON: Duration = Duration::from_mins(2);
/// All look at the same control plane at once: asked any faster, it would be busy with that.
const BEAT: Duration = Duration::from_millis(250);

/// A condition of a group, as a person reads it.
#[derive(Debug, Clone)]
pub struct Told {
    pub status: String,
    pub reason: String,
    pub message: String,
}

pub struct World {
    pub stage: Stage,
    client: Client,
    began: Instant,
}

impl World {
    pub async fn start(programs: &Programs) -> Result<Self> {
        let began = Instant::now();
        // Only the shortened clocks of the story are used of it.
        let settings = Settings { which: Which::One, records: 0, realistic: false };
        let stage = Stage::start(&settings, programs, |line| {
            eprintln!("{line}");
            Ok(())
        })
        .await?;
        let client = stage.plane.client().await?;
        Ok(Self { stage, client, began })
    }

    /// Says what was seen, and when, in seconds since the start.
    pub fn say(&self, group: &str, text: &str) {
        eprintln!("[{:5.1} s] {group}: {text}", self.began.elapsed().as_secs_f64());
    }

    /// Waits for what `look` answers; what it says meanwhile is the reason of a failure.
    pub async fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl AsyncFnMut() -> Result<T, String>,
    ) -> Result<T> {
        let seen = wait::until(what, limit, async || {
            let seen = look().await;
            if seen.is_err() {
                tokio::time::sleep(BEAT).await;
            }
            Ok(seen)
        });
        Ok(seen.await?)
    }

    pub async fn apply(&self, object: &Value) -> Result<()> {
        Ok(self.stage.plane.apply_yaml(&object.to_string()).await?)
    }

    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        Ok(self.stage.plane.kubectl(args).await?.ok()?)
    }

    /// An object as it is now, with its status.
    pub async fn get(&self, group: &str, version: &str, kind: &str, name: &str) -> Result<Value, String> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), "default", &resource);
        let object = api.get(name).await.map_err(|error| format!("{kind} {name}: {error}"))?;
        let generation = object.metadata.generation;
        let mut value = object.data;
        value["generation"] = json!(generation);
        Ok(value)
    }

    pub async fn group(&self, name: &str) -> Result<Value, String> {
        self.get("thenextapps.com", "v1alpha1", "KconsumerGroup", name).await
    }

    /// Creates a topic, and once Kafka has it, its group.
    pub async fn create(&self, group: &Group, metrics: &[(&str, Value)]) -> Result<()> {
        self.apply(&group.topic()).await?;
        self.until(&format!("topic {} to be ready", group.name), SOON, async || {
            let topic = self.get("kafka.strimzi.io", "v1", "KafkaTopic", group.name).await?;
            let ready = topic["status"]["conditions"][0]["status"] == "True";
            if ready { Ok(()) } else { Err(topic["status"].to_string()) }
        })
        .await?;
        self.apply(&group.resource(metrics)).await
    }

    /// Waits until so many consumers are ready.
    pub async fn ready(&self, name: &str, consumers: i64) -> Result<()> {
        self.until(&format!("{consumers} consumers of {name} to be ready"), SOON, async || {
            let status = self.get("apps", "v1", "Deployment", name).await?["status"].take();
            let ready = status["readyReplicas"].as_i64().unwrap_or_default();
            if ready == consumers { Ok(()) } else { Err(status.to_string()) }
        })
        .await?;
        self.say(name, &format!("{consumers} ready"));
        Ok(())
    }

    /// Waits until a condition of the group's present form has this status and reason, and answers with it.
    pub async fn told(&self, name: &str, condition: &str, want: [&str; 2], limit: Duration) -> Result<Told> {
        let [status, reason] = want;
        let since = Instant::now();
        let what = format!("{condition}={status} {reason} of {name}");
        let told = self
            .until(&what, limit, async || {
                let group = self.group(name).await?;
                let conditions = group["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let found = conditions.iter().find(|one| one["type"] == condition).cloned();
                let text = |field: &str| found.as_ref()?[field].as_str().map(str::to_owned);
                let (Some(status), Some(reason), Some(message)) =
                    (text("status"), text("reason"), text("message"))
                else {
                    return Err("there is none".into());
                };
                let told = Told { status, reason, message };
                let current = found.is_some_and(|one| one["observedGeneration"] == group["generation"]);
                let wanted = [told.status.as_str(), told.reason.as_str()] == want;
                if current && wanted { Ok(told) } else { Err(format!("{told:?}")) }
            })
            .await?;
        let took = since.elapsed().as_secs_f64();
        self.say(name, &format!("{condition}={status} {reason} after {took:.1} s: {}", told.message));
        Ok(told)
    }

    /// The alerts of a group that fire or are pending, by the first part of their names.
    pub async fn alerts(&self, name: &str) -> Result<Vec<(String, AlertState)>, String> {
        let alerts = self.stage.monitoring.alerts().await.map_err(|error| error.to_string())?;
        let own = |alert: kcg_closed_loop::Alert| {
            let first = alert.name.strip_suffix(name)?.strip_suffix('-')?.to_owned();
            Some((first, alert.state))
        };
        Ok(alerts.into_iter().filter_map(own).collect())
    }

    /// Waits until an alert of the group fires; answers with all of its alerts at that moment.
    pub async fn fires(&self, name: &str, alert: &str) -> Result<Vec<String>> {
        let since = Instant::now();
        let alerts = self
            .until(&format!("{alert}-{name} to fire"), SOON, async || {
                let alerts = self.alerts(name).await?;
                let fires = alerts.contains(&(alert.to_owned(), AlertState::Firing));
                if fires { Ok(alerts) } else { Err(format!("{alerts:?}")) }
            })
            .await?;
        self.say(name, &format!("{alert}-{name} fires after {:.1} s", since.elapsed().as_secs_f64()));
        Ok(alerts.into_iter().map(|(name, _)| name).collect())
    }

    /// Waits until an alert of the group is neither pending nor firing.
    pub async fn resolves(&self, name: &str, alert: &str) -> Result<()> {
        self.until(&format!("{alert}-{name} to resolve"), SOON, async || {
            let alerts = self.alerts(name).await?;
            if alerts.iter().any(|(one, _)| one == alert) { Err(format!("{alerts:?}")) } else { Ok(()) }
        })
        .await?;
        self.say(name, &format!("{alert}-{name} is resolved"));
        Ok(())
    }

    /// Waits until Prometheus says this one value.
    pub async fn measures(&self, expression: &str, value: f64) -> Result<()> {
        self.until(&format!("{expression} to be {value}"), SOON, async || {
            let seen = self.stage.monitoring.query(expression).await.map_err(|error| error.to_string())?;
            let fits = matches!(seen.as_slice(), [one] if one.value.total_cmp(&value).is_eq());
            if fits { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await
    }

    /// Starts to send so many records and the end marker; `how` is kproducer's further flags.
    pub async fn send(&self, topic: &str, records: u64, how: &[&str]) -> Result<()> {
        self.apply(&producer(topic, records, how)).await
    }

    /// Whether the pod that sends to a topic has ended.
    pub async fn has_sent(&self, topic: &str) -> Result<bool, String> {
        let pod = self.get("", "v1", "Pod", &sender(topic)).await?;
        Ok(["Succeeded", "Failed"].iter().any(|phase| pod["status"]["phase"] == *phase))
    }

    /// Waits until Kafka has confirmed all that is sent to a topic.
    pub async fn sent(&self, topic: &str) -> Result<()> {
        let name = sender(topic);
        self.until(&format!("pod {name} to end"), SOON, async || {
            if self.has_sent(topic).await? { Ok(()) } else { Err("it runs".into()) }
        })
        .await?;
        let said = self.kubectl(&["logs", &name]).await?;
        let phase = self.kubectl(&["get", "pod", &name, "-o=jsonpath={.status.phase}"]).await?;
        ensure!(phase == "Succeeded", "{name}: {phase}: {said}");
        self.say(topic, said.lines().last().unwrap_or_default());
        Ok(())
    }
}
