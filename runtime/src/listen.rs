//! Listening sockets that accept IPv4 and IPv6, whatever of both the machine has.

use std::{fmt, io, net::Ipv4Addr, net::Ipv6Addr, net::SocketAddr, str::FromStr};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::TcpListener;

/// Connections that the kernel completes before the process accepts them.
const BACKLOG: i32 = 1024;

/// An address to listen on: `HOST:PORT`, or `:PORT` for every address of the machine.
///
/// `:PORT` and `[::]:PORT` are the same. They accept IPv4 as well, whatever the sysctl
/// `net.ipv6.bindv6only` says, and they are `0.0.0.0:PORT` on a kernel without IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindAddress(SocketAddr);

/// The text is not an address to listen on.
#[derive(Debug, Error)]
#[error("use :PORT for all addresses, or ADDRESS:PORT, for example :8080, 127.0.0.1:8080 or [::1]:8080")]
pub struct BindAddressError;

impl FromStr for BindAddress {
    type Err = BindAddressError;

    fn from_str(text: &str) -> Result<Self, BindAddressError> {
        let address = match text.strip_prefix(':') {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().ok().map(|port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
            }
            Some(_) => None,
            None => text.parse().ok(),
        };
        address.map(Self).ok_or(BindAddressError)
    }
}

impl From<SocketAddr> for BindAddress {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl BindAddress {
    /// Whether two listeners cannot have these addresses at once. Port 0 is any free port.
    pub fn overlaps(self, other: Self) -> bool {
        let (a, b) = (self.0, other.0);
        let covers = |every: SocketAddr, one: SocketAddr| {
            every.ip().is_unspecified() && (every.is_ipv6() || one.is_ipv4())
        };
        a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || covers(a, b) || covers(b, a))
    }

    /// The same port on every IPv4 address, if this is every address of the machine.
    fn without_ipv6(self) -> Option<SocketAddr> {
        let every = self.0.ip() == Ipv6Addr::UNSPECIFIED;
        every.then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.0.port())))
    }
}

/// Why the process cannot listen: the address is in use, or not an address of this machine.
#[derive(Debug, Error)]
#[error(
    "listen on {address} for {purpose}: {source}; choose another address, or stop the process that uses it"
)]
pub struct ListenError {
    address: BindAddress,
    purpose: &'static str,
    source: io::Error,
}

/// Listens on the address. `purpose` completes the sentence "listen on ADDRESS for ...".
///
/// # Panics
/// Outside of a tokio runtime.
pub fn listen(address: BindAddress, purpose: &'static str) -> Result<TcpListener, ListenError> {
    let opened = match (open(address.0), address.without_ipv6()) {
        (Err(error), Some(ipv4)) if is_without_ipv6(&error) => open(ipv4),
        (opened, _) => opened,
    };
    opened.map_err(|source| ListenError { address, purpose, source })
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    // A restarted process can listen while connections of the earlier one are closing.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Whether the error means that the kernel has no IPv6: it was built or booted without it
/// (`ipv6.disable=1`), or the sysctl `disable_ipv6` has removed its addresses.
fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_every_address() {
        let parsed = |text: &str| text.parse::<BindAddress>().map(|address| address.to_string()).ok();
        assert_eq!(parsed(":8080").as_deref(), Some("[::]:8080"));
        assert_eq!(parsed("[::]:8080").as_deref(), Some("[::]:8080"));
        assert_eq!(parsed("0.0.0.0:8080").as_deref(), Some("0.0.0.0:8080"));
        assert_eq!(parsed("[::1]:0").as_deref(), Some("[::1]:0"));
        for text in ["", ":", "8080", ":+1", ":65536", ":http", "localhost:8080", "::8080", "1.2.3.4"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn every_address_overlaps_with_each_of_the_same_port() {
        let overlaps = |a: &str, b: &str| {
            let [a, b] = [a, b].map(|text| text.parse::<BindAddress>().unwrap());
            assert_eq!(a.overlaps(b), b.overlaps(a), "{a} {b}");
            a.overlaps(b)
        };
        assert!(overlaps(":8080", ":8080") && overlaps(":8080", "127.0.0.1:8080"));
        assert!(overlaps("0.0.0.0:8080", "127.0.0.1:8080") && overlaps("[::1]:8080", "[::1]:8080"));
        assert!(!overlaps(":8080", ":8081") && !overlaps(":0", ":0"));
        assert!(!overlaps("127.0.0.1:8080", "127.0.0.2:8080") && !overlaps("0.0.0.0:8080", "[::1]:8080"));
    }

    #[test]
    fn only_every_address_falls_back_to_ipv4_and_only_without_ipv6() {
        let fallback = |text: &str| text.parse::<BindAddress>().unwrap().without_ipv6();
        assert_eq!(fallback(":8080"), Some("0.0.0.0:8080".parse().unwrap()));
        assert_eq!(fallback("[::1]:8080"), None);
        assert_eq!(fallback("0.0.0.0:8080"), None);
        let is_without = |errno: Errno| is_without_ipv6(&errno.into());
        assert!(is_without(Errno::AFNOSUPPORT) && is_without(Errno::ADDRNOTAVAIL));
        assert!(!is_without(Errno::ADDRINUSE) && !is_without(Errno::ACCESS));
    }

    #[tokio::test]
    async fn an_address_in_use_is_reported_with_a_cure() {
        let first = listen("127.0.0.1:0".parse().unwrap(), "metrics").unwrap();
        let address = first.local_addr().unwrap();
        let error = listen(address.into(), "metrics").unwrap_err().to_string();
        assert!(error.starts_with(&format!("listen on {address} for metrics: ")), "{error}");
        assert!(error.ends_with("choose another address, or stop the process that uses it"), "{error}");
    }
}
