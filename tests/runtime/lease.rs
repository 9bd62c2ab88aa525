//! At most one of several candidates leads, whatever happens to it, its clock, its connection or
//! the Lease.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kcg_devcluster::KafkaTopicCrd;
use kcg_runtime::lease::{Candidate, Elector, Leadership, LeaseMetrics, SystemClock, Timings};
use kcg_tests::Outcome;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject};
use kube::core::ApiResource;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::proxy::{Mode, Proxy};
use crate::requests::{apply, counting_client, in_default, server};

/// Shorter than the product's, in the same proportion.
const TIMINGS: Timings = Timings {
    lease: Duration::from_secs(6),
    renew_deadline: Duration::from_secs(4),
    retry: Duration::from_secs(1),
};

/// The usual time is a second; a busy computer needs much longer.
const LIMIT: Duration = Duration::from_mins(1);

struct Replica {
    leading: watch::Receiver<Option<Leadership>>,
    stop: CancellationToken,
    running: watch::Sender<bool>,
    ended: JoinHandle<()>,
}

impl Replica {
    async fn start(kubeconfig: &Path, name: &str) -> Outcome<Self> {
        let (client, _) = counting_client(kubeconfig).await?;
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

    async fn wait_until_leading(&mut self) -> Leadership {
        let leading = timeout(LIMIT, self.leading.wait_for(Option::is_some)).await.expect("never led");
        leading.expect("the elector ended").clone().expect("waited for it")
    }

    /// Stops or resumes its election, as if its process were stopped.
    fn pause(&self, paused: bool) {
        self.running.send_replace(!paused);
    }
}

/// Polls `work` only while `running` is true.
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

/// Checks all the time that at most one holds the Lease.
struct ExclusionCheck {
    watched: Arc<Mutex<Vec<Leadership>>>,
    overlap: JoinHandle<()>,
}

impl ExclusionCheck {
    fn start() -> Self {
        let watched = Arc::new(Mutex::new(Vec::<Leadership>::new()));
        let seen = watched.clone();
        let overlap = tokio::spawn(async move {
            loop {
                let holders = seen.lock().iter().filter(|leadership| leadership.still_held()).count();
                assert!(holders <= 1, "{holders} hold the Lease at once");
                sleep(Duration::from_millis(2)).await;
            }
        });
        Self { watched, overlap }
    }

    fn watch(&self, leadership: &Leadership) {
        self.watched.lock().push(leadership.clone());
    }

