//! The operator on a control plane, and what an attack costs an honest client, an honest tenant and the
//! two processes.

use std::ops::AsyncFnOnce;
use std::time::{Duration, Instant};

use kcg_devcluster::{ControlPlane, Operator, Port, Replica, usage};
use kcg_tests::certificate::{WebhookCertificate, server_name};
use kcg_tests::env::{all_crds, api_server};
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{CHILDREN, GROUP, TOPIC};
use kcg_tests::{Outcome, deploy, is_long, measured, operator_binary};
use kube::Client;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard, OnceCell};
use tokio::time::sleep;

use crate::clients::Target;
use crate::honest::Honest;
use crate::{DESCRIPTORS, Latency, NOISE, allow_descriptors};

/// The limit for the repair of another tenant's drift.
const REPAIR: Duration = Duration::from_secs(2);
/// The namespace in which the hostile tenant may write.
const HOSTILE: &str = "hostile";
/// The namespace of the tenant who must not notice.
const HONEST: &str = "honest";

/// The full figure of an attack, or the one that CI has time for.
pub fn full<T>(full: T, short: T) -> T {
    if is_long() { full } else { short }
}

/// How long an attack takes that ends when its time is over.
pub fn attack_time() -> Duration {
    full(Duration::from_secs(20), Duration::from_secs(4))
}

/// The most resident memory of each process, in MiB.
#[derive(Clone, Copy)]
pub struct Most {
    pub webhook: u64,
    pub controller: u64,
}

impl Most {
    /// The limits of deploy/base.
    pub const SHIPPED: Self = Self { webhook: 512, controller: 256 };
}

struct Installed {
    operator: Operator,
    plane: ControlPlane,
}

/// The control plane of all attacks. No client is kept in it: a client belongs to the runtime of one test.
static INSTALLED: OnceCell<Installed> = OnceCell::const_new();
/// One attack at a time: each is measured.
static TURN: Mutex<()> = Mutex::const_new(());

/// Waits until no other attack runs.
pub async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// New processes of the operator, and both tenants. The hostile one has nothing yet.
pub struct Arena {
    pub client: Client,
    pub target: Target,
    pub hostile: Namespace,
    pub honest: Namespace,
    pub webhook: Replica,
    pub controller: Replica,
    pub spared: Target,
    _spared: Replica,
    operator: &'static Operator,
    _turn: MutexGuard<'static, ()>,
}

impl Arena {
    pub async fn start() -> Outcome<Self> {
        let turn = turn().await;
        // The limit of many container runtimes.
        allow_descriptors(1024)?;
        let Installed { operator, plane } = INSTALLED.get_or_try_init(install).await?;
        let client = plane.client().await?;
        let (hostile, honest) =
            (Namespace::new(plane, &client, HOSTILE), Namespace::new(plane, &client, HONEST));
        for kind in [GROUP, TOPIC].into_iter().chain(CHILDREN) {
            let all = (DeleteParams::default(), ListParams::default());
            hostile.api(kind).delete_collection(&all.0, &all.1).await?;
        }
        let spared_port = Port::take()?;
        let (webhook, spared, controller) = tokio::try_join!(
            operator.start_webhook(&[]),
            // It watches the topics of no tenant.
            operator.start_webhook_at("spared", &spared_port, &["--namespaces=default"]),
            operator.start_controller("controller", &[]),
        )?;
        allow_descriptors(DESCRIPTORS)?;
        let tls = WebhookCertificate::new(&client).tls_client().await?;
        let target = Target::new(operator.webhook_port().address(), tls, server_name()?);
        hostile.create_topic("fast-data-topic", 3).await?;
        if honest.list(GROUP).await?.is_empty() {
            honest.create_group("g", &json!({})).await?;
        }
        honest.children_exist("g").await?;
        honest.drift_is_repaired("g").await?;
        let spared_target = Target { address: spared_port.address(), ..target.clone() };
        Ok(Self {
            client,
            target,
            hostile,
            honest,
            webhook,
            controller,
            spared: spared_target,
            _spared: spared,
            operator,
            _turn: turn,
        })
    }

