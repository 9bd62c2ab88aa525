//! The form for OpenShift, whose processes run as a user that no manifest names.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use kcg_devcluster::Operator;
use kcg_tests::env::{all_crds, api_server};
use kcg_tests::{Outcome, deploy_copy, eventually, met, operator_binary};
use serde_json::json;

/// As the SecurityContextConstraint restricted-v2 assigns them: the user of the namespace's range, the
/// root group, and the fsGroup, here the id of this process in the range.
struct Assigned {
    user: u32,
    group: u32,
}

impl Assigned {
    fn new() -> Self {
        let user = 1_000_650_000 + std::process::id() % 10_000;
        Self { user, group: user }
    }

    /// A command line as this user, with or without the group.
    fn run(&self, has_group: bool) -> Vec<String> {
        let groups = if has_group { format!("--groups={}", self.group) } else { "--clear-groups".to_owned() };
        let user = format!("--reuid={}", self.user);
        let privileges = ["--regid=0", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"];
        let privileges = privileges.map(str::to_owned);
        ["setpriv".to_owned(), user, groups].into_iter().chain(privileges).collect()
    }

    fn can_read(&self, file: &Path, has_group: bool) -> Outcome<bool> {
        let line = self.run(has_group);
        let mut command = Command::new(&line[0]);
        Ok(command.args(&line[1..]).arg("cat").arg(file).output()?.status.success())
    }
}

fn allow(path: &Path, mode: u32) -> Outcome {
    Ok(std::fs::set_permissions(path, PermissionsExt::from_mode(mode))?)
}

/// The operator's program, started as the assigned user.
async fn program_of(assigned: &Assigned, folder: &Path) -> Outcome<PathBuf> {
    allow(folder, 0o755)?;
    // The user cannot reach the folder in which cargo has built it.
    let (program, script) = (folder.join("operator"), folder.join("as-assigned-user"));
    std::fs::copy(operator_binary().await?, &program)?;
    let line = assigned.run(true).join(" ");
    std::fs::write(&script, format!("#!/bin/sh\nexec {line} {} \"$@\"\n", program.display()))?;
    allow(&program, 0o755)?;
    allow(&script, 0o755)?;
    Ok(script)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_openshift_assigns_can_read_the_key_by_its_group_alone() -> Outcome {
    assert!(
        rustix::process::geteuid().is_root(),
        "only root can start a process as another user: run this test as root, or in a container"
    );
    let assigned = Assigned::new();
    let copy = deploy_copy("").await?;
    let own = json!({
        "resources": ["deploy/overlays/cluster/self-managed"],
        "components": ["deploy/components/openshift"],
    });
    std::fs::write(copy.path().join("kustomization.yaml"), own.to_string())?;
    let programs = tempfile::tempdir()?;
    let program = program_of(&assigned, programs.path()).await?;
    let plane = api_server(all_crds()).await?;
    let operator = Operator::install(&plane, copy.path(), &program).await?;
    // The kubelet gives a volume and its files to the fsGroup in this way.
    let volume = operator.certificate_volume().folder();
    chown(volume, None, Some(assigned.group))?;
    allow(volume, 0o2750)?;
    for folder in volume.ancestors().skip(1).take_while(|folder| folder.starts_with(plane.folder())) {
        allow(folder, 0o755)?;
    }
    for kubeconfig in [operator.controller_kubeconfig(), operator.webhook_kubeconfig()] {
        chown(kubeconfig, Some(assigned.user), None)?;
    }

    let controller = operator.start_controller("one", &[]).await?;
    let webhook = operator.start_webhook(&[]).await?;
    operator.wait_trusted(&plane).await?;
    let key = volume.join("tls.key");
    assert!(assigned.can_read(&key, true)?);
    assert!(!assigned.can_read(&key, false)?, "only the group can read it");
    for process in [controller.process(), webhook.process()] {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()))?;
        let ids = status.lines().find(|line| line.starts_with("Uid:")).ok_or("no Uid")?;
        assert!(ids.split_whitespace().skip(1).all(|id| id == assigned.user.to_string()), "{ids}");
    }
    let sample = kcg_tests::deploy("samples/bad-many.yaml").display().to_string();
    eventually("the webhook answers", kcg_tests::env::LIMIT, async || {
        let answer = plane.kubectl(&["create", "--dry-run=server", "-f", &sample]).await?;
        Ok(met(answer.stderr.contains("is invalid"), || answer.stderr))
    })
    .await?;
    Ok(())
}
