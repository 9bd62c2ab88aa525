//! A TCP port on 127.0.0.1 that is ours alone among all the clusters on this computer.

use std::fmt;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::{Error, Result, cache};

/// Below the range from which systems take the ports of outgoing connections, so that a stopped server's port
/// is still free when it starts again.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port that no other cluster of this user takes while this value lives. It is not bound: a server of ours
/// binds it, stops, and binds it again.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Its lock ends with this process, however that ends.
    _lock: File,
}

impl Port {
    /// Takes a free one.
    pub fn take() -> Result<Self> {
        let folder = cache::folder()?.join("ports");
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
            "no port of {FIRST}..{} is free on 127.0.0.1: end some of the programs that listen there (ss --listening \
             --tcp --processes)",
            FIRST + COUNT
        )))
    }

    /// Its number.
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
