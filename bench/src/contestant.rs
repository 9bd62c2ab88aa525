//! An operator to measure: its program, its flags, its process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kcg_devcluster::{OPERATOR, Port, Process, cargo, plain_http, usage};

use crate::cluster::Cluster;
use crate::options::Peer;

/// The name of this repository's operator in the report.
pub const OURS: &str = "operator";
/// The longest that an operator may take to come to rest.
const REST_LIMIT: Duration = Duration::from_mins(5);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const READY_LIMIT: Duration = Duration::from_mins(2);
/// At rest for this long, an operator has done what there was to do.
const QUIET: Duration = Duration::from_millis(1500);

/// A program and its arguments, in which {kubeconfig}, {metrics} and {probes} are replaced.
#[derive(Clone, Debug)]
pub struct Contestant {
    pub name: String,
    pub program: PathBuf,
    arguments: Vec<String>,
}

impl Contestant {
    /// The controller as it is shipped, with the Lease in a namespace that every cluster has.
    pub fn ours(program: PathBuf) -> Self {
        let arguments = [
            "controller",
            "--kubeconfig={kubeconfig}",
            "--leader-elect-resource-namespace=default",
            "--identity=bench",
            "--metrics-bind-address={metrics}",
            "--health-probe-bind-address={probes}",
        ];
        Self { name: OURS.to_owned(), program, arguments: arguments.map(str::to_owned).to_vec() }
    }

    /// The webhook as it is shipped, with a certificate in a folder.
    pub fn webhook(program: PathBuf, address: SocketAddr, certificate: &Path) -> Self {
        let arguments = [
            "webhook".to_owned(),
            "--kubeconfig={kubeconfig}".to_owned(),
            format!("--webhook-bind-address={address}"),
            format!("--cert-dir={}", certificate.display()),
            "--metrics-bind-address={metrics}".to_owned(),
            "--health-probe-bind-address={probes}".to_owned(),
        ];
        Self { name: "webhook".to_owned(), program, arguments: arguments.to_vec() }
    }

    /// Another operator.
    pub fn peer(peer: &Peer) -> Self {
        let (program, arguments) = peer.command.split_first().expect("invariant: a peer has a program");
        Self { name: peer.name.clone(), program: program.into(), arguments: arguments.to_vec() }
    }

    /// Whether it is this repository's operator.
    pub fn is_ours(&self) -> bool {
        self.name == OURS
    }

    /// Whether its probes are at a known address.
    pub fn has_probes(&self) -> bool {
        self.arguments.iter().any(|argument| argument.contains("{probes}"))
    }

    /// Starts it without waiting, on the cores of this process.
    pub fn start(&self, cluster: &Cluster) -> Result<Running> {
        self.start_with(cluster, cluster.kubeconfig())
    }

    /// Starts it with another kubeconfig.
    pub fn start_with(&self, cluster: &Cluster, kubeconfig: &Path) -> Result<Running> {
        let (metrics, probes) = (Port::take()?, Port::take()?);
        let replaced = |argument: &String| {
            argument
                .replace("{kubeconfig}", &kubeconfig.display().to_string())
                .replace("{metrics}", &metrics.address().to_string())
                .replace("{probes}", &probes.address().to_string())
        };
        let mut command = Command::new(&self.program);
        command.args(self.arguments.iter().map(replaced)).env("KUBECONFIG", kubeconfig);
        let log = cluster.plane.folder().join(format!("{}.log", self.name));
        let started = Instant::now();
        let process = Process::start_command(&self.name, command, log)?;
        Ok(Running { process, probes, _metrics: metrics, started })
    }
}

/// A running operator. Dropping it kills the process.
pub struct Running {
    process: Process,
    probes: Port,
    _metrics: Port,
    started: Instant,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// CPU seconds so far.
    pub fn cpu(&self) -> Result<f64> {
        self.process.must_run()?;
        usage::cpu_seconds(self.pid()).context("the operator has ended")
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> Result<f64> {
        self.process.must_run()?;
        Ok(usage::resident_kib(self.pid()).context("the operator has ended")? as f64)
    }

    /// Resident memory without the pages of the program, in KiB.
    pub fn own(&self) -> Result<f64> {
        self.process.must_run()?;
        Ok(usage::own_kib(self.pid()).context("the operator has ended")? as f64)
    }

    /// The most resident memory since [`usage::reset_peak`], in KiB.
    pub fn peak(&self) -> Result<f64> {
        self.process.must_run()?;
        Ok(usage::peak_kib(self.pid()).context("the operator has ended")? as f64)
    }

    /// The time from the start until /readyz answers 200.
    pub async fn ready(&self) -> Result<Duration> {
        loop {
            self.process.must_run()?;
            let answer = plain_http::get(self.probes.address(), "/readyz", READY_LIMIT).await;
            if answer.is_ok_and(|(status, _)| status == 200) {
                return Ok(self.started.elapsed());
            }
            ensure!(
                self.started.elapsed() < READY_LIMIT,
                "/readyz does not answer 200: {}",
                self.process.log()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits for what the operator has to do, and fails if it ends before.
    pub async fn while_it_runs<T>(&self, done: impl Future<Output = Result<T>>) -> Result<T> {
        let ended = async {
            loop {
                if let Err(error) = self.process.must_run() {
                    return error;
                }
                tokio::time::sleep(QUIET).await;
            }
        };
        tokio::select! {
            done = done => done,
            error = ended => Err(error.into()),
        }
    }

    /// Waits until it uses no CPU to speak of.
    pub async fn rest(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let before = self.cpu()?;
            tokio::time::sleep(QUIET).await;
            if self.cpu()? - before <= 0.02 * QUIET.as_secs_f64() {
                return Ok(());
            }
            ensure!(began.elapsed() < REST_LIMIT, "{} does not come to rest", self.process.name());
        }
    }

    /// Ends it as a kubelet does.
    pub async fn stop(self) -> Result<()> {
        self.process.terminate(STOP_LIMIT).await?;
        Ok(())
    }
}

/// The program as it is shipped: `KCG_OPERATOR_BIN`, or built with the profile of the image.
pub async fn build_shipped() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os(kcg_devcluster::OPERATOR_BINARY) {
        return Ok(program.into());
    }
    eprintln!("building {OPERATOR} with the profile dist; this takes some minutes the first time");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("");
    let mut build = tokio::process::Command::from(cargo());
    build.args(["build", "--locked", "--profile", "dist", "--package", OPERATOR]).current_dir(&workspace);
    ensure!(build.status().await.context("run cargo")?.success(), "cargo could not build {OPERATOR}");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    Ok(target.join("dist").join(OPERATOR))
}
