//! A single Kafka broker in KRaft mode, run as a local process.

mod observer;
mod topics;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kcg_devcluster::tools::to_stderr;
use kcg_devcluster::{Port, Process, wait};
use parking_lot::{Mutex, MutexGuard};

pub use observer::{Group, KafkaObserver, PartitionLag};
pub use topics::TopicSynchroniser;

use crate::tools::{self, java};
use crate::{Error, Result};

/// Usually it takes four seconds; on a busy computer many times that.
const START_LIMIT: Duration = Duration::from_mins(2);
const STOP_LIMIT: Duration = Duration::from_mins(1);
/// 16 bytes in Kafka's base64. Brokers may share it, as each has its own folder.
const CLUSTER_ID: &str = "a2Nncy1kZXZjbHVzdGVyMQ";

/// Times with date and offset, which `Generations` parses, and no dump of every client's settings.
const LOGGING: [&str; 3] = [
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
];

/// One broker, which is also the controller. Dropping it kills it; its data stay in its folder.
#[derive(Debug)]
pub struct Kafka {
    process: Mutex<Option<Process>>,
    java: PathBuf,
    classpath: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    /// The port of the controller.
    controller: Port,
    /// Reserved if it was chosen here.
    _port: Option<Port>,
}

impl Kafka {
    /// Starts a broker with its settings, data and log (`kafka.log`) in `folder`, on a free port of
    /// `address`, and waits until it answers. Clients are given the same address. Missing jars are
    /// fetched from Maven Central first, with progress on standard error.
    pub async fn start(folder: &Path, address: IpAddr) -> Result<Self> {
        let port = Port::take()?;
        let started = Self::start_at(folder, SocketAddr::new(address, port.number())).await?;
        Ok(Self { _port: Some(port), ..started })
    }

    /// The same on a given free port.
    pub async fn start_at(folder: &Path, address: SocketAddr) -> Result<Self> {
        let java = java::find()?;
        let jar = tools::kafka_jar(&to_stderr).await?;
        let this = Self {
            process: Mutex::new(None),
            java,
            classpath: jar.with_file_name("*"),
            folder: folder.to_owned(),
            address,
            controller: Port::take()?,
            _port: None,
        };
        this.format().await?;
        this.start_again().await?;
        Ok(this)
    }

    /// The bootstrap servers for clients.
    pub fn bootstrap_servers(&self) -> String {
        self.address.to_string()
    }

    /// Sends SIGTERM and waits for its orderly end.
    pub async fn stop(&self) -> Result<()> {
        let process = self.running().take();
        match process {
            Some(process) => process.terminate(STOP_LIMIT).await.map(drop),
            None => Ok(()),
        }
    }

    /// Kills it, as a crash would.
    pub fn kill(&self) {
        drop(self.running().take());
    }

    /// Starts it again after `stop` or `kill`, with the same data and address, and waits until it
    /// answers.
    pub async fn start_again(&self) -> Result<()> {
        let mut command = self.java_command();
        command.arg("kafka.Kafka").arg(self.settings_path());
        let started = Process::start_command("kafka", command, self.log_path())?;
        *self.running() = Some(started);
        let observer = KafkaObserver::new(&self.bootstrap_servers())?;
        wait::until("Kafka to answer", START_LIMIT, async || {
            self.must_run()?;
            Ok(observer.topics().await.map_err(|error| error.to_string()))
        })
        .await?;
        Ok(())
    }

    /// Fails with the end of its log if it has ended.
    pub fn must_run(&self) -> Result<()> {
        self.running().as_ref().map_or(Ok(()), Process::must_run)
    }

    /// Its log file, which reports each generation of each consumer group.
    pub fn log_path(&self) -> PathBuf {
        self.folder.join("kafka.log")
    }

    /// Its process id; none between `stop` and `start_again`.
    pub fn pid(&self) -> Option<u32> {
        self.running().as_ref().map(Process::pid)
    }

    /// The reader of its topics' ids.
    fn topic_ids(&self) -> TopicIds {
        TopicIds(self.data_folder())
    }

    fn data_folder(&self) -> PathBuf {
        self.folder.join("kafka-data")
    }

    fn settings_path(&self) -> PathBuf {
        self.folder.join("kafka.properties")
    }

    /// Writes the settings and formats the data folder.
    async fn format(&self) -> Result<()> {
        let path = self.settings_path();
        std::fs::write(&path, self.settings()).map_err(Error::file("write", &path))?;
        let mut command = self.java_command();
        command
            .args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config"])
            .arg(&path);
        let format = Process::start_command("kafka-format", command, self.folder.join("kafka-format.log"))?;
        let status = format.wait(START_LIMIT).await?;
        if status.success() { Ok(()) } else { Err(format.failure(status)) }
    }

    fn settings(&self) -> String {
        let (address, controller) = (self.address, &self.controller);
        let data = self.data_folder();
        format!(
            "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://{address},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://{address}
controller.listener.names=CONTROLLER
log.dirs={data}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
# A broker that was killed can register again when its session is over.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Sized for a few megabytes of data.
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=8388608
",
            data = data.display()
        )
    }

    /// Java with a small heap and the fast-starting compiler.
    fn java_command(&self) -> Command {
        let mut command = Command::new(&self.java);
        command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.args(LOGGING);
        command.args([OsString::from("-cp"), self.classpath.clone().into_os_string()]);
        command
    }

    fn running(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock()
    }
}

/// Kafka's ids of topics; a new id means that a topic was deleted and created again. librdkafka can
/// request them, but its Rust interface cannot, so they are read from the broker's data folder.
#[derive(Debug, Clone)]
struct TopicIds(PathBuf);

impl TopicIds {
    /// A file of each partition contains `topic_id: <id>`.
    fn of(&self, topic: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.0.join(format!("{topic}-0/partition.metadata"))).ok()?;
        text.lines().find_map(|line| line.strip_prefix("topic_id:")).map(|id| id.trim().to_owned())
    }
}
