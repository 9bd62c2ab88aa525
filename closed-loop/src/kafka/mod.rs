//! A Kafka broker of one's own: the real one, alone, in KRaft mode.

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

/// A JVM on a busy computer takes many times its usual four seconds.
const START_LIMIT: Duration = Duration::from_mins(2);
const STOP_LIMIT: Duration = Duration::from_mins(1);
/// Any will do: each broker has a folder to itself. 16 bytes in Kafka's base64.
const CLUSTER_ID: &str = "a2Nncy1kZXZjbHVzdGVyMQ";

/// Times with their date and offset, as others can read them; not every setting of every client that the broker makes for itself.
const LOGGING: [&str; 3] = [
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
];

/// One broker, that is its own controller. Dropping it ends it; its data go with the folder it was given.
#[derive(Debug)]
pub struct Kafka {
    process: Mutex<Option<Process>>,
    java: PathBuf,
    classpath: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    /// Where the broker is its own controller.
    controller: Port,
    /// Kept from others where it was chosen here.
    _port: Option<Port>,
}

impl Kafka {
    /// Starts one whose settings, data and log (`kafka.log`) are in `folder`, on a port of its own at `address`, which is
    /// also what it tells its clients; waits until it answers. Its jars are taken from Maven Central first where they are
    /// missing, with progress on standard error.
    pub async fn start(folder: &Path, address: IpAddr) -> Result<Self> {
        let port = Port::take()?;
        let started = Self::start_at(folder, SocketAddr::new(address, port.number())).await?;
        Ok(Self { _port: Some(port), ..started })
    }

    /// The same at a port that is known to be free.
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

    /// Where clients begin.
    pub fn bootstrap_servers(&self) -> String {
        self.address.to_string()
    }

    /// Asks it to end (SIGTERM), which it does in good order, and waits for that.
    pub async fn stop(&self) -> Result<()> {
        let process = self.running().take();
        match process {
            Some(process) => process.terminate(STOP_LIMIT).await.map(drop),
            None => Ok(()),
        }
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&self) {
        drop(self.running().take());
    }

    /// Starts it after `stop` or `kill`, with the same data at the same address, and waits until it answers.
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

    /// Fails with the end of its log where it has ended by itself.
    pub fn must_run(&self) -> Result<()> {
        self.running().as_ref().map_or(Ok(()), Process::must_run)
    }

    /// The file that collects what it prints: among the rest each generation of each consumer group.
    pub fn log_path(&self) -> PathBuf {
        self.folder.join("kafka.log")
    }

    /// Its process's id; none between `stop` and `start_again`.
    pub fn pid(&self) -> Option<u32> {
        self.running().as_ref().map(Process::pid)
    }

    /// Where the ids of its topics are read.
    fn topic_ids(&self) -> TopicIds {
        TopicIds(self.data_folder())
    }

    fn data_folder(&self) -> PathBuf {
        self.folder.join("kafka-data")
    }

    fn settings_path(&self) -> PathBuf {
        self.folder.join("kafka.properties")
    }

    /// Writes the settings, and prepares the empty data folder.
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
# A broker that was killed is let in again once its session is over.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Sized for ten megabytes of data, not for terabytes.
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=8388608
",
            data = data.display()
        )
    }

    /// Java with a small heap, and a compiler that starts quickly rather than compile well.
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

/// The ids that Kafka gives to topics: another one means that a topic was deleted and made anew. librdkafka can ask for
/// them, its Rust interface cannot, so they are read from where the broker keeps them.
#[derive(Debug, Clone)]
struct TopicIds(PathBuf);

impl TopicIds {
    /// `topic_id: <id>` stands in a file of each partition.
    fn of(&self, topic: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.0.join(format!("{topic}-0/partition.metadata"))).ok()?;
        text.lines().find_map(|line| line.strip_prefix("topic_id:")).map(|id| id.trim().to_owned())
    }
}
