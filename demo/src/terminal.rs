//! How the story looks: headings, sentences, commands as a person would type them, and what came back.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use kcg_devcluster::ControlPlane;
use tokio::process::Command;

/// What a command is expected to do; anything else ends the demo as a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Success,
    Refusal,
}

/// Standard output, in colour where it is a terminal, and a shell that is connected to the cluster.
#[derive(Debug)]
pub struct Terminal {
    colour: bool,
    environment: Vec<(&'static str, std::ffi::OsString)>,
}

impl Terminal {
    pub fn new() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colour, environment: Vec::new() }
    }

    /// From now on commands reach this cluster.
    pub fn connect(&mut self, plane: &ControlPlane) -> Result<()> {
        self.environment = plane.environment()?;
        Ok(())
    }

    pub fn heading(&self, text: &str) -> Result<()> {
        self.print("\x1b[1;34m", &format!("\n== {text}"))
    }

    pub fn say(&self, text: &str) -> Result<()> {
        self.print("", text)
    }

    /// Shows a command and runs it, in the workspace's folder; then shows all it printed.
    pub async fn run(&self, command: &str, expect: Expect) -> Result<()> {
        self.print("\x1b[36m", &format!("$ {command}"))?;
        let output = Command::new("/bin/sh")
            // Both streams in the order in which a terminal would show them.
            .args(["-c", &format!("exec 2>&1\n{command}")])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("start /bin/sh")?;
        let answer = String::from_utf8_lossy(&output.stdout);
        if !answer.is_empty() {
            self.say(answer.trim_end())?;
        }
        match (output.status.success(), expect) {
            (true, Expect::Success) | (false, Expect::Refusal) => Ok(()),
            (true, Expect::Refusal) => bail!("that should have been refused"),
            (false, Expect::Success) => bail!("that should have succeeded"),
        }
    }

    fn print(&self, style: &str, text: &str) -> Result<()> {
        let mut out = std::io::stdout();
        if self.colour && !style.is_empty() {
            writeln!(out, "{style}{text}\x1b[0m")?;
        } else {
            writeln!(out, "{text}")?;
        }
        Ok(())
    }
}
