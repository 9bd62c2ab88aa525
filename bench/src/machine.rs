//! The computer that the figures are from, and which cores a process may use.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::process::Command;

/// What was measured, and on which computer.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    pub commit: String,
    pub processor: String,
    pub cores: usize,
    pub kernel: String,
    /// The load averages at the start of the run: other programs that run make times longer.
    pub load: String,
    /// Whether the API server and what is measured had different cores.
    pub pinned: bool,
}

impl Machine {
    pub async fn read(pinned: bool) -> Self {
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let processors = file("/proc/cpuinfo");
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            commit: output("git", &["describe", "--always", "--dirty"]).await.unwrap_or_default(),
            processor: model.map(|(_, name)| name.trim().to_owned()).unwrap_or_default(),
            cores: cores(),
            kernel: file("/proc/sys/kernel/osrelease"),
            load: load(),
            pinned,
        }
    }
}

/// The load averages of 1, 5 and 15 minutes.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Those of the computer: this process may be pinned to some of them.
fn cores() -> usize {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().filter(|line| line.starts_with("processor")).count().max(1)
}

/// Who has which cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// etcd and the API server: the first half.
    ControlPlane,
    /// What is measured, and what puts load on it: the second half.
    Measured,
}

impl Side {
    /// As taskset takes them.
    fn cores(self, count: usize) -> String {
        match self {
            Self::ControlPlane => format!("0-{}", count / 2 - 1),
            Self::Measured => format!("{}-{}", count / 2, count - 1),
        }
    }
}

/// Whether the sides can have different cores.
pub async fn can_pin() -> bool {
    cores() > 1 && output("taskset", &["--version"]).await.is_ok()
}

/// Keeps all threads of a process, and those that they start, on the cores of a side.
pub async fn pin(pid: u32, side: Side) -> Result<()> {
    let arguments = ["--all-tasks", "--cpu-list", "--pid", &side.cores(cores()), &pid.to_string()];
    output("taskset", &arguments).await.map(drop)
}

async fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().await;
    let output = output.with_context(|| format!("run {program}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    ensure!(output.status.success(), "{program} {}: {}", arguments.join(" "), text(&output.stderr));
    Ok(text(&output.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_half_of_the_cores() {
        let sides = |count| [Side::ControlPlane.cores(count), Side::Measured.cores(count)];
        assert_eq!(sides(2), ["0-0", "1-1"]);
        assert_eq!(sides(5), ["0-1", "2-4"]);
    }
}
