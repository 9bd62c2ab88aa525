//! How the story looks: headings, sentences, commands as a person would type them, and what came back.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kcg_devcluster::ControlPlane;
use tokio::process::Command;

/// How often a screen is refreshed while a command runs.
const REFRESH: Duration = Duration::from_millis(250);

/// What a command is expected to do; anything else ends the demo as a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Success,
    Refusal,
}

/// What a piece of text is, and so how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Heading,
    Command,
    Plain,
}

/// Where text appears.
pub trait Screen {
    fn print(&self, ink: Ink, text: &str) -> Result<()>;

    /// Called a few times a second while nothing is printed.
    fn refresh(&self) -> Result<()> {
        Ok(())
    }
}

/// A shell whose commands reach a cluster.
#[derive(Debug, Default)]
pub struct Shell {
    environment: Vec<(&'static str, std::ffi::OsString)>,
}

impl Shell {
    /// From now on commands reach this cluster.
    pub fn connect(&mut self, plane: &ControlPlane) -> Result<()> {
        self.environment = plane.environment()?;
        Ok(())
    }

    /// Shows a command and runs it, in the workspace's folder; then shows all it printed.
    pub async fn run(&self, screen: &impl Screen, command: &str, expect: Expect) -> Result<()> {
        screen.print(Ink::Command, &format!("$ {command}"))?;
        let output = Command::new("/bin/sh")
            // Both streams in the order in which a terminal would show them.
            .args(["-c", &format!("exec 2>&1\n{command}")])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let mut output = std::pin::pin!(output);
        let output = loop {
            tokio::select! {
                output = &mut output => break output.context("start /bin/sh")?,
                () = tokio::time::sleep(REFRESH) => screen.refresh()?,
            }
        };
        let answer = String::from_utf8_lossy(&output.stdout);
        if !answer.is_empty() {
            screen.print(Ink::Plain, answer.trim_end())?;
        }
        match (output.status.success(), expect) {
            (true, Expect::Success) | (false, Expect::Refusal) => Ok(()),
            (true, Expect::Refusal) => bail!("that should have been refused"),
            (false, Expect::Success) => bail!("that should have succeeded"),
        }
    }
}

/// Whether standard output is a terminal that wants colours.
pub fn is_coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Standard output, in colour where it is a terminal, and a shell that is connected to the cluster.
#[derive(Debug)]
pub struct Terminal {
    colour: bool,
    shell: Shell,
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Terminal {
    pub fn new() -> Self {
        Self { colour: is_coloured(), shell: Shell::default() }
    }

    /// From now on commands reach this cluster.
    pub fn connect(&mut self, plane: &ControlPlane) -> Result<()> {
        self.shell.connect(plane)
    }

    pub fn heading(&self, text: &str) -> Result<()> {
        self.print(Ink::Heading, text)
    }

    pub fn say(&self, text: &str) -> Result<()> {
        self.print(Ink::Plain, text)
    }

    /// Shows a command and runs it; then shows all it printed.
    pub async fn run(&self, command: &str, expect: Expect) -> Result<()> {
        self.shell.run(self, command, expect).await
    }
}

impl Screen for Terminal {
    fn print(&self, ink: Ink, text: &str) -> Result<()> {
        let (style, before) = match ink {
            Ink::Heading => ("\x1b[1;34m", "\n== "),
            Ink::Command => ("\x1b[36m", ""),
            Ink::Plain => ("", ""),
        };
        let mut out = std::io::stdout();
        if self.colour && !style.is_empty() {
            writeln!(out, "{style}{before}{text}\x1b[0m")?;
        } else {
            writeln!(out, "{before}{text}")?;
        }
        Ok(())
    }
}
