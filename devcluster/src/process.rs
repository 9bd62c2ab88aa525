//! A child process: its log file, its signals, its exit status.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use crate::reaper::Registered;
use crate::{Error, Result, wait};

/// A child process. Dropping it kills the process and waits for its exit, which takes milliseconds
/// after SIGKILL.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Mutex<Child>,
    pid: u32,
    _registered: Registered,
}

impl Process {
    /// Starts `program` with `args` and appends its output to `<folder>/<name>.log`.
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

    /// Starts a prepared command and appends its output to `log`.
    pub fn start_command(name: &str, mut command: Command, log: PathBuf) -> Result<Self> {
        let file = File::options().create(true).append(true).open(&log).map_err(Error::file("open", &log))?;
        let copy = file.try_clone().map_err(Error::file("open", &log))?;
        let child = command.stdin(Stdio::null()).stdout(file).stderr(copy).process_group(0).spawn().map_err(
            |source| Error::Start { program: command.get_program().display().to_string(), source },
        )?;
        let pid = child.id();
        let registered = Registered::process(pid)?;
        Ok(Self { name: name.into(), log, child: Mutex::new(child), pid, _registered: registered })
    }

    /// The name that was passed to `start`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process ID. The process leads its own process group.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The file that collects what it prints.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The output so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The exit status, or `None` while the process is running.
    pub fn ended(&self) -> Option<ExitStatus> {
        // An error means that the child was reaped elsewhere, so it has exited.
        self.child.lock().try_wait().unwrap_or_else(|_| Some(ExitStatus::from_raw(-1)))
    }

    /// Returns an error with the last lines of the log if the process has exited.
    pub fn must_run(&self) -> Result<()> {
        match self.ended() {
            None => Ok(()),
            Some(status) => Err(self.failure(status)),
        }
    }

    /// Waits for the process to exit.
    pub async fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        wait::until(&format!("{} to exit", self.name), limit, async || {
            Ok(self.ended().ok_or_else(|| "it is still running".to_owned()))
        })
        .await
    }

    /// Sends SIGTERM and waits for the process to exit.
    pub async fn terminate(&self, limit: Duration) -> Result<ExitStatus> {
        self.ask_to_end()?;
        self.wait(limit).await
    }

    /// Sends SIGTERM without waiting.
    pub fn ask_to_end(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGKILL and waits for the process to exit.
    pub fn kill(&self) {
        let mut child = self.child.lock();
        // Both fail only if the process has already exited.
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Sends SIGHUP, on which some programs reload their configuration.
    pub fn reload(&self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    /// Sends SIGSTOP. The process keeps its sockets open and answers nothing.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Sends SIGCONT after `pause`.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = self.child.lock();
        // After the process was reaped, its ID may belong to another process.
        if matches!(child.try_wait(), Ok(Some(_))) {
            return Ok(());
        }
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let Some(pid) = pid else { return Ok(()) };
        kill_process(pid, signal)
            .map_err(|source| Error::Signal { program: self.name.clone(), source: source.into() })
    }

    /// An error with the exit status and the last lines of the log.
    pub fn failure(&self, status: ExitStatus) -> Error {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(20)..].join("\n");
        Error::Ended { program: self.name.clone(), status: status.to_string(), log: end }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
