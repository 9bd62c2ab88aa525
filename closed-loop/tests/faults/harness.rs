//! The environment of all tests, and how they observe it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kcg_api::alerts::AlertName;
use kcg_closed_loop::environment::Environment;
use kcg_closed_loop::observe::alerts::GROUP_LABEL;
use kcg_closed_loop::{AlertState, Consumer, Programs, Scenario, Settings};
use kcg_devcluster::wait;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::group::{Group, producer, sender};

/// The limit for a fault to be reported.
pub const REPORT_LIMIT: Duration = Duration::from_secs(30);
/// The limit for something that usually takes seconds, on a busy computer.
pub const SHORT_LIMIT: Duration = Duration::from_mins(2);
/// The limit for an alert, some of which look back two minutes.
const ALERT_LIMIT: Duration = Duration::from_mins(4);
/// How often a condition is checked. All tests poll the same control plane at the same time; more
/// would keep it busy.
const POLL: Duration = Duration::from_millis(250);

/// A condition of a group.
#[derive(Debug, Clone)]
pub struct Condition {
    pub status: String,
    pub reason: String,
    pub message: String,
}

pub struct Harness {
    pub environment: Environment,
    client: Client,
    started: Instant,
}

impl Harness {
    pub async fn start(programs: &Programs) -> Result<Self> {
        let started = Instant::now();
        // Only the shortened periods matter here.
        let settings = Settings {
            scenario: Scenario::Single,
            consumer: Consumer::Rust,
            // For the images of all consumers.
            rounds: true,
            records: 0,
            realistic: false,
        };
        let environment = Environment::start(&settings, programs, |line| {
            eprintln!("{line}");
            Ok(())
        })
        .await?;
        let client = environment.plane.client().await?;
        Ok(Self { environment, client, started })
    }

    /// Prints an observation, with the seconds since the start.
    pub fn log(&self, group: &str, text: &str) {
        eprintln!("[{:5.1} s] {group}: {text}", self.started.elapsed().as_secs_f64());
    }

