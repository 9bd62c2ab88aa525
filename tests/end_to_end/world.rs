//! The one cluster of all these tests: a real control plane with the operator installed as it ships, two replicas of
//! its controller and one webhook, each with its own ServiceAccount's token.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use kcg_devcluster::audit::AuditLog;
use kcg_devcluster::{ControlPlane, Crds, KafkaTopicCrd, MetricsApi, Operator, Replica};
use kube::Client;

/// The namespace whose KafkaTopics every group may consume.
pub const GRANTED: &str = "granted-topics";
/// What both processes are started with.
const FLAGS: [&str; 1] = ["--topic-namespaces=granted-topics"];

/// It ends when it is dropped, in the order of its fields.
pub struct World {
    pub webhook: tokio::sync::Mutex<Option<Replica>>,
    pub controllers: tokio::sync::Mutex<Vec<Replica>>,
    pub metrics: MetricsApi,
    pub operator: Operator,
    pub client: Client,
    pub audit: AuditLog,
    figures: Mutex<Vec<String>>,
    times: Mutex<Vec<(Duration, &'static str)>>,
    pub plane: ControlPlane,
}

impl std::fmt::Debug for World {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("World")
    }
}

impl World {
    /// Starts all of it. Without neighbours the cluster knows neither KafkaTopics nor prometheus-operator's kinds.
    pub async fn start(neighbours: bool) -> Result<Arc<Self>> {
        let binary = kcg_tests::operator_binary().await?;
        let deploy = kcg_devcluster::deploy_folder()?;
        let crds = Crds {
            own: Some(deploy.join("crd")),
            kafka_topic: if neighbours { KafkaTopicCrd::Both } else { KafkaTopicCrd::None },
            prometheus_operator: neighbours,
        };
        let plane = ControlPlane::builder()
            .audit(true)
            .crds(crds)
            .hpa_sync_period(Duration::from_secs(5))
            .start()
            .await?;
        plane.add_node("node-1").await?;
        let metrics = MetricsApi::start(&plane).await?;
        let operator = Operator::install(&plane, &deploy.join("scopes/cluster"), binary).await?;
        let world = Self {
            webhook: tokio::sync::Mutex::default(),
            controllers: tokio::sync::Mutex::default(),
            metrics,
            operator,
            client: plane.client().await?,
            audit: plane.audit_log()?,
            figures: Mutex::default(),
            times: Mutex::default(),
            plane,
        };
        world.start_webhook().await?;
        for identity in ["one", "two"] {
            world.start_controller(identity).await?;
        }
        Ok(Arc::new(world))
    }

    pub async fn start_webhook(&self) -> Result<()> {
        *self.webhook.lock().await = Some(self.operator.start_webhook(&FLAGS).await?);
        Ok(())
    }

    pub async fn start_controller(&self, identity: &str) -> Result<()> {
        let replica = self.operator.start_controller(identity, &FLAGS).await?;
        self.controllers.lock().await.push(replica);
        Ok(())
    }

    /// Keeps a line for the end of the run: what the audit log says of the operator's cost.
    pub fn figure(&self, line: String) {
        lock(&self.figures).push(line);
    }

    /// Keeps how long a test took.
    pub fn took(&self, time: Duration, test: &'static str) {
        lock(&self.times).push((time, test));
    }

    /// What was kept, for a person to read.
    pub fn summary(&self) -> String {
        let mut times = lock(&self.times).clone();
        times.sort();
        let slowest = times.iter().rev().take(5);
        let slowest = slowest.map(|(time, test)| format!("{:6.1} s  {test}", time.as_secs_f32()));
        let slowest: Vec<String> = slowest.collect();
        let figures = lock(&self.figures).join("\n");
        format!("The slowest:\n{}\n\nFrom the audit log:\n{figures}\n", slowest.join("\n"))
    }

    /// Runs the administrator's kubectl; fails where it does.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.plane.kubectl(args).await?.ok().with_context(|| args.join(" "))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
