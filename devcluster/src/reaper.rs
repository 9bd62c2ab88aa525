//! Cleans up when this process ends for any reason: exit, panic, Ctrl-C or SIGKILL.
//!
//! The reaper is a short shell script that reads a pipe whose other end only this process holds.
//! Children and temporary folders are registered with it. When the pipe closes, the script kills
//! the children and removes the folders. It runs in its own process group, so that Ctrl-C does not
//! end it before this process.

use std::fmt::Display;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use parking_lot::Mutex;

use crate::{Error, Result};

/// Reads lines of the form `verb what`. Most children lead a process group, so their own children
/// are killed as well.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
pids=
while read -r verb what; do
  case $verb in
    start) pids="$pids $what" ;;
    end) rest=; for pid in $pids; do [ "$pid" = "$what" ] || rest="$rest $pid"; done; pids=$rest ;;
    folder) set -- "$@" "$what" ;;
  esac
done
for pid in $pids; do kill -9 "-$pid" 2>&- || kill -9 "$pid"; done
[ $# = 0 ] || rm -rf -- "$@" || { sleep 1; rm -rf -- "$@"; }
"#;

static PIPE: OnceLock<Mutex<ChildStdin>> = OnceLock::new();

/// The registration of a child process. Dropping it removes the registration.
#[derive(Debug)]
pub(crate) struct Registered(u32);

impl Registered {
    /// Registers the process group that `pid` leads.
    pub(crate) fn process(pid: u32) -> Result<Self> {
        send("start", pid)?;
        Ok(Self(pid))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // It fails only if the reaper was killed; then nothing is registered any more.
        let _ = send("end", self.0);
    }
}

/// Creates a temporary folder, in memory if the system has /dev/shm, and registers it.
pub(crate) fn temporary_folder() -> Result<tempfile::TempDir> {
    let memory = PathBuf::from("/dev/shm");
    let mut named = tempfile::Builder::new();
    named.prefix("kcg-devcluster-");
    let folder = named
        .tempdir_in(&memory)
        .or_else(|_| named.tempdir())
        .map_err(Error::file("create a temporary folder below", &std::env::temp_dir()))?;
    send("folder", Path::display(folder.path()))?;
    Ok(folder)
}

fn send(verb: &str, what: impl Display) -> Result<()> {
    let mut pipe = pipe()?.lock();
    writeln!(pipe, "{verb} {what}")
        .map_err(|source| Error::Signal { program: "the reaper shell".into(), source })
}

fn pipe() -> Result<&'static Mutex<ChildStdin>> {
    if let Some(pipe) = PIPE.get() {
        return Ok(pipe);
    }
    let mut shell = Command::new("/bin/sh")
        .args(["-c", SCRIPT, "kcg-devcluster-reaper"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|source| Error::Start { program: "/bin/sh".into(), source })?;
    let stdin =
        shell.stdin.take().ok_or_else(|| Error::Missing("the reaper shell has no standard input".into()))?;
    // If two threads race, the second pipe is dropped here and its shell exits.
    Ok(PIPE.get_or_init(|| Mutex::new(stdin)))
}
