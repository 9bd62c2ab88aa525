//! Nothing is left behind, however this process ends: panic, Ctrl-C or SIGKILL.
//!
//! A shell of a few lines reads a pipe of which this process alone holds the other end. It is told of every
//! child and every temporary folder; when the pipe closes, it kills the former and removes the latter. It sits
//! in a process group of its own, so that a Ctrl-C meant for this process does not take it away first.

use std::fmt::Display;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use crate::mutex::lock;
use crate::{Error, Result};

/// Reads `verb what` lines. Most children lead a process group, so that their own children end with them.
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

/// A child process that the watcher knows of, until this value is dropped.
#[derive(Debug)]
pub(crate) struct Watched(u32);

impl Watched {
    /// Hands the process group led by `pid` to the watcher.
    pub(crate) fn process(pid: u32) -> Result<Self> {
        tell("start", pid)?;
        Ok(Self(pid))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The watcher gone means that nothing is watched any more: there is nobody to tell.
        let _ = tell("end", self.0);
    }
}

/// A temporary folder, in memory where the system has such a place, removed however this process ends.
pub(crate) fn temporary_folder() -> Result<tempfile::TempDir> {
    let memory = PathBuf::from("/dev/shm");
    let mut named = tempfile::Builder::new();
    named.prefix("kcg-devcluster-");
    let folder = named
        .tempdir_in(&memory)
        .or_else(|_| named.tempdir())
        .map_err(Error::file("make a temporary folder below", &std::env::temp_dir()))?;
    tell("folder", Path::display(folder.path()))?;
    Ok(folder)
}

fn tell(verb: &str, what: impl Display) -> Result<()> {
    let mut pipe = lock(pipe()?);
    writeln!(pipe, "{verb} {what}")
        .map_err(|source| Error::Signal { program: "the watcher shell".into(), source })
}

fn pipe() -> Result<&'static Mutex<ChildStdin>> {
    if let Some(pipe) = PIPE.get() {
        return Ok(pipe);
    }
    let mut shell = Command::new("/bin/sh")
        .args(["-c", SCRIPT, "kcg-devcluster-watcher"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|source| Error::Start { program: "/bin/sh".into(), source })?;
    let stdin = shell.stdin.take().ok_or_else(|| Error::Missing("the watcher shell has no pipe".into()))?;
    // Where two threads race, the loser's pipe is dropped here and its shell ends at once.
    Ok(PIPE.get_or_init(|| Mutex::new(stdin)))
}
