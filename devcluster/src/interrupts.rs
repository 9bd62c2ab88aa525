//! SIGINT and SIGTERM, which both ask this process to clean up and exit.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{Error, Result};

/// The signal that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// SIGINT, which a terminal sends to all its foreground processes.
    CtrlC,
    /// SIGTERM, which is sent to a single process.
    Terminate,
}

/// A listener for both signals. While it exists, neither ends the process.
#[derive(Debug)]
pub struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Starts listening.
    pub fn listen() -> Result<Self> {
        let listen =
            |kind| signal(kind).map_err(|source| Error::Signal { program: "this process".into(), source });
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.interrupt.recv() => Interrupt::CtrlC,
            _ = self.terminate.recv() => Interrupt::Terminate,
        }
    }

    /// Runs `work` and returns its result, or `None` if a signal arrives first. In that case `work`
    /// is dropped.
    pub async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            outcome = work => Some(outcome),
            _ = self.next() => None,
        }
    }
}
