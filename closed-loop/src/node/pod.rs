//! One pod, from its binding to its end. Each pod has a task.

use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::jiff::Timestamp;
use kcg_devcluster::Process;
use kcg_devcluster::pod_network::NODE_ADDRESS;
use kube::api::{DeleteParams, Preconditions};
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, ResourceExt};
use tokio::sync::watch;

use super::Context;
use super::command::{base, command};
use super::env::variables;
use super::report::StatusReporter;
use super::restart::{Next, Step, after_end, step};
use super::running::Running;
use super::sandbox::{self, Sandbox};
use super::spec::{grace, pre_stop, unsupported};
use super::status::{Ended, Facts, State};
use super::token::Tokens;
use super::volumes::{self, Mounted};

/// How often a container is checked.
const TICK: Duration = Duration::from_millis(100);
/// How often volumes are compared with their sources.
const VOLUMES_EVERY: Duration = Duration::from_secs(1);
/// The delay before a failed step is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// The exit code of a program that a signal ended is this plus the signal's number, as in shells.
const BY_SIGNAL: i32 = 128;

/// The task of one pod.
pub(super) struct Worker {
    context: Arc<Context>,
    latest: watch::Receiver<Pod>,
    container: Container,
    /// Why this node cannot run the pod.
    unsupported: Option<String>,
    address: Ipv4Addr,
    folder: PathBuf,
    mounted: Option<Vec<Mounted>>,
    tokens: Tokens,
    facts: Facts,
    status: StatusReporter,
}

