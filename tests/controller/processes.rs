//! Controllers as processes: one that runs short of memory, of file descriptors or of disk space, and one
//! whose groups are deleted. A limit holds for all of a process.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use futures::future::join_all;
use kcg_devcluster::{Process, usage};
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{CHILDREN, GROUP, SERVICE, TOPIC, topic};
use kcg_tests::{Outcome, eventually, is_long, measured, met, operator_binary};
use kube::api::{DeleteParams, ListParams};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::LATER;
use crate::env::{SOON, get, plane};

/// What a shell runs: the controller as it is.
pub const AS_IT_IS: &str = r#"exec "$@""#;
/// The sockets that a client opens on the metrics' port: more than the process may have files.
const SOCKETS: usize = 200;

/// A controller of one namespace.
pub struct Controller {
    pub process: Process,
    pub metrics: SocketAddr,
    probes: SocketAddr,
}

impl Controller {
    /// Starts it by a line of shell, whose arguments are the command.
    pub async fn start(namespace: &Namespace, name: &str, shell: &str, folder: &Path) -> Outcome<Self> {
        let kubeconfig = plane().await?.kubeconfig_path().to_owned();
        Self::start_program(operator_binary().await?, &kubeconfig, (namespace, name), shell, folder)
    }

    fn start_program(
        program: &Path,
        kubeconfig: &Path,
        (namespace, name): (&Namespace, &str),
        shell: &str,
        folder: &Path,
    ) -> Outcome<Self> {
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr();
        let (metrics, probes) = (free()?, free()?);
        let mut command = Command::new("sh");
        command.args(["-c", shell, "sh"]).arg(program);
        command.args(["controller", "--log-level=debug"]);
        command.arg(format!("--kubeconfig={}", kubeconfig.display()));
        for flag in ["namespaces", "leader-elect-resource-namespace", "pod-namespace"] {
            command.arg(format!("--{flag}={}", namespace.name));
        }
        command.arg(format!("--identity={name}"));
        command.arg(format!("--metrics-bind-address={metrics}"));
        command.arg(format!("--health-probe-bind-address={probes}"));
        let process = Process::start_command(name, command, folder.join(format!("{name}.log")))?;
        Ok(Self { process, metrics, probes })
    }

    pub async fn is_ready(&self) -> Outcome {
        let what = format!("{} is ready", self.process.name());
        Ok(eventually(&what, LATER, async || {
            self.process.must_run()?;
            let answer = get(self.probes, "/readyz").await.unwrap_or_else(|error| error.to_string());
            Ok(met(answer.starts_with("HTTP/1.1 200 "), || answer))
        })
        .await?)
    }
}

pub async fn namespace(name: &str) -> Outcome<Namespace> {
    let plane = plane().await?;
    let namespace = Namespace::create(plane, &plane.client().await?, name).await?.within(LATER);
    namespace.create_topic("fast-data-topic", 3).await?;
    Ok(namespace)
}

