//! A container's own network and root, and its program in them.
//!
//! A shell in new namespaces waits for its network interface, prepares the root and becomes the
//! program. So the shell's process id is the program's, and everything is removed when the program
//! ends.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, Instant};

use kcg_devcluster::Process;
use kcg_devcluster::pod_network::{BRIDGE, NODE_ADDRESS, PREFIX};

use super::command::Command;
use crate::{Error, Result};

/// The folders that this computer's programs need. Every root has them, read-only.
const SHARED: [&str; 5] = ["/usr", "/bin", "/lib", "/lib64", "/sbin"];
/// Programs need this folder too. Each root gets a copy at each start, so that volumes can be
/// mounted at paths that this computer does not have.
const COPIED: &str = "/etc";
/// The PATH of the shell that prepares the root.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);

/// A folder or file of this computer, mounted into a container.
#[derive(Debug)]
pub(super) struct Mount {
    pub source: PathBuf,
    pub place: String,
    pub read_only: bool,
}

/// Whether every root has the program, whatever the image.
pub(super) fn is_in_every_root(program: &Path) -> bool {
    SHARED.iter().chain(&[COPIED]).any(|folder| program.starts_with(folder)) && program.is_file()
}

/// Why nothing can be mounted at a path, if so.
pub(super) fn unsupported(place: &str) -> Option<String> {
    let absolute = Path::new("/").join(place);
    let is_own = SHARED.iter().chain(&["/proc"]).any(|folder| absolute.starts_with(folder));
    (is_own || absolute == Path::new("/")).then(|| {
        format!(
            "this node cannot mount at {place}: every pod sees this computer's /, /proc, {}; mount it elsewhere, for instance in /etc or /opt",
            SHARED.join(", ")
        )
    })
}

/// One container to start.
#[derive(Debug)]
pub(super) struct Sandbox<'a> {
    /// The process's name.
    pub name: &'a str,
    pub log: PathBuf,
    pub address: Ipv4Addr,
    /// An empty folder, which becomes the root.
    pub root: &'a Path,
    /// The image's files, then the volumes.
    pub mounts: &'a [Mount],
    pub command: &'a Command,
    pub working_dir: Option<&'a str>,
    pub env: &'a BTreeMap<String, String>,
}

