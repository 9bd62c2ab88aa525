//! What a container has to itself: a network with an address of its own, a root with its volumes, and its program in it.
//!
//! The program is started by a shell in fresh namespaces, which waits for its network interface, makes the root and
//! becomes the program: so its process id is the program's, and all of it goes when the program ends.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, Instant};

use super::command::Command;
use crate::{Error, Result};
use kcg_devcluster::Process;
use kcg_devcluster::pod_network::{BRIDGE, NODE_ADDRESS, PREFIX};

/// What the programs of this computer need to run, seen in every root as it is.
const SHARED: [&str; 5] = ["/usr", "/bin", "/lib", "/lib64", "/sbin"];
/// They need this as well. Each root has a copy, made at each start, so that volumes find places in it that this computer
/// does not have.
const COPIED: &str = "/etc";
/// The shell's own, whatever the pod's is.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const PLUG_LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);

/// A folder or file of this computer that a container sees.
#[derive(Debug)]
pub(super) struct Mount {
    pub source: PathBuf,
    pub place: String,
    pub read_only: bool,
}

/// Whether a program is there whatever the image.
pub(super) fn is_in_every_root(program: &Path) -> bool {
    SHARED.iter().chain(&[COPIED]).any(|folder| program.starts_with(folder)) && program.is_file()
}

/// Why nothing can be mounted at a place, if so.
pub(super) fn refusal(place: &str) -> Option<String> {
    let absolute = Path::new("/").join(place);
    let is_own = SHARED.iter().chain(&["/proc"]).any(|folder| absolute.starts_with(folder));
    (is_own || absolute == Path::new("/")).then(|| {
        format!(
            "this node mounts nothing at {place}: /, /proc, {} are this computer's own in every pod; mount it elsewhere, in /etc or /opt for instance",
            SHARED.join(", ")
        )
    })
}

/// One container to start.
#[derive(Debug)]
pub(super) struct Sandbox<'a> {
    /// The process's name, and its log file.
    pub name: &'a str,
    pub log: PathBuf,
    pub address: Ipv4Addr,
    /// An empty folder, which becomes the root.
    pub root: &'a Path,
    /// Where each volume's folder or file is mounted.
    pub mounts: &'a [Mount],
    pub command: &'a Command,
    pub working_dir: Option<&'a str>,
    pub env: &'a BTreeMap<String, String>,
}

impl Sandbox<'_> {
    /// Starts it and plugs it into the bridge.
    pub async fn start(&self) -> Result<Process> {
        let mut command = process::Command::new("unshare");
        command.args(["--net", "--mount", "--", "/bin/sh", "-c", &self.script()]);
        command.env_clear().envs(self.env).env("PATH", PATH);
        let process = Process::start_command(self.name, command, self.log.clone())?;
        self.plug_in(&process).await?;
        Ok(process)
    }

    async fn plug_in(&self, process: &Process) -> Result<()> {
        let own = std::fs::read_link("/proc/self/ns/net").ok();
        let place = PathBuf::from(format!("/proc/{}/ns/net", process.pid()));
        let begun = Instant::now();
        while std::fs::read_link(&place).is_ok_and(|its| Some(&its) == own.as_ref()) {
            process.must_run()?;
            if begun.elapsed() > PLUG_LIMIT {
                let last = "it is the node's still".to_owned();
                return Err(Error::Timeout {
                    what: format!("a network for {}", self.name),
                    limit: PLUG_LIMIT,
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
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Command { command: script, output: said })
    }

    fn script(&self) -> String {
        let root = quoted(&self.root.display().to_string());
        let mut lines = vec![
            "set -e".to_owned(),
            "ip link set lo up".to_owned(),
            // The node plugs the other end of it into the bridge.
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
        lines.extend(self.copied(&root));
        let Command { brought, entry, args } = self.command;
        if let Some(program) = brought {
            let mount = Mount { source: program.clone(), place: entry.clone(), read_only: true };
            lines.push(mount.script(&root));
        }
        let folder = self.working_dir.map(|folder| format!("--chdir={}", quoted(folder)));
        let path = self.env.get("PATH").map(|path| format!("PATH={}", quoted(path)));
        let words = folder.into_iter().chain(path).chain([quoted(entry)]);
        let words: Vec<String> = words.chain(args.iter().map(|arg| quoted(arg))).collect();
        lines.push(format!("exec chroot {root} /usr/bin/env {}", words.join(" ")));
        lines.join("\n")
    }

    /// The copy with the volumes, those in it and all others; sealed, but for what the volumes themselves allow.
    fn copied(&self, root: &str) -> Vec<String> {
        // What may not be read here is not there either.
        let mut lines = vec![
            format!("mkdir {root}{COPIED}"),
            format!("cp -a {COPIED}/. {root}{COPIED} 2>/dev/null || :"),
        ];
        // Through a link a volume would be mounted elsewhere; here, before there is any, each link is the copy's own.
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
    /// Each place on the way from below `folder` to this one, outermost first: whoever takes links away reaches none through one.
    fn inside(&self, folder: &str) -> Vec<String> {
        let ancestors = Path::new(&self.place).ancestors();
        let below = ancestors.take_while(|place| place.starts_with(folder) && *place != Path::new(folder));
        let mut places: Vec<String> = below.map(|place| place.display().to_string()).collect();
        places.reverse();
        places
    }

    /// Mounts a folder on a folder or a file on a file.
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

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_on_the_way_to_a_volume_are_those_below_the_folder() {
        let mount = |place: &str| Mount { source: "/a".into(), place: place.into(), read_only: true };
        assert_eq!(mount("/etc/ssl/certs").inside("/etc"), ["/etc/ssl", "/etc/ssl/certs"]);
        for elsewhere in ["/etc", "/etc/", "/etcetera/a", "/dev/log"] {
            assert!(mount(elsewhere).inside("/etc").is_empty(), "{elsewhere}");
        }
    }

    #[test]
    fn a_quote_stays_inside_of_its_word() {
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
