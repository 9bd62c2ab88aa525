//! The real kubectl against one cluster, and what it answered.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{Error, Result};

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The command as a person would type it.
    pub command: String,
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Answer {
    /// Standard output where the command succeeded, else an error with all it printed.
    pub fn ok(self) -> Result<String> {
        if self.code == 0 {
            return Ok(self.stdout);
        }
        let output = format!("{}{}", self.stdout, self.stderr);
        Err(Error::Command { command: self.command, output: output.trim().to_owned() })
    }
}

/// A kubectl with one kubeconfig.
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

    /// Runs it with `args`.
    pub async fn run(&self, args: &[&str]) -> Result<Answer> {
        self.run_with_input(args, "").await
    }

    /// Runs it with `args` and `input` on its standard input (for `-f -`).
    pub async fn run_with_input(&self, args: &[&str], input: &str) -> Result<Answer> {
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
            // It may end without reading all of it; then its own answer says why.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(failed)?;
        Ok(Answer {
            command: format!("kubectl {}", args.join(" ")),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The variables that point any kubectl at this cluster. The cache of what the API serves is the cluster's
    /// own: the next cluster on the same port serves something else.
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("KUBECONFIG", self.kubeconfig.clone()), ("KUBECACHEDIR", self.cache.clone())]
    }
}
