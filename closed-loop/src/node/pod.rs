//! One pod from its binding to its end: one task each.

use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Preconditions};
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, ResourceExt};
use tokio::sync::watch;

use super::Context;
use super::command::{base, command};
use super::env::variables;
use super::report::Report;
use super::restart::{Next, Step, after_end, step};
use super::running::Running;
use super::sandbox::{self, Sandbox};
use super::spec::{grace, pre_stop, refusal};
use super::status::{Ended, Facts, State};
use super::token::Tokens;
use super::volumes::{self, Mounted};
use kcg_devcluster::Process;
use kcg_devcluster::pod_network::NODE_ADDRESS;

/// How often a container is looked after.
const TICK: Duration = Duration::from_millis(100);
/// How often volumes are compared with what they are made of.
const VOLUMES_EVERY: Duration = Duration::from_secs(1);
/// How long what is missing is waited for before it is looked for again.
const RETRY: Duration = Duration::from_millis(500);
/// What a shell says of a program that a signal ended is this and the signal's number.
const BY_SIGNAL: i32 = 128;

/// One pod's task.
pub(super) struct Worker {
    context: Arc<Context>,
    latest: watch::Receiver<Pod>,
    container: Container,
    /// Why this node cannot run it.
    refusal: Option<String>,
    address: Ipv4Addr,
    folder: PathBuf,
    mounted: Option<Vec<Mounted>>,
    tokens: Tokens,
    facts: Facts,
    report: Report,
}

impl Worker {
    /// Takes the pod in.
    pub fn new(context: Arc<Context>, latest: watch::Receiver<Pod>, address: Ipv4Addr) -> Self {
        let pod = latest.borrow().clone();
        let container = pod.spec.iter().flat_map(|spec| &spec.containers).next().cloned().unwrap_or_default();
        let facts = Facts {
            container: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            address: address.to_string(),
            host: NODE_ADDRESS.to_string(),
            accepted: Timestamp::now(),
            state: waiting("ContainerCreating", String::new()),
            last: None,
            restarts: 0,
            going: false,
            done: false,
        };
        let reporter = Reporter { controller: "kubelet".into(), instance: None };
        let recorder = Recorder::new(context.client.clone(), reporter);
        Self {
            report: Report::new(context.client.clone(), recorder, &pod),
            tokens: Tokens::new(context.client.clone()),
            refusal: refusal(&pod),
            folder: context.folder.join("pods").join(pod.uid().unwrap_or_default()),
            container,
            context,
            latest,
            address,
            mounted: None,
            facts,
        }
    }

    /// Runs it until it is deleted, and takes it away then.
    pub async fn run(mut self) {
        let mut delay = None;
        while !self.is_going() {
            if self.facts.done {
                self.tell(self.facts.state.clone()).await;
                self.pause(RETRY).await;
                continue;
            }
            let running = match self.start().await {
                Ok(running) => running,
                Err(why) => {
                    self.tell(why).await;
                    self.pause(RETRY).await;
                    continue;
                }
            };
            let began = running.began;
            let ended = self.supervise(running).await;
            if !self.is_going() {
                delay = self.follow_up(ended, began.elapsed(), delay).await;
            }
        }
        self.remove().await;
    }

    /// Brings volumes and environment, and starts the program; the error is the state that says what is missing.
    async fn start(&mut self) -> Result<Running, State> {
        if let Some(refusal) = &self.refusal {
            return Err(waiting("NotSupported", refusal.clone()));
        }
        let images = &self.context.images;
        let program = images.program(&self.facts.image).map(PathBuf::from);
        let program = program.ok_or_else(|| waiting("ErrImagePull", images.refusal(&self.facts.image)))?;
        let pod = self.latest.borrow().clone();
        self.refresh(&pod).await.map_err(|missing| waiting("ContainerCreating", missing))?;
        let namespace = pod.namespace().unwrap_or_default();
        let sources = self.context.objects.sources(&namespace, &self.container);
        let base = base(&pod.name_any(), self.context.api_server);
        let env = variables(base, &self.container, &pod, &self.facts.address, &sources)
            .map_err(|missing| waiting("CreateContainerConfigError", missing))?;
        let mounts = volumes::mounts(&self.container, self.mounted.as_deref().unwrap_or_default());
        let name = format!("{namespace}_{}_{}", pod.name_any(), self.container.name);
        let sandbox = Sandbox {
            name: &name,
            log: self.context.log_path(&name),
            address: self.address,
            root: &self.folder.join("root"),
            mounts: &mounts,
            command: &command(&self.container, &program, &env, sandbox::is_in_every_root),
            working_dir: self.container.working_dir.as_deref(),
            env: &env,
        };
        let process = sandbox.start().await;
        let process = process.map_err(|error| waiting("RunContainerError", error.to_string()))?;
        let running =
            Running::new(self.context.runs.add(&pod, &self.container.name, process), &self.container);
        self.tell(running.state()).await;
        Ok(running)
    }

