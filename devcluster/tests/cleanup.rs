//! When the process that started a cluster ends, its children and its folder are removed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kcg_devcluster::{Tools, tools, wait};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Starts `devcluster up`, waits until it is ready, and returns the folder of its cluster.
fn up() -> Result<(Child, String), Box<dyn std::error::Error>> {
    let mut command =
        Command::new(env!("CARGO_BIN_EXE_devcluster")).arg("up").stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(command.stdout.take().ok_or("no output")?).lines();
    let mut folder = None;
    for line in lines {
        let line = line?;
        folder = line.strip_prefix("logs: ").map(str::to_owned).or(folder);
        if line == "ready" {
            return Ok((command, folder.ok_or("it printed no folder")?));
        }
    }
    Err("it exited before it was ready".into())
}

/// The processes whose command line contains the cluster's folder, except for the `rm` that removes
/// it.
fn processes_of(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(folder) && !line.starts_with("rm "))
        .collect()
}

async fn wait_until_nothing_is_left(folder: &str) -> kcg_devcluster::Result<()> {
    wait::until("the processes and the folder to be removed", Duration::from_secs(10), async || {
        let left = processes_of(folder);
        Ok(if left.is_empty() && !Path::new(folder).exists() { Ok(()) } else { Err(left.join("\n")) })
    })
    .await
}

#[tokio::test]
async fn a_killed_command_leaves_neither_process_nor_folder() -> Outcome {
    let _ = Tools::ensure(&tools::to_stderr).await?;
    let (mut command, folder) = up()?;
    // etcd, API server, controller manager, scheduler, kwok.
    assert_eq!(processes_of(&folder).len(), 5, "{:?}", processes_of(&folder));
    command.kill()?;
    command.wait()?;
    wait_until_nothing_is_left(&folder).await?;
    Ok(())
}

#[tokio::test]
async fn an_interrupted_command_leaves_neither_process_nor_folder() -> Outcome {
    let (mut command, folder) = up()?;
    let pid = command.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status()?;
    assert!(command.wait()?.success());
    // Everything is removed before the command exits.
    assert_eq!((processes_of(&folder), Path::new(&folder).exists()), (Vec::new(), false));
    Ok(())
}
