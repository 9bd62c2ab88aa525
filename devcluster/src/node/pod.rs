//! One pod from its binding to its end: one task each.

use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Context;
use super::env::{expanded, variables};
use super::probe::{self, Prober, Verdict};
use super::runs::Run;
use super::sandbox::Sandbox;
use super::status::{Ended, Facts, State, status};
use super::token::Tokens;
use super::volumes::{self, Mounted};
use crate::pod_network::NODE_ADDRESS;
use crate::process::Process;

/// How often a container is looked after.
const TICK: Duration = Duration::from_millis(100);
/// How often volumes are compared with what they are made of.
const VOLUMES_EVERY: Duration = Duration::from_secs(1);
/// How long what is missing is waited for before it is looked for again.
const RETRY: Duration = Duration::from_millis(500);
/// A container that has run this long starts without delay when it ends.
const FORGIVEN_AFTER: Duration = Duration::from_mins(10);
/// What a shell says of a program that a signal ended is this and the signal's number.
const BY_SIGNAL: i32 = 128;
const DEFAULT_GRACE: i64 = 30;

/// One pod's task.
pub(super) struct Worker {
    context: Arc<Context>,
    pods: Api<Pod>,
    latest: watch::Receiver<Pod>,
    container: Container,
    address: Ipv4Addr,
    folder: PathBuf,
    mounted: Vec<Mounted>,
    tokens: Tokens,
    facts: Facts,
    written: Option<Value>,
}

/// A started container with its probes.
struct Running {
    run: Arc<Run>,
    since: Timestamp,
    began: Instant,
    startup: Option<Prober>,
    liveness: Option<Prober>,
    readiness: Option<Prober>,
}

impl Worker {
    /// Takes the pod in; the error says why this node cannot run it.
    pub fn new(
        context: Arc<Context>,
        latest: watch::Receiver<Pod>,
        address: Ipv4Addr,
    ) -> Result<Self, String> {
        let pod = latest.borrow().clone();
        let spec = pod.spec.clone().unwrap_or_default();
        let [container] = spec.containers.as_slice() else {
            return Err("this node runs pods of one container".into());
        };
        if spec.init_containers.is_some_and(|containers| !containers.is_empty()) {
            return Err("this node runs no init containers".into());
        }
        if let Some(refusal) = probe::refusal(container) {
            return Err(refusal);
        }
        let folder = context.folder.join("pods").join(pod.uid().unwrap_or_default());
        let create = |path: &PathBuf| {
            std::fs::create_dir_all(path).map_err(|error| format!("create {}: {error}", path.display()))
        };
        create(&folder.join("root"))?;
        let mounted = volumes::create(&pod, &folder.join("volumes")).map_err(|error| error.to_string())?;
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
        Ok(Self {
            pods: Api::namespaced(context.client.clone(), &pod.namespace().unwrap_or_default()),
            tokens: Tokens::new(context.client.clone()),
            container: container.clone(),
            context,
            latest,
            address,
            folder,
            mounted,
            facts,
            written: None,
        })
    }

    /// Runs it until it is deleted, and takes it away then.
    pub async fn run(mut self) {
        let mut delay = Duration::ZERO;
        while !self.is_going() {
            if self.facts.done {
                self.pause(RETRY).await;
                continue;
            }
            let Some(running) = self.start().await else {
                self.pause(RETRY).await;
                continue;
            };
            let began = running.began;
            let ended = self.supervise(running).await;
            if self.is_going() {
                break;
            }
            if began.elapsed() > FORGIVEN_AFTER {
                delay = Duration::ZERO;
            }
            self.back_off(ended, &mut delay).await;
        }
        self.remove().await;
    }

