//! The one cluster of all these tests: a control plane with the operator installed as it ships, two
//! replicas of its controller and one webhook, each with the token of its own ServiceAccount.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use kcg_devcluster::audit::AuditLog;
use kcg_devcluster::{ControlPlane, Crds, KafkaTopicCrd, MetricsApi, Replica};
use kcg_tests::deploy;
use kcg_tests::env::{TestEnv, own_crd};
use parking_lot::Mutex;

/// The namespace whose KafkaTopics every group may consume.
pub const GRANTED: &str = "granted-topics";
/// The flags of both processes.
const FLAGS: [&str; 1] = ["--topic-namespaces=granted-topics"];

/// The environment that all tests share. Fields are dropped in their order.
pub struct SharedEnv {
    pub webhook: tokio::sync::Mutex<Option<Replica>>,
    pub controllers: tokio::sync::Mutex<Vec<Replica>>,
    pub metrics: MetricsApi,
    pub audit: AuditLog,
    measurements: Mutex<Vec<String>>,
    times: Mutex<Vec<(Duration, &'static str)>>,
    env: TestEnv,
}

impl Deref for SharedEnv {
    type Target = TestEnv;

    fn deref(&self) -> &TestEnv {
        &self.env
    }
}

impl SharedEnv {
    /// Starts all of it. Without integrations the cluster serves neither KafkaTopics nor
    /// prometheus-operator's kinds.
    pub async fn start(integrations: bool) -> Result<Arc<Self>> {
        let crds = Crds {
            kafka_topic: if integrations { KafkaTopicCrd::Both } else { KafkaTopicCrd::None },
            prometheus_operator: integrations,
            ..own_crd()
        };
        let plane = ControlPlane::builder()
            .audit(true)
            .crds(crds)
            .hpa_sync_period(Duration::from_secs(5))
            .start()
            .await?;
        plane.add_node("node-1").await?;
        let metrics = MetricsApi::start(&plane).await?;
        let audit = plane.audit_log()?;
        let shared = Self {
            webhook: tokio::sync::Mutex::default(),
            controllers: tokio::sync::Mutex::default(),
            metrics,
            audit,
            measurements: Mutex::default(),
            times: Mutex::default(),
            env: TestEnv::install(plane, &deploy("scopes/cluster")).await?,
        };
        shared.start_webhook().await?;
        for identity in ["one", "two"] {
            shared.start_controller(identity).await?;
        }
        Ok(Arc::new(shared))
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

    /// Keeps a line for the summary: what the operator cost, by the audit log.
    pub fn record(&self, line: String) {
        self.measurements.lock().push(line);
    }

    /// Keeps how long a test took, for the summary.
    pub fn record_time(&self, time: Duration, test: &'static str) {
        self.times.lock().push((time, test));
    }

    /// The slowest tests, and all that was recorded.
    pub fn summary(&self) -> String {
        let mut times = self.times.lock().clone();
        times.sort();
        let slowest = times.iter().rev().take(5);
        let slowest = slowest.map(|(time, test)| format!("{:6.1} s  {test}", time.as_secs_f32()));
        let slowest: Vec<String> = slowest.collect();
        let measurements = self.measurements.lock().join("\n");
        format!("The slowest:\n{}\n\nFrom the audit log:\n{measurements}\n", slowest.join("\n"))
    }
}
