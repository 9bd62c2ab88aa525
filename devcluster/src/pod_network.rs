//! A network of our own, in which a pod has an address as on any node.
//!
//! An EndpointSlice takes no loopback address, so pods that are local processes need real ones. The process that
//! runs the cluster moves into a network namespace with a bridge, and all that it starts is in there with it:
//! nothing of it is seen from outside, and nothing outside is reached.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// The bridge that pods' interfaces are plugged into.
pub const BRIDGE: &str = "cni0";
/// The node's own address, where its programs listen for pods.
pub const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
/// How many of the address's bits name the network, which all pods share.
pub const PREFIX: u8 = 16;

/// Set in the process that is inside.
const INSIDE: &str = "KCG_DEVCLUSTER_POD_NETWORK";

/// Whether this process is inside.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Starts this very program again, with its arguments, inside a fresh network; to be called before anything was started,
/// and after everything that has to be fetched has been. `variables` are handed on. Returns only where it fails.
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

/// The command by which a person's own commands run inside, while this process does.
pub fn enter_command() -> String {
    let user = if rustix::process::geteuid().is_root() { "" } else { "--user --preserve-credentials " };
    format!("nsenter --target {} {user}--net --mount", std::process::id())
}

/// Tries the setup once, so that what is missing is told in one sentence.
fn attempt(mut setup: Command) -> Result<()> {
    let cure = "pods that are real processes need a network namespace of their own. It takes Linux, `unshare` \
                (package util-linux), `ip` (package iproute2), and either root or the right to make user namespaces \
                (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0; in a container: run it \
                with --privileged)";
    match setup.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
            Err(Error::Missing(format!("{cure}. Here it fails: {said}")))
        }
        Err(error) => Err(Error::Missing(format!("{cure}. Here `unshare` does not start: {error}"))),
    }
}

/// Without root a user namespace, in which this user is root, gives the right. Mounts are private, too: each pod's
/// volumes are mounted for that pod alone.
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
    fn what_is_missing_for_a_network_of_its_own_is_one_sentence_with_the_cure() {
        let mut refused = Command::new("/bin/sh");
        refused.args(["-c", "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1"]);
        let absent = Command::new("/nowhere/unshare");
        for (setup, why) in [(refused, "Operation not permitted"), (absent, "does not start")] {
            let said = attempt(setup).expect_err("it cannot be had").to_string();
            assert!(
                said.contains(why) && said.contains("iproute2") && said.contains("--privileged"),
                "{said}"
            );
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}