impl Worker {
    /// Prepares the task of a pod that was bound to this node.
    pub(super) fn new(context: Arc<Context>, latest: watch::Receiver<Pod>, address: Ipv4Addr) -> Self {
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
            deleting: false,
            done: false,
        };
        let reporter = Reporter { controller: "kubelet".into(), instance: None };
        let recorder = Recorder::new(context.client.clone(), reporter);
        Self {
            status: StatusReporter::new(context.client.clone(), recorder, &pod),
            tokens: Tokens::new(context.client.clone()),
            unsupported: unsupported(&pod),
            folder: context.folder.join("pods").join(pod.uid().unwrap_or_default()),
            container,
            context,
            latest,
            address,
            mounted: None,
            facts,
        }
    }

    /// Runs the pod until it is deleted, then removes it from the API.
    pub(super) async fn run(mut self) {
        let mut delay = None;
        while !self.is_deleting() {
            if self.facts.done {
                self.report(self.facts.state.clone()).await;
                self.pause(RETRY).await;
                continue;
            }
            let running = match self.start().await {
                Ok(running) => running,
                Err(reason) => {
                    self.report(reason).await;
                    self.pause(RETRY).await;
                    continue;
                }
            };
            let started = running.started;
            let ended = self.supervise(running).await;
            if !self.is_deleting() {
                delay = self.restart(ended, started.elapsed(), delay).await;
            }
        }
        self.remove().await;
    }

    /// Prepares volumes and environment, and starts the program. The error is the state that names
    /// what is missing.
    async fn start(&mut self) -> Result<Running, State> {
        if let Some(reason) = &self.unsupported {
            return Err(waiting("NotSupported", reason.clone()));
        }
        let images = &self.context.images;
        let image = images.find(&self.facts.image).cloned();
        let image = image.ok_or_else(|| waiting("ErrImagePull", images.missing(&self.facts.image)))?;
        let pod = self.latest.borrow().clone();
        self.refresh(&pod).await.map_err(|missing| waiting("ContainerCreating", missing))?;
        let namespace = pod.namespace().unwrap_or_default();
        let sources = self.context.objects.sources(&namespace, &self.container);
        let base = base(&pod.name_any(), self.context.api_server);
        let env = variables(base, &self.container, &pod, &self.facts.address, &sources)
            .map_err(|missing| waiting("CreateContainerConfigError", missing))?;
        let mut mounts = image.mounts();
        mounts.extend(volumes::mounts(&self.container, self.mounted.as_deref().unwrap_or_default()));
        let name = format!("{namespace}_{}_{}", pod.name_any(), self.container.name);
        let sandbox = Sandbox {
            name: &name,
            log: self.context.log_path(&name),
            address: self.address,
            root: &self.folder.join("root"),
            mounts: &mounts,
            command: &command(&self.container, &image, &env, sandbox::is_in_every_root),
            working_dir: self.container.working_dir.as_deref(),
            env: &env,
        };
        let process = sandbox.start().await;
        let process = process.map_err(|error| waiting("RunContainerError", error.to_string()))?;
        let running =
            Running::new(self.context.runs.add(&pod, &self.container.name, process), &self.container);
        self.report(running.state()).await;
        Ok(running)
    }

    /// Waits until the program ends, is ended because of a failed liveness probe, or the pod is
    /// deleted.
    async fn supervise(&mut self, mut running: Running) -> Ended {
        let mut volumes_due = Instant::now() + VOLUMES_EVERY;
        let mut ended = running.run.process.ended();
        while ended.is_none() {
            if self.is_deleting() {
                self.facts.deleting = true;
                self.report(running.state()).await;
                self.end(&running.run.process).await;
            } else if let Some(probe) = running.failed_probe() {
                let note =
                    format!("Container {} failed {probe} probe, will be restarted", self.container.name);
                self.status.event("Unhealthy", note).await;
                self.end(&running.run.process).await;
            } else {
                let probed = running.probe(&self.container, self.address);
                tokio::select! { () = probed => {}, () = deleted(&mut self.latest) => {} }
                self.report(running.state()).await;
                if Instant::now() > volumes_due {
                    let pod = self.latest.borrow().clone();
                    // If a source is missing now, the container keeps the files it has, as on any
                    // node.
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
        self.report(State::Ended(ended.clone())).await;
        ended
    }

    /// Ends the program: preStop's sleep, SIGTERM, the grace period, SIGKILL. The grace period may
    /// shrink meanwhile.
    async fn end(&self, process: &Process) {
        let (since, mut is_asked) = (Instant::now(), false);
        while process.ended().is_none() {
            let pod = self.latest.borrow().clone();
            let gone = self.latest.has_changed().is_err();
            match step(since.elapsed(), pre_stop(&self.container), grace(&pod), gone) {
                // The signal fails only if the program has ended.
                Step::Terminate if !is_asked => is_asked = process.ask_to_end().is_ok(),
                Step::Sleep | Step::Terminate => {}
                Step::Kill => process.kill(),
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Follows the restart policy: waits for the backoff, or does nothing. Returns the backoff.
    async fn restart(&mut self, ended: Ended, ran: Duration, before: Option<Duration>) -> Option<Duration> {
        let policy = self.latest.borrow().spec.as_ref().and_then(|spec| spec.restart_policy.clone());
        let Next::Restart(delay) = after_end(policy.as_deref(), ended.code, ran, before) else {
            self.facts.done = true;
            return before;
        };
        self.facts.restarts += 1;
        self.facts.last = Some(ended);
        let message = format!("back-off {} s restarting failed container", delay.as_secs());
        let until = Instant::now() + delay;
        while Instant::now() < until && !self.is_deleting() {
            self.report(waiting("CrashLoopBackOff", message.clone())).await;
            self.pause(RETRY.min(until.saturating_duration_since(Instant::now()))).await;
        }
        Some(delay)
    }

    /// Creates the volumes if there are none yet, and updates their files.
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

    fn is_deleting(&self) -> bool {
        self.latest.borrow().metadata.deletion_timestamp.is_some() || self.latest.has_changed().is_err()
    }

    /// Waits, but no longer than until the pod is deleted.
    async fn pause(&mut self, time: Duration) {
        let _ = tokio::time::timeout(time, deleted(&mut self.latest)).await;
    }

    async fn report(&mut self, state: State) {
        self.facts.state = state;
        self.status.report(&self.facts).await;
    }

    /// Deletes the object, which is the last thing a kubelet does for a pod.
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
        // Until it succeeds, the pod is gone, or another pod has its name.
        while self.latest.has_changed().is_ok() {
            match pods.delete(&pod.name_any(), &now).await {
                Ok(_) => break,
                Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => break,
                Err(_) => drop(tokio::time::timeout(RETRY, self.latest.changed()).await),
            }
        }
        // Whatever is left is removed with the cluster's folder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Returns when the pod is being deleted, or is deleted.
async fn deleted(latest: &mut watch::Receiver<Pod>) {
    // The wait fails if the pod is no longer in the API.
    let _ = latest.wait_for(|pod| pod.metadata.deletion_timestamp.is_some()).await;
}

fn waiting(reason: &'static str, message: String) -> State {
    State::Waiting { reason, message }
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal)).unwrap_or(1)
}
