//! A cluster that is reached through an HTTP proxy, as kubectl reaches it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::{Outcome, operator};

/// How long doctor may take to connect.
const LIMIT: Duration = Duration::from_secs(30);

fn kubeconfig(proxy: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
        users: [{{name: u, user: {{}}}}], clusters: [{{name: c, cluster: {{server: 'https://cluster.test:6443'{proxy}}}}}]}}"
    )
}

/// The first line that a proxy receives from doctor.
fn received(proxy_url: bool, variable: bool) -> Outcome<String> {
    let proxy = TcpListener::bind("127.0.0.1:0")?;
    proxy.set_nonblocking(true)?;
    let url = format!("http://{}", proxy.local_addr()?);
    let file = tempfile::NamedTempFile::new()?;
    let named = if proxy_url { format!(", proxy-url: '{url}'") } else { String::new() };
    std::fs::write(file.path(), kubeconfig(&named))?;
    let mut doctor = operator();
    doctor.args(["doctor", "--kubeconfig"]).arg(file.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    if variable {
        doctor.env("HTTPS_PROXY", &url);
    }
    let mut doctor = doctor.spawn()?;
    let began = Instant::now();
    let connection = loop {
        match proxy.accept() {
            Ok((connection, _)) => break connection,
            Err(error) if began.elapsed() > LIMIT => return Err(error.into()),
            Err(_) if doctor.try_wait()?.is_some() => {
                let output = doctor.wait_with_output()?;
                return Err(String::from_utf8_lossy(&output.stderr).into());
            }
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    connection.set_nonblocking(false)?;
    connection.set_read_timeout(Some(LIMIT))?;
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line)?;
    doctor.kill()?;
    doctor.wait()?;
    Ok(line)
}

#[test]
fn the_proxy_url_of_a_kubeconfig_and_the_proxy_of_the_environment_are_used() -> Outcome {
    for (proxy_url, variable) in [(true, false), (false, true)] {
        assert_eq!(received(proxy_url, variable)?, "CONNECT cluster.test:6443 HTTP/1.1\r\n");
    }
    Ok(())
}
