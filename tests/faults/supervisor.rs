//! Keeps one process of the operator running, as a Deployment does, and notes what it does wrong as a
//! process: exits that no plan asks for, and readiness before the caches are filled.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use kcg_devcluster::Replica;
use kcg_tests::objects::{CHILDREN, GROUP, POD, TOPIC};
use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;

use crate::log::Log;

const POLL: Duration = Duration::from_millis(50);
/// How long a kubelet waits before it restarts a container that failed.
const BACKOFF: Duration = Duration::from_secs(1);

/// How long a process may take to end that got SIGTERM: half of what a kubelet allows.
const GRACE: Duration = Duration::from_secs(15);

/// The process that runs at the moment. A proxy kills it.
#[derive(Clone, Default)]
pub struct Slot(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    replica: Option<Arc<Replica>>,
    is_killed: bool,
    /// When it got SIGTERM.
    terminated: Option<Instant>,
    is_ready: bool,
    facts: Facts,
}

/// What the process did.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub starts: usize,
    /// Exits that were not asked for, with the end of the log.
    pub exits: Vec<String>,
    /// When it had ended after a SIGTERM.
    pub handed_over: Vec<Instant>,
    /// A kind that had not been listed when /readyz returned 200.
    pub early_ready: Vec<String>,
}

impl Slot {
    pub fn kill(&self) {
        let replica = {
            let mut state = self.0.lock();
            state.is_killed = true;
            state.replica.clone()
        };
        if let Some(replica) = replica {
            replica.process().kill();
        }
    }

    pub fn terminate(&self) {
        let replica = {
            let mut state = self.0.lock();
            state.is_killed = true;
            state.terminated = Some(Instant::now());
            state.replica.clone()
        };
        if let Some(Err(error)) = replica.map(|replica| replica.process().ask_to_end()) {
            self.0.lock().facts.exits.push(format!("it cannot be asked to end: {error:#}"));
        }
    }

    pub fn is_ready(&self) -> bool {
        self.0.lock().is_ready
    }

    pub fn replica(&self) -> Option<Arc<Replica>> {
        self.0.lock().replica.clone()
    }

    pub fn facts(&self) -> Facts {
        self.0.lock().facts.clone()
    }

    fn started(&self, replica: Arc<Replica>) {
        let mut state = self.0.lock();
        (state.is_killed, state.is_ready) = (false, false);
        state.facts.starts += 1;
        state.replica = Some(replica);
    }

    /// `missing` is the kind that had not been listed.
    fn ready(&self, missing: Option<&str>) {
        let mut state = self.0.lock();
        state.is_ready = true;
        state.facts.early_ready.extend(missing.map(str::to_owned));
    }

    /// Whether the plan killed it.
    fn ended(&self, log: &str, status: Option<ExitStatus>) -> bool {
        let mut state = self.0.lock();
        state.is_ready = false;
        if let Some(terminated) = state.terminated.take() {
            let took = terminated.elapsed();
            if took > GRACE || !status.is_some_and(|status| status.success()) {
                state.facts.exits.push(format!("{took:?} after SIGTERM with {status:?}: {log}"));
            }
            state.facts.handed_over.push(Instant::now());
        }
        if !state.is_killed {
            state.facts.exits.push(log.to_owned());
        }
        state.is_killed
    }
}

/// Starts the process again and again until the returned task is dropped.
pub fn supervise(
    slot: &Slot,
    log: Log,
    start: impl Fn() -> Result<Replica> + Send + Sync + 'static,
) -> AbortOnDropHandle<()> {
    let slot = slot.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let since = Instant::now();
            match start() {
                Ok(replica) => {
                    let replica = Arc::new(replica);
                    slot.started(replica.clone());
                    until_it_ends(&slot, &replica, &log, since).await;
                    let text = replica.process().log();
                    let end: Vec<&str> = text.lines().rev().take(3).collect();
                    if !slot.ended(&end.join(" / "), replica.process().ended()) {
                        tokio::time::sleep(BACKOFF).await;
                    }
                }
                Err(error) => {
                    slot.ended(&format!("it cannot be started: {error:#}"), None);
                    tokio::time::sleep(BACKOFF).await;
                }
            }
        }
    }))
}

async fn until_it_ends(slot: &Slot, replica: &Replica, log: &Log, since: Instant) {
    let kinds = CHILDREN.into_iter().chain([GROUP, TOPIC, POD]);
    let kinds: Vec<&str> = kinds.map(|kind| kind.plural).collect();
    while replica.process().ended().is_none() {
        if !slot.is_ready() && replica.get("/readyz").await.is_ok_and(|(status, _)| status == 200) {
            slot.ready(kinds.iter().copied().find(|kind| !log.has_listed(kind, since)));
        }
        tokio::time::sleep(POLL).await;
    }
}