    /// Until the program ends by itself, is ended for its liveness, or the pod goes.
    async fn supervise(&mut self, mut running: Running) -> Ended {
        let mut volumes_due = Instant::now() + VOLUMES_EVERY;
        let mut ended = running.run.process.ended();
        while ended.is_none() {
            if self.is_going() {
                self.facts.going = true;
                self.tell(running.state()).await;
                self.end(&running.run.process).await;
            } else if let Some(probe) = running.dead_by() {
                let note =
                    format!("Container {} failed {probe} probe, will be restarted", self.container.name);
                self.report.event("Unhealthy", note).await;
                self.end(&running.run.process).await;
            } else {
                let asked = running.ask(&self.container, self.address);
                tokio::select! { () = asked => {}, () = gone(&mut self.latest) => {} }
                self.tell(running.state()).await;
                if Instant::now() > volumes_due {
                    let pod = self.latest.borrow().clone();
                    // What is missing now was there at the start: the container keeps what it has, as on any node.
                    let _ = self.refresh(&pod).await;
                    volumes_due = Instant::now() + VOLUMES_EVERY;
                }
                self.pause(TICK).await;
            }
            ended = running.run.process.ended();
        }
        running.run.finish();
        let code = exit_code(ended.unwrap_or_default());
        let ended = Ended { code, since: running.since, at: Timestamp::now() };
        self.tell(State::Ended(ended.clone())).await;
        ended
    }

    /// preStop's sleep, SIGTERM, the grace period, SIGKILL; a grace period that shrinks meanwhile is heeded.
    async fn end(&self, process: &Process) {
        let (wanted, mut asked) = (Instant::now(), false);
        while process.ended().is_none() {
            let pod = self.latest.borrow().clone();
            let gone = self.latest.has_changed().is_err();
            match step(wanted.elapsed(), pre_stop(&self.container), grace(&pod), gone) {
                // It fails only where the program has ended.
                Step::Ask if !asked => asked = process.ask_to_end().is_ok(),
                Step::Sleep | Step::Ask => {}
                Step::Kill => process.kill(),
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// As the restart policy wants it: again at once, later, or not at all. Returns the delay.
    async fn follow_up(&mut self, ended: Ended, ran: Duration, before: Option<Duration>) -> Option<Duration> {
        let policy = self.latest.borrow().spec.as_ref().and_then(|spec| spec.restart_policy.clone());
        let Next::Again(delay) = after_end(policy.as_deref(), ended.code, ran, before) else {
            self.facts.done = true;
            return before;
        };
        self.facts.restarts += 1;
        self.facts.last = Some(ended);
        let message = format!("back-off {} s restarting failed container", delay.as_secs());
        let until = Instant::now() + delay;
        while Instant::now() < until && !self.is_going() {
            self.tell(waiting("CrashLoopBackOff", message.clone())).await;
            self.pause(RETRY.min(until.saturating_duration_since(Instant::now()))).await;
        }
        Some(delay)
    }

    /// Makes the volumes where there are none yet, and brings them up to date.
    async fn refresh(&mut self, pod: &Pod) -> Result<(), String> {
        if self.mounted.is_none() {
            let root = self.folder.join("root");
            std::fs::create_dir_all(&root).map_err(|error| format!("create {}: {error}", root.display()))?;
            let volumes = volumes::create(pod, &self.folder.join("volumes"));
            self.mounted = Some(volumes.map_err(|error| error.to_string())?);
        }
        let mounted = self.mounted.as_deref_mut().unwrap_or_default();
        volumes::refresh(pod, &self.facts.address, mounted, &self.context.objects, &mut self.tokens).await
    }

    fn is_going(&self) -> bool {
        self.latest.borrow().metadata.deletion_timestamp.is_some() || self.latest.has_changed().is_err()
    }

    /// Waits, or goes on at once where the pod is to go.
    async fn pause(&mut self, time: Duration) {
        let _ = tokio::time::timeout(time, gone(&mut self.latest)).await;
    }

    async fn tell(&mut self, state: State) {
        self.facts.state = state;
        self.report.tell(&self.facts).await;
    }

    /// The last thing a kubelet does for a pod: it takes the object away.
    async fn remove(mut self) {
        let pod = self.latest.borrow().clone();
        let pods: Api<Pod> =
            Api::namespaced(self.context.client.clone(), &pod.namespace().unwrap_or_default());
        let preconditions = Preconditions { uid: pod.uid(), ..Preconditions::default() };
        let now = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        // Until it succeeds, it is gone, or another of that name is there.
        while self.latest.has_changed().is_ok() {
            match pods.delete(&pod.name_any(), &now).await {
                Ok(_) => break,
                Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => break,
                Err(_) => drop(tokio::time::timeout(RETRY, self.latest.changed()).await),
            }
        }
        // What is left of it goes with the cluster's folder in any case.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Returns when the pod is to go, or is gone.
async fn gone(latest: &mut watch::Receiver<Pod>) {
    // It fails where the pod is in the API no more.
    let _ = latest.wait_for(|pod| pod.metadata.deletion_timestamp.is_some()).await;
}

fn waiting(reason: &'static str, message: String) -> State {
    State::Waiting { reason, message }
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal)).unwrap_or(1)
}
