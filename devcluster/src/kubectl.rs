//! Runs the real kubectl against one cluster.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{Error, Result};

/// The output and the exit code of a command.
#[derive(Debug, Clone)]
pub struct KubectlOutput {
    /// The command as a user would type it.
    pub command: String,
    /// The exit code, or -1 if a signal ended the command.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl KubectlOutput {
    /// Returns standard output, or an error with both outputs if the command failed.
    pub fn ok(self) -> Result<String> {
        if self.code == 0 {
            return Ok(self.stdout);
        }
        let output = format!("{}{}", self.stdout, self.stderr);
        Err(Error::Command { command: self.command, output: output.trim().to_owned() })
    }
}

/// kubectl with one kubeconfig.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(program: &Path, kubeconfig: &Path, folder: &Path) -> Self {
        Self { program: program.into(), kubeconfig: kubeconfig.into(), cache: folder.join("kubectl-cache") }
    }

    /// Runs kubectl with `args`.
    pub async fn run(&self, args: &[&str]) -> Result<KubectlOutput> {
        self.run_with_input(args, "").await
    }

    /// Runs kubectl with `args` and with `input` on standard input (for `-f -`).
    pub async fn run_with_input(&self, args: &[&str], input: &str) -> Result<KubectlOutput> {
        let failed = |source| Error::Start { program: self.program.display().to_string(), source };
        let mut child = Command::new(&self.program)
            .args(args)
            .envs(self.environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // kubectl may exit before it has read everything. Its own output then explains why.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(failed)?;
        Ok(KubectlOutput {
            command: format!("kubectl {}", args.join(" ")),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The environment variables that point any kubectl at this cluster. Each cluster has its own
    /// discovery cache because the next cluster on the same port may serve other resources.
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("KUBECONFIG", self.kubeconfig.clone()), ("KUBECACHEDIR", self.cache.clone())]
    }
}
