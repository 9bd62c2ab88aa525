//! Builds a part from its Go module.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::parts::Progress;
use crate::parts::catalog::Part;
use crate::process::Process;
use crate::{Error, Result};

/// The oldest Go that the pinned modules accept.
const OLDEST_GO: (u32, u32) = (1, 26);
const INSTALL_GO: &str =
    "install it from https://go.dev/dl, or point KCG_DEVCLUSTER_BIN at a folder with the programs";
const REPORT_EVERY: Duration = Duration::from_secs(15);

/// Builds what the part's module pins.
pub(super) async fn build(part: &Part, source: &Path, folder: &Path, progress: Progress<'_>) -> Result<()> {
    check_go(source)?;
    programs(part, source, folder, progress).await?;
    data(part, source, folder)
}

/// One sentence with the cure where Go is missing or too old. Asked inside the module, where a newer
/// toolchain that Go fetches by itself already counts.
fn check_go(source: &Path) -> Result<()> {
    let wanted = format!("Go {}.{} or newer builds the control plane's parts", OLDEST_GO.0, OLDEST_GO.1);
    let answer = go(source, &["env", "GOVERSION"]).map_err(|error| {
        let reason = match error {
            Error::Start { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        Error::Missing(format!("{wanted}, and `go` does not work here ({reason}): {INSTALL_GO}"))
    })?;
    let version = answer.trim();
    let mut numbers = version.trim_start_matches("go").split('.').map(|number| number.parse().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < OLDEST_GO {
        return Err(Error::Missing(format!("{wanted}, and this is {version}: {INSTALL_GO}")));
    }
    Ok(())
}

/// `go build` of all the part's programs into a scratch folder beside their place, then moves them there.
async fn programs(part: &Part, source: &Path, folder: &Path, progress: Progress<'_>) -> Result<()> {
    if part.programs.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = part.programs.iter().map(|(name, _)| *name).collect();
    progress(&format!("{}: building {}, once; this takes minutes", part.name, names.join(", ")));
    let packages = part.programs.iter().map(|(_, package)| *package);
    let total = package_count(part, source, packages.clone())?;
    let scratch = tempfile::tempdir_in(folder).map_err(Error::file("make a folder in", folder))?;
    // One go build for all: their common packages are compiled side by side.
    let mut command = Command::new("go");
    command.current_dir(source).args(["build", "-v", "-trimpath"]).args(part.build_args);
    command.arg(format!("-ldflags={}", linker_flags(part, source)?));
    command.arg("-o").arg(scratch.path().join("")).args(packages);
    let log = folder.join("build.log");
    // The log of an earlier, failed build would count as progress of this one.
    let _ = std::fs::remove_file(&log);
    let build = Process::start_command(part.name, command, log)?;
    follow(&build, total, progress).await?;
    for (name, package) in part.programs {
        let program = scratch.path().join(program_name(package));
        std::fs::rename(&program, folder.join(name)).map_err(Error::file("move", &program))?;
    }
    Ok(())
}

/// The name that `go build` gives a package's program: its last element that is no major version.
fn program_name(package: &str) -> &str {
    let is_version = |part: &str| part.strip_prefix('v').is_some_and(|rest| rest.parse::<u32>().is_ok());
    package.rsplit('/').find(|part| !is_version(part)).unwrap_or(package)
}

fn linker_flags(part: &Part, source: &Path) -> Result<String> {
    let mut flags = vec!["-s".to_owned(), "-w".to_owned()];
    if !part.version_variables.is_empty() {
        let version = go(source, &["list", "-m", "-f", "{{.Version}}", part.module])?;
        let version = version.trim();
        let mut numbers = version.trim_start_matches('v').split('.');
        let [major, minor] = [(); 2].map(|()| numbers.next().unwrap_or_default());
        for package in part.version_variables {
            for (variable, value) in
                [("gitVersion", version), ("gitMajor", major), ("gitMinor", minor), ("gitTreeState", "clean")]
            {
                flags.push(format!("-X {package}.{variable}={value}"));
            }
        }
    }
    Ok(flags.join(" "))
}

/// How many packages a build from scratch compiles.
fn package_count(part: &Part, source: &Path, packages: impl Iterator<Item = &'static str>) -> Result<usize> {
    let mut args = vec!["list", "-deps"];
    args.extend(part.build_args);
    args.extend(packages);
    Ok(go(source, &args)?.lines().count())
}

/// Reports how far `go build -v` has come, which names each package as it is compiled.
async fn follow(build: &Process, total: usize, progress: Progress<'_>) -> Result<()> {
    let (started, mut reported) = (Instant::now(), Instant::now());
    loop {
        if let Some(status) = build.ended() {
            return if status.success() { Ok(()) } else { Err(build.failure(status)) };
        }
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            let (seconds, compiled) = (started.elapsed().as_secs(), build.log().lines().count());
            progress(&format!("{}: {seconds} s, compiled {compiled} of {total} packages", build.name()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Copies the part's data files out of the module, so that later starts need no Go.
fn data(part: &Part, source: &Path, folder: &Path) -> Result<()> {
    if part.data.is_empty() {
        return Ok(());
    }
    go(source, &["mod", "download", part.module])?;
    let module = PathBuf::from(go(source, &["list", "-m", "-f", "{{.Dir}}", part.module])?.trim());
    for (name, pieces) in part.data {
        let mut text = String::new();
        for piece in *pieces {
            let path = module.join(piece);
            text += &std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
            text += "\n---\n";
        }
        let mut file =
            tempfile::NamedTempFile::new_in(folder).map_err(Error::file("make a file in", folder))?;
        std::io::Write::write_all(&mut file, text.as_bytes())
            .map_err(Error::file("write", &folder.join(name)))?;
        let place = folder.join(name);
        file.persist(&place).map_err(|error| Error::file("write", &place)(error.error))?;
    }
    Ok(())
}

/// What `go` prints for `args` in the part's module.
fn go(source: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new("go")
        .current_dir(source)
        .args(args)
        .output()
        .map_err(|error| Error::Start { program: "go".into(), source: error })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Command { command: format!("go {}", args.join(" ")), output: text })
}
