//! A network namespace in which each pod has its own IP address.
//!
//! An EndpointSlice must not contain loopback addresses, so pods that are local processes need real
//! ones. The process that runs the cluster moves into a network namespace with a bridge, and its
//! children inherit the namespace. It is isolated: nothing outside can reach it, and it can reach
//! nothing outside.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// The bridge that the pods' interfaces are attached to.
pub const BRIDGE: &str = "cni0";
/// The IP address of the node, at which the control plane listens for pods.
pub const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
/// The prefix length of the network that all pods share.
pub const PREFIX: u8 = 16;

/// Set in the environment of the process inside the namespace.
const INSIDE: &str = "KCG_DEVCLUSTER_POD_NETWORK";

/// Whether this process runs inside the namespace.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Replaces this process by the same program with the same arguments inside a new namespace. Call
/// it before anything is started and after all downloads, because the namespace has no internet
/// access. `variables` are added to the environment. Returns only on failure.
pub fn enter(variables: &[(&str, OsString)]) -> Error {
    let setup = format!(
        "ip link set lo up && ip link add {BRIDGE} type bridge && ip address add {NODE_ADDRESS}/{PREFIX} dev {BRIDGE} && ip link set {BRIDGE} up"
    );
    let mut tried = unshare();
    tried.args(["/bin/sh", "-c", &setup]);
    if let Err(error) = attempt(tried) {
        return error;
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(source) => return Error::Start { program: "this program".into(), source },
    };
    let mut command = unshare();
    command.args(["/bin/sh", "-c", &format!("{setup} && exec \"$0\" \"$@\"")]).arg(program);
    command.args(std::env::args_os().skip(1)).env(INSIDE, "1");
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    Error::Start { program: "unshare".into(), source: command.exec() }
}

/// The command prefix with which a user runs commands inside the namespace while this process is
/// running.
pub fn enter_command() -> String {
    let user = if rustix::process::geteuid().is_root() { "" } else { "--user --preserve-credentials " };
    format!("nsenter --target {} {user}--net --mount", std::process::id())
}

/// Tries the setup once, so that a missing requirement is reported in one sentence.
fn attempt(mut setup: Command) -> Result<()> {
    let cure = "pods that run as local processes need a network namespace. Required: Linux, `unshare` (package \
                util-linux), `ip` (package iproute2), and either root or permission to create user namespaces \
                (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0; in a container: run it \
                with --privileged)";
    match setup.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
            Err(Error::Missing(format!("{cure}. The setup failed: {error}")))
        }
        Err(error) => Err(Error::Missing(format!("{cure}. `unshare` does not start: {error}"))),
    }
}

/// Without root, a user namespace in which this user is root grants the permission. The mount
/// namespace is private as well, because each pod's volumes are mounted for that pod only.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--net", "--mount", "--"]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_requirement_is_reported_in_one_sentence_with_its_fix() {
        let mut denied = Command::new("/bin/sh");
        denied.args(["-c", "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1"]);
        let absent = Command::new("/nowhere/unshare");
        for (setup, why) in [(denied, "Operation not permitted"), (absent, "does not start")] {
            let error = attempt(setup).expect_err("the setup fails").to_string();
            assert!(
                error.contains(why) && error.contains("iproute2") && error.contains("--privileged"),
                "{error}"
            );
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
