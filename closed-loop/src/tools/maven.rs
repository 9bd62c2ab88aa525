//! Fetches Kafka's jars from Maven Central.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kcg_devcluster::Process;
use kcg_devcluster::tools::{self, Progress};

use crate::{Error, Result};

/// The folder with pom.xml, which pins the jars.
const PINS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/kafka");
/// The folder with all jars, and the one in it that proves that they are complete.
const JARS: &str = "kafka";
const KAFKA_JAR: &str = "kafka/kafka_2.13.jar";
const INSTALL_MAVEN: &str =
    "install it (for Debian: apt install maven); it is needed once, for the first start";
/// The limit for all jars, on a slow connection.
const LIMIT: Duration = Duration::from_mins(15);

/// Kafka's jar: provided by the user, or in the cache.
pub(super) async fn kafka_jar(progress: Progress<'_>) -> Result<PathBuf> {
    if let Some(path) = tools::provided(KAFKA_JAR) {
        return Ok(path);
    }
    let pom = Path::new(PINS).join("pom.xml");
    let folder = tools::cached("kafka", std::slice::from_ref(&pom), &[KAFKA_JAR], progress, async |folder| {
        build(&pom, folder, progress).await
    });
    Ok(folder.await?.join(KAFKA_JAR))
}

/// Copies the pinned jars to a scratch folder, then moves that to its place as a whole. Maven reads
/// its usual settings and variables, which may name a mirror or a proxy.
async fn build(pom: &Path, folder: &Path, progress: Progress<'_>) -> Result<()> {
    progress("kafka: fetching its jars from Maven Central, once");
    let scratch = tempfile::tempdir_in(folder).map_err(Error::file("make a folder in", folder))?;
    let mut output = OsString::from("-DoutputDirectory=");
    output.push(scratch.path().join("jars"));
    let mut command = Command::new("mvn");
    command.args(["--batch-mode", "--quiet", "--file"]).arg(pom);
    // Names without versions, so that KAFKA_JAR stays true.
    command.args(["dependency:copy-dependencies", "-Dmdep.stripVersion=true"]).arg(output);
    let log = folder.join("build.log");
    let _ = std::fs::remove_file(&log);
    let build = Process::start_command("mvn", command, log).map_err(|error| match error {
        Error::Start { source, .. } => Error::Missing(format!(
            "kafka's jars come from Maven Central, and `mvn` does not work here ({source}): {INSTALL_MAVEN}"
        )),
        other => other,
    })?;
    let status = build.wait(LIMIT).await?;
    if !status.success() {
        return Err(build.failure(status));
    }
    let place = folder.join(JARS);
    // An existing folder is incomplete, otherwise this would not run.
    let _ = std::fs::remove_dir_all(&place);
    std::fs::rename(scratch.path().join("jars"), &place).map_err(Error::file("move", &place))
}
