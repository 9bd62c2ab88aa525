//! Takes a part's jars from Maven Central.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::parts::Progress;
use crate::parts::catalog::Part;
use crate::process::Process;
use crate::{Error, Result};

const INSTALL_MAVEN: &str =
    "install it (for Debian: apt install maven); it is needed once, for the first start";
/// For all the jars, on a slow line.
const LIMIT: Duration = Duration::from_mins(15);

/// Copies what the part's pom.xml pins into a scratch folder beside their place, then moves that there as a whole.
/// Maven reads its usual settings and variables, where a person may have named a mirror or a proxy.
pub(super) async fn build(part: &Part, source: &Path, folder: &Path, progress: Progress<'_>) -> Result<()> {
    let Some(jars) = part.jar.and_then(|jar| Path::new(jar).parent()) else { return Ok(()) };
    progress(&format!("{}: taking its jars from Maven Central, once", part.name));
    let scratch = tempfile::tempdir_in(folder).map_err(Error::file("make a folder in", folder))?;
    let mut output = OsString::from("-DoutputDirectory=");
    output.push(scratch.path().join("jars"));
    let mut command = Command::new("mvn");
    command.args(["--batch-mode", "--quiet", "--file"]).arg(source.join("pom.xml"));
    // Names without versions: the catalog knows them.
    command.args(["dependency:copy-dependencies", "-Dmdep.stripVersion=true"]).arg(output);
    let log = folder.join("build.log");
    let _ = std::fs::remove_file(&log);
    let build = Process::start_command("mvn", command, log).map_err(|error| match error {
        Error::Start { source, .. } => Error::Missing(format!(
            "{}'s jars come from Maven Central, and `mvn` does not work here ({source}): {INSTALL_MAVEN}",
            part.name
        )),
        other => other,
    })?;
    let status = build.wait(LIMIT).await?;
    if !status.success() {
        return Err(build.failure(status));
    }
    let place = folder.join(jars);
    // What is there already is not whole, or nothing would be built.
    let _ = std::fs::remove_dir_all(&place);
    std::fs::rename(scratch.path().join("jars"), &place).map_err(Error::file("move", &place))
}
