//! Of several candidates one leads, whatever happens to it, its clock, its wire or the Lease.

use std::{
    future::Future,
    path::Path,
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use k8s_openapi::api::coordination::v1::Lease;
use kcg_devcluster::KafkaTopicCrd;
use kcg_runtime::lease::{Candidate, Elector, Leadership, LeaseMetrics, SystemClock, Timings};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject},
    core::ApiResource,
};
use serde_json::json;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Outcome,
    plane::{bare, counted, in_default, put},
    wire::{Mode, Wire},
};

/// Shorter than the product's, in the same proportion.
const TIMINGS: Timings = Timings {
    lease: Duration::from_secs(6),
    renew_deadline: Duration::from_secs(4),
    retry: Duration::from_secs(1),
};

/// A busy computer needs many times the usual second.
const LIMIT: Duration = Duration::from_mins(1);

struct Replica {
    leading: watch::Receiver<Option<Leadership>>,
    stop: CancellationToken,
    running: watch::Sender<bool>,
    ended: JoinHandle<()>,
}

impl Replica {
    async fn start(kubeconfig: &Path, name: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let (client, _) = counted(kubeconfig).await?;
        let candidate = Candidate::new("default", "operator", name);
        let clock = Arc::new(SystemClock::default());
        let (elector, leading) = Elector::new(client, candidate, TIMINGS, clock, LeaseMetrics::default())?;
        let (stop, (running, watched)) = (CancellationToken::new(), watch::channel(true));
        let ended = tokio::spawn(pausable(watched, elector.run(stop.clone())));
        Ok(Self { leading, stop, running, ended })
    }

    fn leads(&self) -> bool {
        self.leading.borrow().as_ref().is_some_and(Leadership::still_held)
    }

    async fn led(&mut self) -> Leadership {
        let leading = timeout(LIMIT, self.leading.wait_for(Option::is_some)).await.expect("never led");
        leading.expect("the elector ended").clone().expect("waited for it")
    }

    /// Nothing of its election runs until it is woken, as if the process were stopped.
    fn pause(&self, paused: bool) {
        self.running.send_replace(!paused);
    }
}

/// Polls `work` only while it is told to run.
async fn pausable(mut running: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    let mut work = pin!(work);
    loop {
        if running.wait_for(|running| *running).await.is_err() {
            return;
        }
        let mut changed = pin!(running.changed());
        let ended = std::future::poll_fn(|context| {
            if changed.as_mut().poll(context).is_ready() {
                return Poll::Ready(false);
            }
            work.as_mut().poll(context).map(|()| true)
        });
        if ended.await {
            return;
        }
    }
}

/// Looks all the time whether two hold it at once.
struct Oracle {
    watched: Arc<Mutex<Vec<Leadership>>>,
    overlap: JoinHandle<()>,
}

impl Oracle {
    fn start() -> Self {
        let watched = Arc::new(Mutex::new(Vec::<Leadership>::new()));
        let seen = watched.clone();
        let overlap = tokio::spawn(async move {
            loop {
                let holders = seen
                    .lock()
                    .expect("no one panics while holding it")
                    .iter()
                    .filter(|leadership| leadership.still_held())
                    .count();
                assert!(holders <= 1, "{holders} hold the lease at once");
                sleep(Duration::from_millis(2)).await;
            }
        });
        Self { watched, overlap }
    }

    fn watch(&self, leadership: &Leadership) {
        self.watched.lock().expect("no one panics while holding it").push(leadership.clone());
    }

    fn check(&self) {
        assert!(!self.overlap.is_finished(), "two held the lease at once");
    }
}

#[tokio::test]
async fn a_released_lease_is_taken_within_two_seconds() -> Outcome {
    let plane = bare(KafkaTopicCrd::None).await?;
    let oracle = Oracle::start();
    let mut first = Replica::start(plane.kubeconfig_path(), "first").await?;
    let led = first.led().await;
    oracle.watch(&led);
    let mut second = Replica::start(plane.kubeconfig_path(), "second").await?;
    // Longer than a lease: the first renews all the while.
    sleep(TIMINGS.lease + TIMINGS.retry).await;
    assert!(first.leads() && !second.leads());

    let asked = Instant::now();
    first.stop.cancel();
    let next = second.led().await;
    let took = asked.elapsed();
    oracle.watch(&next);
    println!("handed over in {:.2} s", took.as_secs_f32());
    assert!(took <= Duration::from_secs(2), "{took:?}");
    assert!(led.lost().is_cancelled() && !led.still_held());
    first.ended.await?;
    let lease = in_default::<Lease>(&plane.client().await?).get("operator").await?;
    assert_eq!(lease.spec.and_then(|spec| spec.lease_transitions), Some(2));
    oracle.check();
    Ok(())
}