/// The uids of the children that exist.
async fn uids(namespace: &Namespace) -> Outcome<Vec<Value>> {
    let mut uids = Vec::new();
    for kind in CHILDREN {
        uids.extend(namespace.list(kind).await?.iter().map(|child| child["metadata"]["uid"].clone()));
    }
    Ok(uids)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_lacks_memory_for_a_list_ends_and_its_successor_continues() -> Outcome {
    let (ns, folder) = (namespace("short-of-memory").await?, TempDir::new()?);
    ns.create_group("g", &json!({})).await?;
    let first = Controller::start(&ns, "first", AS_IT_IS, folder.path()).await?;
    ns.children_exist("g").await?;
    first.is_ready().await?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", first.process.pid()))?;
    let data = status.lines().find_map(|line| line.strip_prefix("VmData:")).ok_or("no VmData")?;
    let kib: u64 = data.trim().trim_end_matches("kB").trim().parse()?;
    // It gives its Lease back.
    first.process.terminate(SOON).await?;

    ns.delete(SERVICE, "g").await?;
    let before = uids(&ns).await?;
    let config = vec![json!({"": 0}); 170_000];
    let large = json!({"partitions": 1, "replicas": 1, "config": {"x": config}});
    for number in 0..6 {
        ns.create_object(TOPIC, &topic(&format!("large-{number}"), &large)).await?;
    }
    let limited = format!("ulimit -d {}; {AS_IT_IS}", kib + 1024);
    let second = Controller::start(&ns, "second", &limited, folder.path()).await?;
    let ended = second.process.wait(SOON).await?;
    let log = second.process.log();
    assert!(!ended.success() && log.contains("memory allocation of"), "{ended}: {log}");
    assert_eq!(uids(&ns).await?, before, "it wrote from an incomplete list");

    let third = Controller::start(&ns, "third", AS_IT_IS, folder.path()).await?;
    ns.exists(SERVICE, "g").await?;
    let after = uids(&ns).await?;
    assert!(before.iter().all(|uid| after.contains(uid)) && after.len() == CHILDREN.len());
    third.process.must_run()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_without_free_file_descriptors_and_disk_space_repairs_and_recovers() -> Outcome {
    let (ns, folder) = (namespace("short-of-files").await?, TempDir::new()?);
    ns.create_group("g", &json!({})).await?;
    let shell = r#"exec "$@" > /dev/full 2>&1"#;
    let controller = Controller::start(&ns, "controller", shell, folder.path()).await?;
    ns.children_exist("g").await?;
    controller.is_ready().await?;
    let pid = controller.process.pid();
    let open = || std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    let limit = open() + 4;
    limit_files(pid, limit)?;
    let sockets = join_all((0..SOCKETS).map(|_| TcpStream::connect(controller.metrics))).await;
    eventually("no file descriptor is free", SOON, async || Ok(met(open() >= limit, open))).await?;
    ns.drift_is_repaired("g").await?;
    assert!(open() >= limit, "{} of {limit} files are open", open());
    drop(sockets);
    controller.is_ready().await?;
    ns.drift_is_repaired("g").await?;
    eventually("the metrics", SOON, async || {
        let answer = get(controller.metrics, "/metrics").await.unwrap_or_else(|error| error.to_string());
        Ok(met(answer.starts_with("HTTP/1.1 200 "), || answer))
    })
    .await?;
    controller.process.must_run()?;
    Ok(())
}

/// The most file descriptors of a process from now on.
fn limit_files(pid: u32, most: usize) -> Outcome {
    let pid = Pid::from_raw(pid.try_into()?);
    let most = Some(most.try_into()?);
    prlimit(pid, Resource::Nofile, Rlimit { current: most, maximum: most })?;
    Ok(())
}

/// The limit of processes of a user counts threads, and does not apply to root.
#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_gets_no_thread_but_those_of_its_runtime_repairs_and_answers_probes() -> Outcome {
    assert!(
        rustix::process::geteuid().is_root(),
        "only root can start a process as another user: run this test as root, or in a container"
    );
    let (ns, folder) = (namespace("short-of-threads").await?, TempDir::new()?);
    ns.create_group("g", &json!({})).await?;
    let readable = |path: &Path| std::fs::set_permissions(path, Permissions::from_mode(0o755));
    let (program, kubeconfig) = (folder.path().join("operator"), folder.path().join("kubeconfig"));
    std::fs::copy(operator_binary().await?, &program)?;
    std::fs::copy(plane().await?.kubeconfig_path(), &kubeconfig)?;
    for path in [folder.path(), &program, &kubeconfig] {
        readable(path)?;
    }
    // The main thread and two of the runtime; nothing else runs as this user.
    let user = 1_000_660_000 + std::process::id() % 10_000;
    let with = |threads: usize| {
        format!(
            r#"export TOKIO_WORKER_THREADS=2; exec setpriv --reuid={user} --clear-groups prlimit --nproc={threads} "$@""#
        )
    };
    let started = (&ns, "too-few");
    let few = Controller::start_program(&program, &kubeconfig, started, &with(2), folder.path())?;
    let (ended, log) = (few.process.wait(SOON).await?, few.process.log());
    let says = log.contains("start the async runtime: ") && log.contains("raise the limit of processes");
    assert!(!ended.success() && says, "{ended}: {log}");

    let (started, shell) = ((&ns, "controller"), with(3));
    let controller = Controller::start_program(&program, &kubeconfig, started, &shell, folder.path())?;
    ns.children_exist("g").await?;
    controller.is_ready().await?;
    let threads = std::fs::read_dir(format!("/proc/{}/task", controller.process.pid()))?.count();
    assert_eq!(threads, 3);
    ns.drift_is_repaired("g").await?;
    let metrics = get(controller.metrics, "/metrics").await?;
    assert!(metrics.starts_with("HTTP/1.1 200 "), "{metrics}");
    controller.process.terminate(SOON).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_controller_keeps_of_deleted_groups_shrinks_back() -> Outcome {
    let groups = if is_long() { 10_000 } else { 150 };
    let (ns, folder) = (namespace("many-deleted").await?, TempDir::new()?);
    let controller = Controller::start(&ns, "controller", AS_IT_IS, folder.path()).await?;
    controller.is_ready().await?;
    let series = async || -> Outcome<usize> {
        Ok(get(controller.metrics, "/metrics")
            .await?
            .lines()
            .filter(|line| line.contains("name=\"many-"))
            .count())
    };
    let resident = || usage::resident_kib(controller.process.pid()).ok_or("it ended");
    // The text of the metrics is made once before, as in each round.
    series().await?;
    let before = resident()?;
    // The first round is the baseline of the second: what the first groups cost is not all given back.
    let mut figures = Vec::new();
    for _ in 0..2 {
        for begin in (0..groups).step_by(10) {
            let created = (begin..begin + 10).map(|number| {
                let (ns, name) = (&ns, format!("many-{number}"));
                async move { ns.create_group(&name, &json!({"paused": true})).await.map(drop) }
            });
            join_all(created).await.into_iter().collect::<Result<Vec<()>, _>>()?;
        }
        let all = format!("series of {groups} groups");
        eventually(&all, LATER, async || {
            let count = series().await.unwrap_or_default();
            Ok(met(count >= groups, || count))
        })
        .await?;
        ns.api(GROUP).delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        eventually("no series of a deleted group", LATER, async || {
            let count = series().await.unwrap_or(usize::MAX);
            Ok(met(count == 0, || count))
        })
        .await?;
        figures.push(resident()?);
    }
    measured(&format!(
        "{groups} groups created and deleted twice: {before} KiB before, {figures:?} KiB after"
    ));
    assert!(figures[1] <= figures[0] + figures[0] / 5, "memory grew: {figures:?} KiB");
    // How much of what 10,000 groups need the allocator keeps is not known, and only reported.
    let most = 2 * before + (16 << 10);
    assert!(is_long() || figures[1] <= most, "memory was not given back: {before} KiB, {figures:?} KiB");
    controller.process.must_run()?;
    Ok(())
}