impl Sandbox<'_> {
    /// Starts it and connects it to the bridge.
    pub(super) async fn start(&self) -> Result<Process> {
        let mut command = process::Command::new("unshare");
        command.args(["--net", "--mount", "--", "/bin/sh", "-c", &self.script()]);
        command.env_clear().envs(self.env).env("PATH", PATH);
        let process = Process::start_command(self.name, command, self.log.clone())?;
        self.connect(&process).await?;
        Ok(process)
    }

    async fn connect(&self, process: &Process) -> Result<()> {
        let own = std::fs::read_link("/proc/self/ns/net").ok();
        let place = PathBuf::from(format!("/proc/{}/ns/net", process.pid()));
        let started = Instant::now();
        while std::fs::read_link(&place).is_ok_and(|its| Some(&its) == own.as_ref()) {
            process.must_run()?;
            if started.elapsed() > CONNECT_LIMIT {
                let last = "it is still the node's".to_owned();
                return Err(Error::Timeout {
                    what: format!("a network for {}", self.name),
                    limit: CONNECT_LIMIT,
                    last,
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
        let [.., high, low] = self.address.octets();
        let cable = format!("veth{}", process.pid());
        let script = format!(
            "ip link add {cable} type veth peer name eth0 address 02:00:0a:f4:{high:02x}:{low:02x} netns {} && ip link set {cable} master {BRIDGE} up",
            process.pid()
        );
        let output = tokio::process::Command::new("/bin/sh")
            .args(["-c", &script])
            .output()
            .await
            .map_err(|source| Error::Start { program: "/bin/sh".into(), source })?;
        if output.status.success() {
            return Ok(());
        }
        let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Command { command: script, output })
    }

    fn script(&self) -> String {
        let root = quoted(&self.root.display().to_string());
        let mut lines = vec![
            "set -e".to_owned(),
            "ip link set lo up".to_owned(),
            // The node connects the other end to the bridge.
            "until ip link show eth0 >/dev/null 2>&1; do sleep 0.02; done".to_owned(),
            format!("ip address add {}/{PREFIX} dev eth0", self.address),
            "ip link set eth0 up".to_owned(),
            format!("ip route add default via {NODE_ADDRESS}"),
            format!("mount -t tmpfs pod {root}"),
            format!("mkdir {root}/proc {root}/tmp"),
            format!("mkdir {root}/dev"),
            format!("mount --rbind /proc {root}/proc"),
            format!("mount --rbind /dev {root}/dev"),
        ];
        for folder in SHARED {
            lines.push(format!(
                "if [ -L {folder} ]; then ln -s \"$(readlink {folder})\" {root}{folder}; elif [ -d {folder} ]; then mkdir {root}{folder}; mount --rbind {folder} {root}{folder}; mount -o remount,bind,ro {root}{folder}; fi"
            ));
        }
        lines.extend(self.mount_lines(&root));
        let Command { entry, args } = self.command;
        let folder = self.working_dir.map(|folder| format!("--chdir={}", quoted(folder)));
        let path = self.env.get("PATH").map(|path| format!("PATH={}", quoted(path)));
        let words = folder.into_iter().chain(path).chain([quoted(entry)]);
        let words: Vec<String> = words.chain(args.iter().map(|arg| quoted(arg))).collect();
        lines.push(format!("exec chroot {root} /usr/bin/env {}", words.join(" ")));
        lines.join("\n")
    }

    /// Copies /etc and mounts the volumes. Then /etc is read-only, except for writable volumes in
    /// it.
    fn mount_lines(&self, root: &str) -> Vec<String> {
        // Files that may not be read are left out.
        let mut lines = vec![
            format!("mkdir {root}{COPIED}"),
            format!("cp -a {COPIED}/. {root}{COPIED} 2>/dev/null || :"),
        ];
        // Remove links on the way to a volume: it would be mounted at the link's target. Nothing is
        // mounted yet, so the links belong to the copy.
        lines.extend(self.mounts.iter().flat_map(|mount| mount.inside(COPIED)).map(|place| {
            let place = format!("{root}{}", quoted(&place));
            format!("if [ -L {place} ]; then rm {place}; fi")
        }));
        lines.push(format!("mount --bind {root}{COPIED} {root}{COPIED}"));
        lines.extend(self.mounts.iter().map(|mount| mount.script(root)));
        if !self.mounts.iter().any(|mount| Path::new(&mount.place) == Path::new(COPIED)) {
            lines.push(format!("mount -o remount,bind,ro {root}{COPIED}"));
        }
        lines
    }
}

impl Mount {
    /// Each path from below `folder` to this place, outermost first, so that links are removed
    /// before paths through them.
    fn inside(&self, folder: &str) -> Vec<String> {
        let ancestors = Path::new(&self.place).ancestors();
        let below = ancestors.take_while(|place| place.starts_with(folder) && *place != Path::new(folder));
        let mut places: Vec<String> = below.map(|place| place.display().to_string()).collect();
        places.reverse();
        places
    }

    /// The command that mounts it, and creates the place first.
    fn script(&self, root: &str) -> String {
        let from = quoted(&self.source.display().to_string());
        let to = format!("{root}{}", quoted(&self.place));
        let seal = if self.read_only { format!("; mount -o remount,bind,ro {to}") } else { String::new() };
        if self.source.is_dir() {
            format!("mkdir -p {to}; mount --rbind {from} {to}{seal}")
        } else {
            format!(
                "mkdir -p \"$(dirname {to})\"; if ! [ -e {to} ] && ! [ -L {to} ]; then : > {to}; fi; mount --bind {from} {to}{seal}"
            )
        }
    }
}

/// Quotes a word for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_to_a_volume_start_below_the_folder() {
        let mount = |place: &str| Mount { source: "/a".into(), place: place.into(), read_only: true };
        assert_eq!(mount("/etc/ssl/certs").inside("/etc"), ["/etc/ssl", "/etc/ssl/certs"]);
        for elsewhere in ["/etc", "/etc/", "/etcetera/a", "/dev/log"] {
            assert!(mount(elsewhere).inside("/etc").is_empty(), "{elsewhere}");
        }
    }

    #[test]
    fn a_quote_is_escaped() {
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
