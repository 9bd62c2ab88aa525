//! The addresses on which the servers listen by default, in network namespaces with IPv4 alone, with
//! IPv6 alone, and with a node's own default for IPv6 sockets.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{BINARY, KUBECONFIG, Outcome, operator};

/// Set in the environment of a test that runs inside of its namespace.
const INSIDE: &str = "KCG_TEST_NETWORK";
const SOON: Duration = Duration::from_secs(30);

const IPV4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const IPV6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

#[test]
fn the_servers_are_reached_without_an_ipv4_address() -> Outcome {
    let name = "listening::the_servers_are_reached_without_an_ipv4_address";
    within(name, "ip -4 address flush dev lo", || {
        assert!(TcpStream::connect((IPV4, 8080)).is_err());
        servers_are_reached_at(&[IPV6])
    })
}

#[test]
fn the_servers_are_reached_with_ipv6_disabled() -> Outcome {
    let name = "listening::the_servers_are_reached_with_ipv6_disabled";
    let setup = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";
    within(name, setup, || servers_are_reached_at(&[IPV4]))
}

#[test]
fn the_servers_are_reached_by_both_whatever_the_nodes_default_is() -> Outcome {
    let name = "listening::the_servers_are_reached_by_both_whatever_the_nodes_default_is";
    within(name, "echo 1 > /proc/sys/net/ipv6/bindv6only", || servers_are_reached_at(&[IPV4, IPV6]))
}

#[test]
fn an_address_of_0_serves_nothing() -> Outcome {
    within("listening::an_address_of_0_serves_nothing", "true", || {
        let folder = tempfile::tempdir()?;
        for subcommand in ["controller", "webhook"] {
            for (flag, silent, served, path) in [
                ("--metrics-bind-address=0", 8080, 8081, "/healthz"),
                ("--health-probe-bind-address=0", 8081, 8080, "/metrics"),
            ] {
                let mut server = start(folder.path(), &[subcommand, flag])?;
                let answer = server.get((IPV4, served).into(), path)?;
                assert!(answer.starts_with("HTTP/1.1 200 "), "{flag}: {answer}");
                // Both ports are opened before either is served.
                assert!(TcpStream::connect((IPV4, silent)).is_err(), "{subcommand} {flag}");
            }
        }
        Ok(())
    })
}

/// The first line of /readyz about the file of defaults that `is_wanted`.
fn defaults_line(server: &mut Server, is_wanted: impl Fn(Option<&str>) -> bool) -> Outcome<String> {
    let began = Instant::now();
    loop {
        let answer = server.get((IPV4, 8081).into(), "/readyz")?;
        assert!(answer.starts_with("HTTP/1.1 503 "), "there is no cluster: {answer}");
        let line = answer.lines().find(|line| line.starts_with("defaults: "));
        if is_wanted(line) {
            return Ok(line.unwrap_or_default().to_owned());
        }
        assert!(began.elapsed() < SOON, "{answer}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_controller_waits_for_a_file_of_defaults_that_it_can_use() -> Outcome {
    within("listening::a_controller_waits_for_a_file_of_defaults_that_it_can_use", "true", || {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("defaults.yaml");
        let path = file.display().to_string();
        let mut server = start(folder.path(), &["controller", "--defaults", &path])?;
        for (text, start) in [
            (None, format!("defaults: cannot read {path}: ")),
            (Some("metrics:\n  intervall: 30s\n"), format!("defaults: {path}: line 2: ")),
            (
                Some("metrics: {interval: soon}"),
                format!("defaults: {path}: line 1: metrics.interval: Invalid value: \"soon\""),
            ),
        ] {
            text.map_or(Ok(()), |text| std::fs::write(&file, text))?;
            let line = defaults_line(&mut server, |line| line.is_some_and(|line| line.starts_with(&start)))?;
            assert!(line.contains("doctor --defaults FILE checks it"), "{line}");
        }
        std::fs::write(&file, "metrics: {interval: 30s}")?;
        defaults_line(&mut server, |line| line.is_none())?;
        Ok(())
    })
}

/// Starts a server of the operator, without a cluster.
fn start(folder: &Path, arguments: &[&str]) -> Outcome<Server> {
    let kubeconfig = folder.join("config");
    std::fs::write(&kubeconfig, KUBECONFIG)?;
    let mut command = operator();
    command.args(arguments).arg("--kubeconfig").arg(&kubeconfig).stderr(Stdio::null());
    Ok(Server(command.spawn()?))
}

/// Runs the test again in a new network namespace, after the setup, where it calls `body`.
fn within(test: &str, setup: &str, body: impl FnOnce() -> Outcome) -> Outcome {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let mut unshare = Command::new("unshare");
    unshare.arg("--net");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let script = format!("ip link set lo up && {setup} && exec \"$0\" \"$@\"");
    unshare.args(["sh", "-c", &script]).arg(std::env::current_exe()?).args(["--exact", test, "--nocapture"]);
    let output = unshare.env(INSIDE, "1").env("KCG_OPERATOR_BIN", *BINARY).output()?;
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    let needs = if text.contains("unshare: ") {
        "it needs root, or the right to create user namespaces: "
    } else {
        ""
    };
    assert!(output.status.success() && text.contains("1 passed"), "{needs}{text}");
    Ok(())
}

/// Starts each server with its default addresses, and connects to its ports.
fn servers_are_reached_at(hosts: &[IpAddr]) -> Outcome {
    let folder = tempfile::tempdir()?;
    for (subcommand, ports) in [("controller", &[8080, 8081][..]), ("webhook", &[8080, 8081, 8443])] {
        let mut server = start(folder.path(), &[subcommand])?;
        for address in hosts.iter().flat_map(|host| ports.iter().map(|port| SocketAddr::new(*host, *port))) {
            let (path, found) = match address.port() {
                8080 => ("/metrics", "kconsumer_group_operator_build_info"),
                8081 => ("/healthz", "ok\n"),
                _ => {
                    server.connect(address)?;
                    continue;
                }
            };
            let answer = server.get(address, path)?;
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(found), "{address}: {answer}");
        }
    }
    Ok(())
}

/// A process that is killed on drop.
struct Server(Child);

impl Server {
    fn get(&mut self, address: SocketAddr, path: &str) -> Outcome<String> {
        let mut stream = self.connect(address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn connect(&mut self, address: SocketAddr) -> Outcome<TcpStream> {
        let began = Instant::now();
        loop {
            match TcpStream::connect(address) {
                Ok(stream) => return Ok(stream),
                Err(error) if began.elapsed() > SOON => return Err(format!("{address}: {error}").into()),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
            assert_eq!(self.0.try_wait()?, None, "it runs");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
