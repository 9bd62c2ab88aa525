//! The commands in the docs, and a shell that runs them unchanged.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use kcg_devcluster::{ControlPlane, KubectlOutput, Tools, tools};
use kcg_tests::{Outcome, deploy, deploy_copy, kubectl, repository};
use tokio::process::Command;

/// The shell blocks of a section (a heading of level 2), in their order.
pub fn blocks(file: &str, heading: &str) -> Outcome<Vec<String>> {
    let text = std::fs::read_to_string(repository(file))?;
    let (_, rest) =
        text.split_once(&format!("\n{heading}\n")).ok_or_else(|| format!("{file} has no {heading}"))?;
    let section = rest.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```"));
    Ok(blocks.map(|(block, _)| block.to_owned()).collect())
}

/// The only block of a section that contains these words.
pub fn block(file: &str, heading: &str, words: &str) -> Outcome<String> {
    let mut holding = blocks(file, heading)?.into_iter().filter(|block| block.contains(words));
    match (holding.next(), holding.next()) {
        (Some(block), None) => Ok(block),
        _ => Err(format!("{file}, {heading}: not exactly one block contains {words:?}").into()),
    }
}

/// A user's shell in a folder that holds deploy/, with kubectl and helm for one cluster.
pub struct Shell {
    folder: PathBuf,
    /// `$overlay` of the docs: the overlay that was applied.
    overlay: PathBuf,
    variables: Vec<(&'static str, OsString)>,
    _home: tempfile::TempDir,
}

impl Shell {
    /// In the repository.
    pub async fn open(plane: &ControlPlane, overlay: &Path) -> Outcome<Self> {
        Self::open_in(&repository(""), plane, overlay).await
    }

    pub async fn open_in(folder: &Path, plane: &ControlPlane, overlay: &Path) -> Outcome<Self> {
        let helm = Tools::helm(&tools::to_stderr).await?;
        let home = tempfile::tempdir()?;
        let mut variables = plane.environment()?;
        for (name, value) in &mut variables {
            if *name == "PATH" {
                let folders = std::env::split_paths(&*value).chain(helm.parent().map(Path::to_owned));
                *value = std::env::join_paths(folders)?;
            }
        }
        for folder in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            variables.push((folder, home.path().into()));
        }
        Ok(Self { folder: folder.into(), overlay: overlay.into(), variables, _home: home })
    }

    /// Runs commands until the first that fails.
    pub async fn try_run(&self, commands: &str) -> Outcome<KubectlOutput> {
        let mut shell = Command::new("sh");
        shell.args(["-euc", commands]).current_dir(&self.folder).env("overlay", &self.overlay);
        let output = shell.envs(self.variables.iter().cloned()).kill_on_drop(true).output().await?;
        Ok(KubectlOutput {
            command: commands.to_owned(),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs commands that have to succeed; what they print.
    pub async fn run(&self, commands: &str) -> Outcome<String> {
        Ok(self.try_run(commands).await?.ok()?)
    }
}

/// A copy of deploy/ as an older version could have shipped it, with differences that
/// [`installed_version`] finds.
pub async fn older_version() -> Outcome<tempfile::TempDir> {
    let script = r#"
        change() { sed "$1" "$2" > changed; ! cmp -s changed "$2"; cp changed "$2"; rm changed; }
        for crd in deploy/crd/kconsumergroups.yaml deploy/charts/*/templates/kconsumergroups.yaml; do
            change 's/group-operator 0\.1\.0\./group-operator 0.0.9./' "$crd"
        done
        chart=deploy/charts/kconsumer-group-operator/templates
        for file in deploy/scopes/cluster/webhook-configurations.yaml "$chart"/*webhookconfiguration.yaml; do
            change 's/timeoutSeconds: 5/timeoutSeconds: 4/' "$file"
        done
        for webhook in deploy/base/webhook.yaml "$chart/webhook-deployment.yaml"; do
            change 's|--drain-quiet-period=20s|--drain-quiet-period=10s|' "$webhook"
        done"#;
    Ok(deploy_copy(script).await?)
}

/// Replaces an older version's deploy/ with this version's.
pub async fn make_this_version(folder: &Path) -> Outcome {
    let script = r#"rm -r deploy; cp -r "$1" deploy"#;
    let mut shell = Command::new("sh");
    shell.args(["-euc", script, "sh"]).arg(deploy("")).current_dir(folder);
    if shell.status().await?.success() { Ok(()) } else { Err(script.into()) }
}

/// What is installed, [`OLDER`] or [`THIS`].
pub async fn installed_version(plane: &ControlPlane) -> Outcome<String> {
    let crd = "-o=jsonpath={.spec.versions[0].schema.openAPIV3Schema.description}";
    let crd = kubectl::run(plane, &["get", "crd", "kconsumergroups.thenextapps.com", crd]).await?;
    let timeout = "-o=jsonpath={.webhooks[0].timeoutSeconds}";
    let mut versions =
        vec![if crd.contains("0.0.9") { "the CRD is older" } else { "the CRD is this one" }.to_owned()];
    for kind in ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"] {
        versions.push(kubectl::run(plane, &["get", kind, "kconsumer-group-operator", timeout]).await?);
    }
    let flags = "-o=jsonpath={.spec.template.spec.containers[0].args}";
    let webhook =
        ["get", "deployment", "kconsumer-group-operator-webhook", "-n=kconsumer-group-operator", flags];
    let flags = kubectl::run(plane, &webhook).await?;
    versions.push(if flags.contains("quiet-period=10s") { "10s" } else { "20s" }.to_owned());
    Ok(versions.join(", "))
}

pub const OLDER: &str = "the CRD is older, 4, 4, 10s";
pub const THIS: &str = "the CRD is this one, 5, 5, 20s";
