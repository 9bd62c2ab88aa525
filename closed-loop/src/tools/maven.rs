//! Runs Maven, and fetches Kafka's jars with it from Maven Central.

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

/// Copies the pinned jars to a scratch folder, then moves that to its place as a whole.
async fn build(pom: &Path, folder: &Path, progress: Progress<'_>) -> Result<()> {
    progress("kafka: fetching its jars from Maven Central, once");
    let scratch = tempfile::tempdir_in(folder).map_err(Error::file("make a folder in", folder))?;
    let mut output = OsString::from("-DoutputDirectory=");
    output.push(scratch.path().join("jars"));
    // Names without versions, so that KAFKA_JAR stays true.
    let goal = ["dependency:copy-dependencies", "-Dmdep.stripVersion=true"].map(OsString::from);
    run("kafka's jars come", pom, goal.into_iter().chain([output]), folder).await?;
    replace(&scratch.path().join("jars"), &folder.join(JARS))
}

/// Runs Maven on `pom`. It reads its usual settings and variables, which may name a mirror or a
/// proxy. Its output is in build.log in `folder`. `what` begins the error if there is no Maven.
pub(super) async fn run(
    what: &str,
    pom: &Path,
    goal: impl IntoIterator<Item = OsString>,
    folder: &Path,
) -> Result<()> {
    let mut command = Command::new("mvn");
    command.args(["--batch-mode", "--quiet", "--file"]).arg(pom).args(goal);
    let log = folder.join("build.log");
    let _ = std::fs::remove_file(&log);
    let build = Process::start_command("mvn", command, log).map_err(|error| match error {
        Error::Start { source, .. } => Error::Missing(format!(
            "{what} from Maven Central, and `mvn` does not work here ({source}): {INSTALL_MAVEN}"
        )),
        other => other,
    })?;
    let status = build.wait(LIMIT).await?;
    if status.success() { Ok(()) } else { Err(build.failure(status)) }
}

/// Moves a complete folder to its place in the cache. A folder there is incomplete, otherwise
/// nothing would have been built.
pub(super) fn replace(from: &Path, place: &Path) -> Result<()> {
    let _ = std::fs::remove_dir_all(place);
    std::fs::rename(from, place).map_err(Error::file("move", place))
}
