//! A TCP load balancer in front of several webhooks, in place of a Service.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::background::Background;
use crate::port::Port;
use crate::{Error, Result};

/// Forwards each new connection to the next backend that accepts it. A change of the backends does
/// not affect existing connections, as with the endpoints of a Service.
#[derive(Debug)]
pub struct Balancer {
    backends: Arc<Mutex<Vec<SocketAddr>>>,
    _background: Background,
}

impl Balancer {
    /// Listens at `port`, without backends.
    pub(super) fn start(port: &Port) -> Result<Self> {
        let background = Background::start()?;
        let failed = |source| Error::Start { program: format!("a load balancer at port {port}"), source };
        let listener = std::net::TcpListener::bind(port.address()).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let backends = Arc::default();
        background.spawn(accept(listener, Arc::clone(&backends)));
        Ok(Self { backends, _background: background })
    }

    /// Sets the backends of new connections: the ready endpoints.
    pub fn route_to(&self, ports: &[&Port]) {
        *self.backends.lock() = ports.iter().map(|port| port.address()).collect();
    }
}

async fn accept(listener: std::net::TcpListener, backends: Arc<Mutex<Vec<SocketAddr>>>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut turn = 0_usize;
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        turn = turn.wrapping_add(1);
        let mut addresses = backends.lock().clone();
        if !addresses.is_empty() {
            let first = turn % addresses.len();
            addresses.rotate_left(first);
        }
        tokio::spawn(forward(client, addresses));
    }
}

/// Closes the connection if no backend accepts it.
async fn forward(mut client: TcpStream, addresses: Vec<SocketAddr>) {
    for address in addresses {
        let Ok(mut backend) = TcpStream::connect(address).await else { continue };
        // Both calls only reduce latency, so their errors are ignored.
        let _ = (client.set_nodelay(true), backend.set_nodelay(true));
        let _ = copy_bidirectional(&mut client, &mut backend).await;
        return;
    }
}
