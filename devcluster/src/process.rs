//! One program run as a child: its log in a file, its signals, its end.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::mutex::lock;
use crate::watcher::Watched;
use crate::{Error, Result, wait};

/// A running child. Dropping it kills it and waits for its end, which after SIGKILL takes milliseconds.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Mutex<Child>,
    pid: u32,
    _watched: Watched,
}

impl Process {
    /// Starts `program` with `args`; what it prints is appended to `<folder>/<name>.log`.
    pub fn start<A: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        args: impl IntoIterator<Item = A>,
        folder: &Path,
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let mut command = Command::new(program);
        command.args(args);
        Self::start_command(name, command, log)
    }

    /// Starts a prepared command; what it prints is appended to `log`.
    pub fn start_command(name: &str, mut command: Command, log: PathBuf) -> Result<Self> {
        let file = File::options().create(true).append(true).open(&log).map_err(Error::file("open", &log))?;
        let copy = file.try_clone().map_err(Error::file("open", &log))?;
        let child = command.stdin(Stdio::null()).stdout(file).stderr(copy).process_group(0).spawn().map_err(
            |source| Error::Start { program: command.get_program().display().to_string(), source },
        )?;
        let pid = child.id();
        let child = Mutex::new(child);
        Ok(Self { name: name.into(), log, child, pid, _watched: Watched::process(pid)? })
    }

    /// The name it was started under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process's id; it leads a process group of its own.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The file that collects what it prints.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// All that it has printed so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How it ended, or nothing while it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        // An error here means that somebody else has reaped the child: it has ended in any case.
        self.child().try_wait().unwrap_or_else(|_| Some(ExitStatus::from_raw(-1)))
    }

    /// Fails with the end of its log when it has ended.
    pub fn must_run(&self) -> Result<()> {
        match self.ended() {
            None => Ok(()),
            Some(status) => Err(self.failure(status)),
        }
    }

    /// Waits for it to end by itself, at most `limit`.
    pub async fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        wait::until(&format!("the end of {}", self.name), limit, async || {
            Ok(self.ended().ok_or_else(|| "it still runs".to_owned()))
        })
        .await
    }

    /// Asks it to end (SIGTERM) and waits for that, at most `limit`.
    pub async fn terminate(&self, limit: Duration) -> Result<ExitStatus> {
        self.ask_to_end()?;
        self.wait(limit).await
    }

    /// Asks it to end (SIGTERM), without the wait.
    pub fn ask_to_end(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&self) {
        let mut child = self.child();
        // Both fail only where it has ended already.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Has it read its configuration again (SIGHUP), where it is a program that does.
    pub fn reload(&self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    /// Stops its clock: SIGSTOP. It holds its sockets and answers nothing.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after `pause`: SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = self.child();
        // Once its end was seen, its number may be another's.
        if matches!(child.try_wait(), Ok(Some(_))) {
            return Ok(());
        }
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let Some(pid) = pid else { return Ok(()) };
        kill_process(pid, signal)
            .map_err(|source| Error::Signal { program: self.name.clone(), source: source.into() })
    }

    /// The error that says how it ended, with the end of its log.
    pub fn failure(&self, status: ExitStatus) -> Error {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(20)..].join("\n");
        Error::Ended { program: self.name.clone(), status: status.to_string(), log: end }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        lock(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
