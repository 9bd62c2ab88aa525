//! A control plane with the operator as it ships: an API server, the garbage collector, the webhook
//! and the controller.

use anyhow::{Context as _, Result, ensure};
use kcg_devcluster::{ControlPlane, Process, Replica};
use kcg_tests::deploy;
use kcg_tests::env::{TestEnv, all_crds};
use kcg_tests::namespace::Namespace;

use crate::known::{GRANTED, NAMESPACE, TOPICS};
use crate::observer::Observer;

/// Fields are dropped in their order.
pub struct Rig {
    pub observer: Observer,
    pub namespace: Namespace,
    pub controller: Replica,
    pub webhook: Replica,
    _env: TestEnv,
}

impl Rig {
    pub async fn start() -> Result<Self> {
        let plane = ControlPlane::builder().scheduler(false).controllers("garbage-collector-controller");
        let env = TestEnv::install(plane.crds(all_crds()).start().await?, &deploy("scopes/cluster")).await?;
        for name in [NAMESPACE, GRANTED] {
            let namespace = env.namespace(name).await?;
            for (index, (topic, partitions)) in TOPICS.into_iter().enumerate() {
                namespace.create_topic(topic, partitions).await?;
                namespace.confirm_topic(topic, &format!("{name}-{index}")).await?;
            }
        }
        let flags = [format!("--topic-namespaces={GRANTED}")];
        let flags = flags.each_ref().map(String::as_str);
        let webhook = env.operator.start_webhook(&flags).await?;
        let controller = env.operator.start_controller("legal", &flags).await?;
        let namespace = env.existing_namespace(NAMESPACE);
        Ok(Self { observer: Observer::start(&namespace), namespace, controller, webhook, _env: env })
    }

    /// The processes are those that were started, and none has panicked.
    pub fn healthy(&self) -> Result<()> {
        for process in [self.controller.process(), self.webhook.process()] {
            process.must_run()?;
            let log = process.log();
            let panicked = log.lines().find(|line| line.contains("panicked"));
            ensure!(panicked.is_none(), "{} logged {panicked:?}", process.name());
        }
        Ok(())
    }

    /// Resident memory of both processes in KiB.
    pub fn memory(&self) -> Result<u64> {
        Ok(resident(self.controller.process())? + resident(self.webhook.process())?)
    }
}

fn resident(process: &Process) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
