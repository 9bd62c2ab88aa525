//! One address in front of several webhooks, as a Service is.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::background::Background;
use crate::mutex::lock;
use crate::port::Port;
use crate::{Error, Result};

/// Hands each new connection to the next backend that takes it. Connections that exist stay where they are, as those
/// of a Service do when its endpoints change.
#[derive(Debug)]
pub struct Balancer {
    backends: Arc<Mutex<Vec<SocketAddr>>>,
    _background: Background,
}

impl Balancer {
    /// Listens at `port`, with no backend yet.
    pub(super) fn start(port: &Port) -> Result<Self> {
        let background = Background::start()?;
        let unusable = |source| Error::Start { program: format!("a balancer at port {port}"), source };
        let listener = std::net::TcpListener::bind(port.address()).map_err(unusable)?;
        listener.set_nonblocking(true).map_err(unusable)?;
        let backends = Arc::default();
        background.spawn(accept(listener, Arc::clone(&backends)));
        Ok(Self { backends, _background: background })
    }

    /// The webhooks that new connections go to from now on: the ready endpoints.
    pub fn route_to(&self, ports: &[&Port]) {
        let addresses = ports.iter().map(|port| port.address()).collect();
        *lock(&self.backends) = addresses;
    }
}

async fn accept(listener: std::net::TcpListener, backends: Arc<Mutex<Vec<SocketAddr>>>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut turn = 0_usize;
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        turn = turn.wrapping_add(1);
        let mut addresses = lock(&backends).clone();
        if !addresses.is_empty() {
            let first = turn % addresses.len();
            addresses.rotate_left(first);
        }
        tokio::spawn(forward(client, addresses));
    }
}

/// A connection that no backend takes is closed.
async fn forward(mut client: TcpStream, addresses: Vec<SocketAddr>) {
    for address in addresses {
        let Ok(mut backend) = TcpStream::connect(address).await else { continue };
        // Both only make it quicker; an end of either side is the end of the other.
        let _ = (client.set_nodelay(true), backend.set_nodelay(true));
        let _ = copy_bidirectional(&mut client, &mut backend).await;
        return;
    }
}
