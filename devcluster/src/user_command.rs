//! A user's command that runs against a cluster.

use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::control_plane::ControlPlane;
use crate::reaper::Registered;
use crate::{Error, Result};

/// A running command. It shares the terminal and the process group of this process. Dropping it
/// kills the command.
#[derive(Debug)]
pub struct UserCommand {
    name: String,
    child: Child,
    _registered: Option<Registered>,
}

impl UserCommand {
    /// Starts `command` with KUBECONFIG set and kubectl on the PATH.
    pub fn start(plane: &ControlPlane, command: &[String]) -> Result<Self> {
        let [name, args @ ..] = command else {
            return Err(Error::Missing("no command: write it after `--`".into()));
        };
        let child = Command::new(name)
            .args(args)
            .envs(plane.environment()?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::Start { program: name.clone(), source })?;
        let registered = child.id().map(Registered::process).transpose()?;
        Ok(Self { name: name.clone(), child, _registered: registered })
    }

    /// Waits for the command to exit.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let waited = self.child.wait().await;
        waited.map_err(|source| Error::Start { program: self.name.clone(), source })
    }

    /// Sends SIGTERM and waits for the command to exit, without a timeout.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM)
                .map_err(|source| Error::Signal { program: self.name.clone(), source: source.into() })?;
        }
        self.wait().await
    }

    /// Sends SIGKILL and waits for the command to exit.
    pub async fn kill(&mut self) -> Result<ExitStatus> {
        self.child.start_kill().map_err(|source| Error::Signal { program: self.name.clone(), source })?;
        self.wait().await
    }
}
