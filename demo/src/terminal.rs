//! Prints headings, text, and commands with their output, as a user would see them on a terminal.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use kcg_devcluster::ControlPlane;
use tokio::process::Command;

/// The expected result of a command. Any other result ends the demo with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The command succeeds.
    Success,
    /// The command fails because the API server rejects the request.
    Rejection,
}

/// The role of a text, which determines its style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextStyle {
    Heading,
    Command,
    Plain,
}

/// Standard output, in colour if it is a terminal, and a shell for commands.
#[derive(Debug, Default)]
pub struct Terminal {
    colour: bool,
    /// The variables that point commands at a cluster.
    environment: Vec<(&'static str, OsString)>,
}

impl Terminal {
    /// Creates a terminal whose shell is not connected yet.
    pub fn new() -> Self {
        Self { colour: is_coloured(), environment: Vec::new() }
    }

    /// Points later commands at this cluster.
    pub fn connect(&mut self, plane: &ControlPlane) -> Result<()> {
        self.environment = plane.environment()?;
        Ok(())
    }

    /// Prints the heading of a step.
    pub fn heading(&self, text: &str) -> Result<()> {
        self.print(TextStyle::Heading, text)
    }

    /// Prints plain text.
    pub fn say(&self, text: &str) -> Result<()> {
        self.print(TextStyle::Plain, text)
    }

    /// Prints a command, runs it in the workspace's root folder, and prints its output.
    pub async fn run(&self, command: &str, expect: Expect) -> Result<()> {
        self.print(TextStyle::Command, &format!("$ {command}"))?;
        let output = Command::new("/bin/sh")
            // Merge both streams, in the order in which a terminal would show them.
            .args(["-c", &format!("exec 2>&1\n{command}")])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("start /bin/sh")?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !text.is_empty() {
            self.print(TextStyle::Plain, text.trim_end())?;
        }
        match (output.status.success(), expect) {
            (true, Expect::Success) | (false, Expect::Rejection) => Ok(()),
            (true, Expect::Rejection) => {
                bail!("the command succeeded, but the API server should reject it: {command}")
            }
            (false, Expect::Success) => bail!("the command failed ({}): {command}", output.status),
        }
    }

    fn print(&self, style: TextStyle, text: &str) -> Result<()> {
        let (colour, before) = match style {
            TextStyle::Heading => ("\x1b[1;34m", "\n== "),
            TextStyle::Command => ("\x1b[36m", ""),
            TextStyle::Plain => ("", ""),
        };
        let mut out = std::io::stdout();
        if self.colour && !colour.is_empty() {
            writeln!(out, "{colour}{before}{text}\x1b[0m")?;
        } else {
            writeln!(out, "{before}{text}")?;
        }
        Ok(())
    }
}

/// Whether standard output is a terminal and NO_COLOR is not set.
fn is_coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