    /// Runs an attack, which tells what it came to, prints a row of figures, and fails if the attack costs
    /// others more than it may.
    pub async fn withstand(
        self,
        attack: &str,
        most: Most,
        attacking: impl AsyncFnOnce(&Self, Instant) -> Outcome<String>,
    ) -> Outcome {
        let honest = Honest::start(&self)?;
        // The first reviews take longer and do not belong to the baseline.
        sleep(Duration::from_secs(1)).await;
        let alone = Instant::now();
        sleep(full(Duration::from_secs(10), Duration::from_secs(3))).await;
        let busy = Instant::now();
        keep_a_core_busy(full(Duration::from_secs(4), Duration::from_secs(2))).await?;
        for replica in [&self.webhook, &self.controller] {
            usage::reset_peak(replica.process().pid())?;
        }
        let began = Instant::now();
        let came_to = attacking(&self, began + attack_time()).await?;
        let ended = Instant::now();
        let [webhook, controller] = [&self.webhook, &self.controller].map(peak_mib);
        for replica in [&self.webhook, &self.controller] {
            replica.process().must_run()?;
        }
        let seen = honest.end().await?;

        let baseline = Latency::between(&seen.reviews, alone, busy);
        let with_a_busy_core = Latency::between(&seen.reviews, busy, began);
        let during = Latency::between(&seen.reviews, began, ended);
        let spared = Latency::between(&seen.spared, began, ended);
        let count = seen.admissions.len() + seen.reviews.len() + seen.newcomers.len();
        let refused: Vec<&String> = seen
            .admissions
            .iter()
            .chain(&seen.newcomers)
            .filter_map(|answer| answer.as_ref().err())
            .collect();
        let repairs = || seen.repairs.iter().filter(|repair| (began..ended).contains(&repair.due));
        let slowest = repairs().map(|repair| repair.took).max().unwrap_or_default();
        let raw = repairs().map(|repair| repair.raw).max().unwrap_or_default();
        let count_of_repairs = repairs().count();
        measured(&format!(
            "| {attack} | {:.1?} | {:.1?} | {:.1?} | {} of {count} | {slowest:.1?}, {raw:.1?} of {count_of_repairs} | {webhook} | {controller} | {came_to} |",
            baseline.p99,
            during.p99,
            spared.p99,
            refused.len(),
        ));
        assert!(refused.is_empty(), "refused: {refused:?}");
        if baseline.p99 <= NOISE {
            let usual = baseline.p99.max(with_a_busy_core.p99).max(spared.p99);
            assert!(during.p99 <= (usual * 2).max(NOISE), "reviews: {during}, usually p99 {usual:.1?}");
        } else {
            measured("this computer is too busy to judge a p99: the medians are judged");
            let usual = baseline.p50.max(with_a_busy_core.p50).max(spared.p50);
            assert!(during.p50 <= (usual * 2).max(NOISE), "reviews: {during}, usually p50 {usual:.1?}");
        }
        assert!(count_of_repairs > 0, "no drift was repaired");
        // A raw client shows what the busy API server costs everyone.
        assert!(slowest <= REPAIR.max(raw * 2), "the slowest repair took {slowest:.1?}, a raw one {raw:.1?}");
        assert!(webhook <= most.webhook, "the webhook took {webhook} of {} MiB", most.webhook);
        assert!(controller <= most.controller, "the controller took {controller} of {} MiB", most.controller);
        Ok(())
    }

    /// Starts another controller and another webhook, which list everything that there is; the most memory
    /// of each, in MiB.
    pub async fn start_others(&self, most: Most) -> Outcome<String> {
        let port = Port::take()?;
        let (webhook, controller) = tokio::try_join!(
            self.operator.start_webhook_at("another-webhook", &port, &[]),
            self.operator.start_controller("another-controller", &[]),
        )?;
        let [webhook, controller] = [&webhook, &controller].map(peak_mib);
        if webhook > most.webhook || controller > most.controller {
            return Err(format!("at their start: webhook {webhook} MiB, controller {controller} MiB").into());
        }
        Ok(format!("others that start then: webhook {webhook} MiB, controller {controller} MiB"))
    }
}

/// Computes for this time on a core, as the decision of a heavy review does: what reviews take then is due
/// to the cores and not to the webhook.
async fn keep_a_core_busy(duration: Duration) -> Outcome {
    let compute = move || {
        let until = Instant::now() + duration;
        while Instant::now() < until {
            std::hint::black_box(0);
        }
    };
    Ok(tokio::task::spawn_blocking(compute).await?)
}

async fn install() -> Outcome<Installed> {
    let plane = api_server(all_crds()).await?;
    let operator = Operator::install(&plane, &deploy("scopes/cluster"), operator_binary().await?).await?;
    plane.apply_path(&deploy("samples/kafkatopic.yaml")).await?;
    let client = plane.client().await?;
    Namespace::create(&plane, &client, HOSTILE).await?;
    Namespace::create(&plane, &client, HONEST).await?.create_topic("fast-data-topic", 3).await?;
    Ok(Installed { operator, plane })
}

fn peak_mib(replica: &Replica) -> u64 {
    usage::peak_kib(replica.process().pid()).unwrap_or_default() >> 10
}