#[tokio::test]
async fn of_many_that_start_together_one_leads() -> Outcome {
    let plane = bare(KafkaTopicCrd::None).await?;
    let names: Vec<_> = (0..8).map(|number| format!("replica-{number}")).collect();
    let replicas =
        futures::future::try_join_all(names.iter().map(|name| Replica::start(plane.kubeconfig_path(), name)))
            .await?;
    let leads = || replicas.iter().filter(|replica| replica.leads()).count();
    timeout(LIMIT, async {
        while leads() == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await?;
    let until = Instant::now() + TIMINGS.lease + TIMINGS.retry;
    while Instant::now() < until {
        assert!(leads() <= 1);
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_holder_that_is_cut_off_stops_before_the_next_one_begins() -> Outcome {
    let plane = bare(KafkaTopicCrd::None).await?;
    for mode in [Mode::Silent, Mode::Cut] {
        let oracle = Oracle::start();
        let wire = Wire::to(plane.kubeconfig_path()).await?;
        let mut first = Replica::start(wire.kubeconfig(), "first").await?;
        let led = first.led().await;
        oracle.watch(&led);
        let mut second = Replica::start(plane.kubeconfig_path(), "second").await?;
        let cut = Instant::now();
        wire.set(mode);
        timeout(LIMIT, led.lost().cancelled()).await?;
        let stopped = cut.elapsed();
        let next = second.led().await;
        let taken = cut.elapsed();
        oracle.watch(&next);
        println!(
            "{mode:?}: stopped after {:.2} s, taken after {:.2} s",
            stopped.as_secs_f32(),
            taken.as_secs_f32()
        );
        assert!(stopped < TIMINGS.lease, "{stopped:?}");
        assert!(taken > stopped, "{taken:?}");
        // Back on the wire, it stands in line.
        wire.set(Mode::Whole);
        sleep(TIMINGS.lease).await;
        assert!(second.leads() && !first.leads());
        oracle.check();
        second.stop.cancel();
        oracle.watch(&first.led().await);
        oracle.check();
        first.stop.cancel();
        first.ended.await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_holder_that_was_stopped_does_not_write_when_it_wakes() -> Outcome {
    let plane = bare(KafkaTopicCrd::None).await?;
    let oracle = Oracle::start();
    let mut first = Replica::start(plane.kubeconfig_path(), "first").await?;
    let led = first.led().await;
    let mut second = Replica::start(plane.kubeconfig_path(), "second").await?;
    first.pause(true);
    let next = second.led().await;
    // Asked now for the first time since it was stopped, as a worker that wakes in the middle of its work.
    assert!(!led.still_held());
    oracle.watch(&led);
    oracle.watch(&next);
    first.pause(false);
    sleep(TIMINGS.lease).await;
    assert!(second.leads() && !first.leads() && !led.still_held());
    oracle.check();
    Ok(())
}

#[tokio::test]
async fn a_lease_that_is_deleted_under_its_holder_is_made_again_and_not_lost() -> Outcome {
    let plane = bare(KafkaTopicCrd::None).await?;
    let leases = in_default::<Lease>(&plane.client().await?);
    let mut first = Replica::start(plane.kubeconfig_path(), "first").await?;
    let led = first.led().await;
    let second = Replica::start(plane.kubeconfig_path(), "second").await?;
    // The second has seen who holds it.
    sleep(TIMINGS.retry * 2).await;
    leases.delete("operator", &DeleteParams::default()).await?;
    let until = Instant::now() + TIMINGS.lease * 2;
    while Instant::now() < until {
        assert!(led.still_held() && !second.leads());
        sleep(Duration::from_millis(10)).await;
    }
    let holder = leases.get("operator").await?.spec.and_then(|spec| spec.holder_identity);
    assert!(holder.is_some_and(|holder| holder.starts_with("first_")));
    Ok(())
}

#[tokio::test]
async fn a_spoiled_lease_of_a_dead_holder_is_taken_after_one_lease() -> Outcome {
    let plane = bare(KafkaTopicCrd::None).await?;
    let leases: Api<Lease> = in_default(&plane.client().await?);
    let spoiled = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "operator", "labels": {"somebody": "else"}},
        "spec": {
            "holderIdentity": "dead",
            "leaseDurationSeconds": i32::MAX,
            "acquireTime": "9999-12-31T23:59:59.999999Z",
            "renewTime": "9999-12-31T23:59:59.999999Z",
            "leaseTransitions": i32::MAX,
        },
    });
    // Its times are beyond what the typed Lease can hold.
    let resource = ApiResource::erase::<Lease>(&());
    let untyped: Api<DynamicObject> = Api::namespaced_with(plane.client().await?, "default", &resource);
    put(&untyped, spoiled).await?;
    let seen = Instant::now();
    let mut first = Replica::start(plane.kubeconfig_path(), "first").await?;
    first.led().await;
    let took = seen.elapsed();
    println!("taken after {:.2} s", took.as_secs_f32());
    assert!(took >= TIMINGS.lease && took <= TIMINGS.lease + TIMINGS.retry * 3, "{took:?}");
    let lease = leases.get("operator").await?;
    assert_eq!(lease.metadata.labels.unwrap_or_default().get("somebody").map(String::as_str), Some("else"));
    Ok(())
}