    /// Waits until `check` returns a value. Its last error is the reason of a failure.
    pub async fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut check: impl AsyncFnMut() -> Result<T, String>,
    ) -> Result<T> {
        let seen = wait::until(what, limit, async || {
            let seen = check().await;
            if seen.is_err() {
                tokio::time::sleep(POLL).await;
            }
            Ok(seen)
        });
        Ok(seen.await?)
    }

    pub async fn apply(&self, object: &Value) -> Result<()> {
        Ok(self.environment.plane.apply_yaml(&object.to_string()).await?)
    }

    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        Ok(self.environment.plane.kubectl(args).await?.ok()?)
    }

    /// The data of an object, with its generation.
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

    /// Creates a topic and, once it exists in Kafka, its group.
    pub async fn create(&self, group: &Group, metrics: &[(&str, Value)]) -> Result<()> {
        self.create_topic(group).await?;
        self.apply(&group.resource(metrics)).await
    }

    /// Creates the topic of a group, and waits until it exists in Kafka.
    pub async fn create_topic(&self, group: &Group) -> Result<()> {
        self.apply(&group.topic()).await?;
        self.until(&format!("topic {} to be ready", group.name), SHORT_LIMIT, async || {
            let topic = self.get("kafka.strimzi.io", "v1", "KafkaTopic", group.name).await?;
            let ready = topic["status"]["conditions"][0]["status"] == "True";
            if ready { Ok(()) } else { Err(topic["status"].to_string()) }
        })
        .await
    }

    /// Waits until this many consumers are ready.
    pub async fn ready(&self, name: &str, consumers: i64) -> Result<()> {
        self.until(&format!("{consumers} consumers of {name} to be ready"), SHORT_LIMIT, async || {
            let status = self.get("apps", "v1", "Deployment", name).await?["status"].take();
            let ready = status["readyReplicas"].as_i64().unwrap_or_default();
            if ready == consumers { Ok(()) } else { Err(status.to_string()) }
        })
        .await?;
        self.log(name, &format!("{consumers} ready"));
        Ok(())
    }

    /// Waits until a condition has this status and reason for the group's current generation;
    /// returns it.
    pub async fn condition(
        &self,
        name: &str,
        kind: &str,
        want: [&str; 2],
        limit: Duration,
    ) -> Result<Condition> {
        let [status, reason] = want;
        let since = Instant::now();
        let what = format!("{kind}={status} {reason} of {name}");
        let condition = self
            .until(&what, limit, async || {
                let group = self.group(name).await?;
                let conditions = group["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let found = conditions.iter().find(|one| one["type"] == kind).cloned();
                let text = |field: &str| found.as_ref()?[field].as_str().map(str::to_owned);
                let (Some(status), Some(reason), Some(message)) =
                    (text("status"), text("reason"), text("message"))
                else {
                    return Err("there is none".into());
                };
                let condition = Condition { status, reason, message };
                let current = found.is_some_and(|one| one["observedGeneration"] == group["generation"]);
                let wanted = [condition.status.as_str(), condition.reason.as_str()] == want;
                if current && wanted { Ok(condition) } else { Err(format!("{condition:?}")) }
            })
            .await?;
        let took = since.elapsed().as_secs_f64();
        self.log(name, &format!("{kind}={status} {reason} after {took:.1} s: {}", condition.message));
        Ok(condition)
    }

    /// The firing and pending alerts of a group, by their names.
    pub async fn alerts(&self, name: &str) -> Result<Vec<(String, AlertState)>, String> {
        let alerts = self.environment.monitoring.alerts().await.map_err(|error| error.to_string())?;
        let own = |alert: kcg_closed_loop::Alert| {
            let is_own = alert.labels.get(GROUP_LABEL).is_some_and(|group| group == name);
            is_own.then_some((alert.name, alert.state))
        };
        Ok(alerts.into_iter().filter_map(own).collect())
    }

    /// Waits until an alert of the group fires; returns all alerts of the group at that moment.
    pub async fn fires(&self, name: &str, alert: AlertName) -> Result<Vec<String>> {
        let (since, alert) = (Instant::now(), alert.as_str());
        let alerts = self
            .until(&format!("{alert} of {name} to fire"), ALERT_LIMIT, async || {
                let alerts = self.alerts(name).await?;
                let fires = alerts.contains(&(alert.to_owned(), AlertState::Firing));
                if fires { Ok(alerts) } else { Err(format!("{alerts:?}")) }
            })
            .await?;
        self.log(name, &format!("{alert} fires after {:.1} s", since.elapsed().as_secs_f64()));
        Ok(alerts.into_iter().map(|(name, _)| name).collect())
    }

    /// Waits until an alert of the group is neither pending nor firing.
    pub async fn resolves(&self, name: &str, alert: AlertName) -> Result<()> {
        let alert = alert.as_str();
        self.until(&format!("{alert} of {name} to resolve"), ALERT_LIMIT, async || {
            let alerts = self.alerts(name).await?;
            if alerts.iter().any(|(one, _)| one == alert) { Err(format!("{alerts:?}")) } else { Ok(()) }
        })
        .await?;
        self.log(name, &format!("{alert} is resolved"));
        Ok(())
    }

    /// Waits until Prometheus answers with this one value.
    pub async fn measures(&self, expression: &str, value: f64) -> Result<()> {
        self.until(&format!("{expression} to be {value}"), SHORT_LIMIT, async || {
            let seen =
                self.environment.monitoring.query(expression).await.map_err(|error| error.to_string())?;
            let fits = matches!(seen.as_slice(), [one] if one.value.total_cmp(&value).is_eq());
            if fits { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await
    }

    /// Starts a pod that sends this many records and the end marker; `flags` are further flags of
    /// kproducer.
    pub async fn send(&self, topic: &str, records: u64, flags: &[&str]) -> Result<()> {
        self.apply(&producer(topic, records, flags)).await
    }

    /// Whether the pod that sends to a topic has ended.
    pub async fn has_sent(&self, topic: &str) -> Result<bool, String> {
        let pod = self.get("", "v1", "Pod", &sender(topic)).await?;
        Ok(["Succeeded", "Failed"].iter().any(|phase| pod["status"]["phase"] == *phase))
    }

    /// Waits until Kafka has confirmed all records of a topic.
    pub async fn sent(&self, topic: &str) -> Result<()> {
        let name = sender(topic);
        self.until(&format!("pod {name} to end"), SHORT_LIMIT, async || {
            if self.has_sent(topic).await? { Ok(()) } else { Err("it runs".into()) }
        })
        .await?;
        let log = self.kubectl(&["logs", &name]).await?;
        let phase = self.kubectl(&["get", "pod", &name, "-o=jsonpath={.status.phase}"]).await?;
        ensure!(phase == "Succeeded", "{name}: {phase}: {log}");
        self.log(topic, log.lines().last().unwrap_or_default());
        Ok(())
    }
}