    /// Brings volumes and environment, and starts the program; what is missing stands in the status.
    async fn start(&mut self) -> Option<Running> {
        let Some(program) = self.context.images.program(&self.facts.image).map(PathBuf::from) else {
            let message = self.context.images.refusal(&self.facts.image);
            self.tell(waiting("ErrImagePull", message)).await;
            return None;
        };
        let pod = self.latest.borrow().clone();
        if let Err(missing) = self.refresh(&pod).await {
            self.tell(waiting("ContainerCreating", missing)).await;
            return None;
        }
        let namespace = pod.namespace().unwrap_or_default();
        let sources = self.context.objects.sources(&namespace, &self.container);
        let mut env = match variables(&self.container, &pod, &self.facts.address, &sources) {
            Ok(env) => env,
            Err(missing) => {
                self.tell(waiting("CreateContainerConfigError", missing)).await;
                return None;
            }
        };
        let args: Vec<String> = self.container.args.iter().flatten().map(|arg| expanded(arg, &env)).collect();
        let server = self.context.api_server;
        for (name, value) in [
            ("HOSTNAME", pod.name_any()),
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
            ("KUBERNETES_SERVICE_HOST", server.ip().to_string()),
            ("KUBERNETES_SERVICE_PORT", server.port().to_string()),
        ] {
            env.entry(name.to_owned()).or_insert(value);
        }
        let mounts: Vec<(PathBuf, String)> = self
            .container
            .volume_mounts
            .iter()
            .flatten()
            .filter_map(|mount| {
                let volume = self.mounted.iter().find(|volume| volume.name() == mount.name)?;
                Some((volume.path(), mount.mount_path.clone()))
            })
            .collect();
        let name = format!("{namespace}_{}_{}", pod.name_any(), self.container.name);
        let sandbox = Sandbox {
            name: &name,
            log: self.context.log_path(&name, self.facts.restarts),
            address: self.address,
            root: &self.folder.join("root"),
            mounts: &mounts,
            program: &program,
            args: &args,
            working_dir: self.container.working_dir.as_deref(),
            env: &env,
        };
        match sandbox.start().await {
            Ok(process) => Some(self.started(&pod, process).await),
            Err(error) => {
                self.tell(waiting("RunContainerError", error.to_string())).await;
                None
            }
        }
    }

    async fn started(&mut self, pod: &Pod, process: Process) -> Running {
        let began = Instant::now();
        let prober = |probe: &Option<_>| probe.as_ref().map(|probe| Prober::new(probe, began));
        let run = self.context.runs.add(pod, &self.container.name, process);
        let running = Running {
            run,
            since: Timestamp::now(),
            began,
            startup: prober(&self.container.startup_probe),
            liveness: prober(&self.container.liveness_probe),
            readiness: prober(&self.container.readiness_probe),
        };
        self.tell(running.state()).await;
        running
    }

    /// Until the program ends by itself, is ended for its liveness, or the pod goes.
    async fn supervise(&mut self, mut running: Running) -> Ended {
        let mut volumes_due = Instant::now() + VOLUMES_EVERY;
        let mut ended = running.run.process.ended();
        while ended.is_none() {
            if self.is_going() {
                self.facts.going = true;
                self.tell(running.state()).await;
                end(&running.run.process, self.grace()).await;
            } else if running.is_dead() {
                end(&running.run.process, self.grace()).await;
            } else {
                running.ask(&self.container, self.address).await;
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
        let status = ended.unwrap_or_default();
        let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal)).unwrap_or(1);
        let ended = Ended { code, since: running.since, at: Timestamp::now() };
        self.tell(State::Ended(ended.clone())).await;
        ended
    }

    /// As the restart policy wants it: again at once, later, or not at all.
    async fn back_off(&mut self, ended: Ended, delay: &mut Duration) {
        let policy = self.latest.borrow().spec.as_ref().and_then(|spec| spec.restart_policy.clone());
        let again = match policy.as_deref() {
            Some("Never") => false,
            Some("OnFailure") => ended.code != 0,
            _ => true,
        };
        if !again {
            self.facts.done = true;
            self.tell(State::Ended(ended)).await;
            return;
        }
        self.facts.restarts += 1;
        self.facts.last = Some(ended);
        if !delay.is_zero() {
            let message = format!("back-off {} s restarting failed container", delay.as_secs());
            self.tell(waiting("CrashLoopBackOff", message)).await;
            self.pause(*delay).await;
        }
        *delay = super::runs::next_delay(*delay);
    }

