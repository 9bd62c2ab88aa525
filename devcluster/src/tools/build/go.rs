//! Builds a tool from its Go module.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::tools::Progress;
use crate::tools::catalog::Tool;
use crate::{Error, Result};

/// The minimum Go version of the pinned modules.
const OLDEST_GO: (u32, u32) = (1, 26);
const INSTALL_GO: &str =
    "install it from https://go.dev/dl, or set KCG_DEVCLUSTER_BIN to a folder with the programs";
const REPORT_EVERY: Duration = Duration::from_secs(15);

/// Builds the programs and copies the data files of the tool into `folder`.
pub(super) async fn build(tool: &Tool, source: &Path, folder: &Path, progress: Progress<'_>) -> Result<()> {
    check_go(source)?;
    programs(tool, source, folder, progress).await?;
    data(tool, source, folder)
}

/// Returns an error if Go is missing or too old. Runs inside the module, so that a newer toolchain
/// that Go downloads for the module counts.
fn check_go(source: &Path) -> Result<()> {
    let wanted =
        format!("Go {}.{} or newer is required to build the control plane", OLDEST_GO.0, OLDEST_GO.1);
    let output = go(source, &["env", "GOVERSION"]).map_err(|error| {
        let reason = match error {
            Error::Start { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        Error::Missing(format!("{wanted}, but `go` cannot be run ({reason}): {INSTALL_GO}"))
    })?;
    let version = output.trim();
    let mut numbers = version.trim_start_matches("go").split('.').map(|number| number.parse().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < OLDEST_GO {
        return Err(Error::Missing(format!(
            "{wanted}, but the installed version is {version}: {INSTALL_GO}"
        )));
    }
    Ok(())
}

/// Builds all programs of the tool into a scratch folder and then moves them into `folder`.
async fn programs(tool: &Tool, source: &Path, folder: &Path, progress: Progress<'_>) -> Result<()> {
    if tool.programs.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = tool.programs.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    progress(&format!("{}: building {names}. This takes several minutes, but only once.", tool.name));
    let packages = tool.programs.iter().map(|(_, package)| *package);
    let total = package_count(tool, source, packages.clone())?;
    let scratch = tempfile::tempdir_in(folder).map_err(Error::file("create a folder in", folder))?;
    // One `go build` for all programs, because they share packages.
    let mut command = Command::new("go");
    command.current_dir(source).args(["build", "-v", "-trimpath"]).args(tool.build_args);
    command.arg(format!("-ldflags={}", linker_flags(tool, source)?));
    command.arg("-o").arg(scratch.path().join("")).args(packages);
    let log = folder.join("build.log");
    // The lines of an earlier, failed build would count as progress.
    let _ = std::fs::remove_file(&log);
    let build = Process::start_command(tool.name, command, log)?;
    report_progress(&build, total, progress).await?;
    for (name, package) in tool.programs {
        let program = scratch.path().join(program_name(package));
        std::fs::rename(&program, folder.join(name)).map_err(Error::file("move", &program))?;
    }
    Ok(())
}

/// The name that `go build` gives a program: the last element of the package path that is not a
/// major version.
fn program_name(package: &str) -> &str {
    let is_version = |tool: &str| tool.strip_prefix('v').is_some_and(|rest| rest.parse::<u32>().is_ok());
    package.rsplit('/').find(|tool| !is_version(tool)).unwrap_or(package)
}

fn linker_flags(tool: &Tool, source: &Path) -> Result<String> {
    let mut flags = vec!["-s".to_owned(), "-w".to_owned()];
    if !tool.version_variables.is_empty() {
        let version = go(source, &["list", "-m", "-f", "{{.Version}}", tool.module])?;
        let version = version.trim();
        let mut numbers = version.trim_start_matches('v').split('.');
        let [major, minor] = [(); 2].map(|()| numbers.next().unwrap_or_default());
        for package in tool.version_variables {
            for (variable, value) in
                [("gitVersion", version), ("gitMajor", major), ("gitMinor", minor), ("gitTreeState", "clean")]
            {
                flags.push(format!("-X {package}.{variable}={value}"));
            }
        }
    }
    Ok(flags.join(" "))
}

/// The number of packages that a build without a build cache compiles.
fn package_count(tool: &Tool, source: &Path, packages: impl Iterator<Item = &'static str>) -> Result<usize> {
    let mut args = vec!["list", "-deps"];
    args.extend(tool.build_args);
    args.extend(packages);
    Ok(go(source, &args)?.lines().count())
}

/// Waits for the build and reports its progress: `go build -v` prints each package that it
/// compiles.
async fn report_progress(build: &Process, total: usize, progress: Progress<'_>) -> Result<()> {
    let (started, mut reported) = (Instant::now(), Instant::now());
    loop {
        if let Some(status) = build.ended() {
            return if status.success() { Ok(()) } else { Err(build.failure(status)) };
        }
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            let (seconds, compiled) = (started.elapsed().as_secs(), build.log().lines().count());
            progress(&format!("{}: compiled {compiled} of {total} packages in {seconds} s", build.name()));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Copies the data files of the tool from the module into `folder`, so that later starts do not
/// need Go.
fn data(tool: &Tool, source: &Path, folder: &Path) -> Result<()> {
    if tool.data.is_empty() {
        return Ok(());
    }
    go(source, &["mod", "download", tool.module])?;
    let module = PathBuf::from(go(source, &["list", "-m", "-f", "{{.Dir}}", tool.module])?.trim());
    for (name, pieces) in tool.data {
        let mut text = String::new();
        for piece in *pieces {
            let path = module.join(piece);
            text += &std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
            text += "\n---\n";
        }
        let mut file =
            tempfile::NamedTempFile::new_in(folder).map_err(Error::file("create a file in", folder))?;
        std::io::Write::write_all(&mut file, text.as_bytes())
            .map_err(Error::file("write", &folder.join(name)))?;
        let target = folder.join(name);
        file.persist(&target).map_err(|error| Error::file("write", &target)(error.error))?;
    }
    Ok(())
}

/// Runs `go` in the module and returns its standard output.
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
