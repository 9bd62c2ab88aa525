//! A person's own command, run against a cluster.

use std::process::ExitStatus;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::control_plane::ControlPlane;
use crate::watcher::Watched;
use crate::{Error, Result};

/// The running command. It shares this process's terminal and process group; dropping it kills it.
#[derive(Debug)]
pub struct Guest {
    name: String,
    child: Child,
    _watched: Option<Watched>,
}

impl Guest {
    /// Starts `command` with KUBECONFIG set and kubectl on its PATH.
    pub fn start(plane: &ControlPlane, command: &[String]) -> Result<Self> {
        let [name, args @ ..] = command else {
            return Err(Error::Missing("there is no command to run".into()));
        };
        let child = Command::new(name)
            .args(args)
            .envs(plane.environment()?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::Start { program: name.clone(), source })?;
        let watched = child.id().map(Watched::process).transpose()?;
        Ok(Self { name: name.clone(), child, _watched: watched })
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let waited = self.child.wait().await;
        waited.map_err(|source| Error::Start { program: self.name.clone(), source })
    }

    /// Asks it to end (SIGTERM) and waits for that, however long it takes.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM)
                .map_err(|source| Error::Signal { program: self.name.clone(), source: source.into() })?;
        }
        self.wait().await
    }

    /// Ends it at once (SIGKILL).
    pub async fn kill(&mut self) -> Result<ExitStatus> {
        self.child.start_kill().map_err(|source| Error::Signal { program: self.name.clone(), source })?;
        self.wait().await
    }
}