    async fn refresh(&mut self, pod: &Pod) -> Result<(), String> {
        let objects = self.context.objects.clone();
        volumes::refresh(pod, &self.facts.address, &mut self.mounted, &objects, &mut self.tokens).await
    }

    fn is_going(&self) -> bool {
        self.latest.borrow().metadata.deletion_timestamp.is_some() || self.latest.has_changed().is_err()
    }

    fn grace(&self) -> Duration {
        grace(&self.latest.borrow())
    }

    /// Waits, or goes on at once where the pod has changed.
    async fn pause(&mut self, time: Duration) {
        let _ = tokio::time::timeout(time, async {
            loop {
                if self.latest.changed().await.is_err()
                    || self.latest.borrow().metadata.deletion_timestamp.is_some()
                {
                    break;
                }
            }
        })
        .await;
    }

    /// Writes the status where it says something new.
    async fn tell(&mut self, state: State) {
        self.facts.state = state;
        let pod = self.latest.borrow().clone();
        let conditions: Vec<(String, String, String)> = self
            .written
            .iter()
            .flat_map(|status| status["conditions"].as_array().cloned().unwrap_or_default())
            .map(|condition| {
                let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
                (text("type"), text("status"), text("lastTransitionTime"))
            })
            .collect();
        let new = status(&self.facts, &conditions, Timestamp::now());
        if self.written.as_ref() == Some(&new) {
            return;
        }
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": new});
        let outcome =
            self.pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(patch)).await;
        // A failed write is written again at the next look; a pod that is gone needs no status.
        if outcome.is_ok() {
            self.written = Some(new);
        }
    }

    /// The last thing a kubelet does for a pod: it takes the object away.
    async fn remove(mut self) {
        self.facts.going = true;
        let pod = self.latest.borrow().clone();
        let preconditions = Preconditions { uid: pod.uid(), ..Preconditions::default() };
        let now = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        for _ in 0..10 {
            match self.pods.delete(&pod.name_any(), &now).await {
                Ok(_) => break,
                // Gone, or another of that name is there.
                Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => break,
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
        // What is left of it goes with the cluster's folder in any case.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Running {
    fn state(&self) -> State {
        let passes = |prober: &Option<Prober>| {
            prober.as_ref().is_none_or(|prober| prober.verdict() == Verdict::Passing)
        };
        let started = passes(&self.startup);
        State::Running { since: self.since, started, ready: started && passes(&self.readiness) }
    }

    /// Liveness and readiness count only once the startup probe has passed.
    async fn ask(&mut self, container: &Container, address: Ipv4Addr) {
        if let Some(startup) = &mut self.startup
            && startup.verdict() != Verdict::Passing
        {
            return startup.ask(container, address).await;
        }
        for prober in [&mut self.liveness, &mut self.readiness].into_iter().flatten() {
            prober.ask(container, address).await;
        }
    }

    fn is_dead(&self) -> bool {
        [&self.startup, &self.liveness]
            .into_iter()
            .flatten()
            .any(|prober| prober.verdict() == Verdict::Failing)
    }
}

/// SIGTERM, the grace period, SIGKILL.
async fn end(process: &Process, grace: Duration) {
    let asked = Instant::now();
    // It fails only where the program has ended.
    let _ = process.ask_to_end();
    while process.ended().is_none() && asked.elapsed() < grace {
        tokio::time::sleep(TICK).await;
    }
    process.kill();
}

/// Why this node cannot run a pod, in its status.
pub(super) async fn refuse(context: &Context, pod: &Pod, why: &str) {
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &pod.namespace().unwrap_or_default());
    let patch = json!({"status": {"phase": "Failed", "reason": "NotSupported", "message": why}});
    // Told again when the pod changes; there is nobody else to tell.
    let _ = pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await;
}

fn waiting(reason: &'static str, message: String) -> State {
    State::Waiting { reason, message }
}

fn grace(pod: &Pod) -> Duration {
    let asked = pod.metadata.deletion_grace_period_seconds;
    let shipped = || pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    let seconds = asked.or_else(shipped).unwrap_or(DEFAULT_GRACE);
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}
