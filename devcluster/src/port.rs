//! Reserves TCP ports on 127.0.0.1 among all clusters on this computer.

use std::fmt;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::{Error, Result, tools};

/// Below the ephemeral port range, so that the port of a stopped server is still free when the
/// server restarts.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port that no other cluster of this user takes while this value exists. It is not bound, so a
/// server can bind it, stop, and bind it again.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// The system releases the lock when this process ends for any reason.
    _lock: File,
}

impl Port {
    /// Reserves a free port.
    pub fn take() -> Result<Self> {
        let folder = tools::cache_folder()?.join("ports");
        std::fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
        let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or_default();
        for offset in 0..COUNT {
            let number = FIRST + (start + offset) % COUNT;
            let path = folder.join(number.to_string());
            let lock = File::create(&path).map_err(Error::file("create", &path))?;
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self { number, _lock: lock });
            }
        }
        Err(Error::Missing(format!(
            "no port in {FIRST}..{} is free on 127.0.0.1. Stop some of the programs that listen there; \
             `ss --listening --tcp --processes` lists them",
            FIRST + COUNT
        )))
    }

    /// The port number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// 127.0.0.1 with this port.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}
