//! A TCP proxy to the API server that can close or stall its connections, while other clients are
//! not affected.

use std::path::{Path, PathBuf};

use kcg_tests::Outcome;
use kube::config::Kubeconfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bytes pass.
    Open,
    /// Connections stay open, but no bytes pass.
    Stalled,
    /// Connections are closed at once.
    Closed,
}

pub struct Proxy {
    mode: watch::Sender<Mode>,
    kubeconfig: PathBuf,
    _folder: tempfile::TempDir,
}

impl Proxy {
    /// A proxy to the server of `kubeconfig`.
    pub async fn to(kubeconfig: &Path) -> Outcome<Self> {
        let mut config = Kubeconfig::read_from(kubeconfig)?;
        let cluster =
            config.clusters.first_mut().and_then(|named| named.cluster.as_mut()).ok_or("no cluster")?;
        let server = cluster.server.clone().ok_or("no server")?;
        let target = server.strip_prefix("https://").ok_or("no https")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        cluster.server = Some(format!("https://{}", listener.local_addr()?));
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, serde_json::to_vec(&config)?)?;
        let (mode, watched) = watch::channel(Mode::Open);
        tokio::spawn(accept(listener, target, watched));
        Ok(Self { mode, kubeconfig: path, _folder: folder })
    }

    /// A kubeconfig with the proxy as its server.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn accept(listener: TcpListener, target: String, mode: watch::Receiver<Mode>) {
    while let Ok((near, _)) = listener.accept().await {
        let (target, mode) = (target.clone(), mode.clone());
        tokio::spawn(async move {
            let Ok(far) = TcpStream::connect(target).await else {
                return;
            };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::select! {
                () = pass(near_in, far_out, mode.clone()) => {}
                () = pass(far_in, near_out, mode.clone()) => {}
                () = until(mode, |mode| mode == Mode::Closed) => {}
            }
        });
    }
}

/// Forwards bytes while the proxy is open.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mode: watch::Receiver<Mode>) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else {
            return;
        };
        until(mode.clone(), |mode| mode == Mode::Open).await;
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

async fn until(mut mode: watch::Receiver<Mode>, wanted: impl Fn(Mode) -> bool) {
    // It fails only if the proxy was dropped, which ends the test.
    let _ = mode.wait_for(|mode| wanted(*mode)).await;
}
