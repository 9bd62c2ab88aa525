//! However the process ends that started a cluster, its children and its folder go with it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kcg_devcluster::{parts, wait};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// `devcluster up`, and the folder of its cluster, once it is ready.
fn up() -> Result<(Child, String), Box<dyn std::error::Error>> {
    let mut command =
        Command::new(env!("CARGO_BIN_EXE_devcluster")).arg("up").stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(command.stdout.take().ok_or("no output")?).lines();
    let mut folder = None;
    for line in lines {
        let line = line?;
        folder = line.strip_prefix("logs: ").map(str::to_owned).or(folder);
        if line == "ready" {
            return Ok((command, folder.ok_or("it named no folder")?));
        }
    }
    Err("it ended before it was ready".into())
}

/// Processes whose command line names the cluster's folder, but for the one that removes it.
fn processes_of(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(folder) && !line.starts_with("rm "))
        .collect()
}

async fn everything_goes(folder: &str) -> kcg_devcluster::Result<()> {
    wait::until("everything to go", Duration::from_secs(10), async || {
        let left = processes_of(folder);
        Ok(if left.is_empty() && !Path::new(folder).exists() { Ok(()) } else { Err(left.join("\n")) })
    })
    .await
}

#[tokio::test]
async fn killed_command_leaves_neither_process_nor_folder() -> Outcome {
    let _ = parts::Parts::ensure(&parts::to_stderr).await?;
    let (mut command, folder) = up()?;
    // etcd, API server, controller manager, scheduler, kwok.
    assert_eq!(processes_of(&folder).len(), 5, "{:?}", processes_of(&folder));
    command.kill()?;
    command.wait()?;
    everything_goes(&folder).await?;
    Ok(())
}

#[tokio::test]
async fn interrupted_command_leaves_neither_process_nor_folder() -> Outcome {
    let (mut command, folder) = up()?;
    let pid = command.id().to_string();
    Command::new("kill").args(["-INT", &pid]).status()?;
    assert!(command.wait()?.success());
    // All is gone when the command is.
    assert_eq!((processes_of(&folder), Path::new(&folder).exists()), (Vec::new(), false));
    Ok(())
}