    fn check(&self) {
        assert!(!self.overlap.is_finished(), "two held the Lease at once");
    }
}

#[tokio::test]
async fn a_released_lease_is_acquired_within_two_seconds() -> Outcome {
    let plane = server(KafkaTopicCrd::None).await?;
    let exclusion = ExclusionCheck::start();
    let mut first = Replica::start(plane.kubeconfig_path(), "first").await?;
    let led = first.wait_until_leading().await;
    exclusion.watch(&led);
    let mut second = Replica::start(plane.kubeconfig_path(), "second").await?;
    // Longer than a lease duration: the first renews all the time.
    sleep(TIMINGS.lease + TIMINGS.retry).await;
    assert!(first.leads() && !second.leads());

    let asked = Instant::now();
    first.stop.cancel();
    let next = second.wait_until_leading().await;
    let took = asked.elapsed();
    exclusion.watch(&next);
    println!("handed over in {:.2} s", took.as_secs_f32());
    assert!(took <= Duration::from_secs(2), "{took:?}");
    assert!(led.lost().is_cancelled() && !led.still_held());
    first.ended.await?;
    let lease = in_default::<Lease>(&plane.client().await?).get("operator").await?;
    assert_eq!(lease.spec.and_then(|spec| spec.lease_transitions), Some(2));
    exclusion.check();
    Ok(())
}

#[tokio::test]
async fn of_many_candidates_that_start_together_one_leads() -> Outcome {
    let plane = server(KafkaTopicCrd::None).await?;
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
async fn a_holder_that_loses_its_connection_stops_before_the_next_one_starts() -> Outcome {
    let plane = server(KafkaTopicCrd::None).await?;
    for mode in [Mode::Stalled, Mode::Closed] {
        let exclusion = ExclusionCheck::start();
        let proxy = Proxy::to(plane.kubeconfig_path()).await?;
        let mut first = Replica::start(proxy.kubeconfig(), "first").await?;
        let led = first.wait_until_leading().await;
        exclusion.watch(&led);
        let mut second = Replica::start(plane.kubeconfig_path(), "second").await?;
        let cut = Instant::now();
        proxy.set(mode);
        timeout(LIMIT, led.lost().cancelled()).await?;
        let stopped = cut.elapsed();
        let next = second.wait_until_leading().await;
        let taken = cut.elapsed();
        exclusion.watch(&next);
        println!(
            "{mode:?}: stopped after {:.2} s, taken after {:.2} s",
            stopped.as_secs_f32(),
            taken.as_secs_f32()
        );
        assert!(stopped < TIMINGS.lease, "{stopped:?}");
        assert!(taken > stopped, "{taken:?}");
        // With its connection back, it is a standby.
        proxy.set(Mode::Open);
        sleep(TIMINGS.lease).await;
        assert!(second.leads() && !first.leads());
        exclusion.check();
        second.stop.cancel();
        exclusion.watch(&first.wait_until_leading().await);
        exclusion.check();
        first.stop.cancel();
        first.ended.await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_paused_holder_does_not_write_after_it_resumes() -> Outcome {
    let plane = server(KafkaTopicCrd::None).await?;
    let exclusion = ExclusionCheck::start();
    let mut first = Replica::start(plane.kubeconfig_path(), "first").await?;
    let led = first.wait_until_leading().await;
    let mut second = Replica::start(plane.kubeconfig_path(), "second").await?;
    first.pause(true);
    let next = second.wait_until_leading().await;
    // It is asked for the first time since it was paused, like a worker that resumes in the middle
    // of its work.
    assert!(!led.still_held());
    exclusion.watch(&led);
    exclusion.watch(&next);
    first.pause(false);
    sleep(TIMINGS.lease).await;
    assert!(second.leads() && !first.leads() && !led.still_held());
    exclusion.check();
    Ok(())
}

#[tokio::test]
async fn a_deleted_lease_is_recreated_by_its_holder() -> Outcome {
    let plane = server(KafkaTopicCrd::None).await?;
    let leases = in_default::<Lease>(&plane.client().await?);
    let mut first = Replica::start(plane.kubeconfig_path(), "first").await?;
    let led = first.wait_until_leading().await;
    let second = Replica::start(plane.kubeconfig_path(), "second").await?;
    // Time for the second to observe the holder.
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
async fn an_invalid_lease_of_a_dead_holder_is_acquired_after_one_lease_duration() -> Outcome {
    let plane = server(KafkaTopicCrd::None).await?;
    let leases: Api<Lease> = in_default(&plane.client().await?);
    let invalid = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "operator", "labels": {"third": "party"}},
        "spec": {
            "holderIdentity": "dead",
            "leaseDurationSeconds": i32::MAX,
            "acquireTime": "9999-12-31T23:59:59.999999Z",
            "renewTime": "9999-12-31T23:59:59.999999Z",
            "leaseTransitions": i32::MAX,
        },
    });
    // The typed Lease cannot hold its times.
    let resource = ApiResource::erase::<Lease>(&());
    let untyped: Api<DynamicObject> = Api::namespaced_with(plane.client().await?, "default", &resource);
    apply(&untyped, invalid).await?;
    let seen = Instant::now();
    let mut first = Replica::start(plane.kubeconfig_path(), "first").await?;
    first.wait_until_leading().await;
    let took = seen.elapsed();
    println!("taken after {:.2} s", took.as_secs_f32());
    assert!(took >= TIMINGS.lease && took <= TIMINGS.lease + TIMINGS.retry * 3, "{took:?}");
    let lease = leases.get("operator").await?;
    assert_eq!(lease.metadata.labels.unwrap_or_default().get("third").map(String::as_str), Some("party"));
    Ok(())
}
