//! Ctrl-C and the polite kill, which both mean: tidy up and end.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{Error, Result};

/// Which of the two came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// SIGINT, which a terminal sends to all its foreground processes.
    CtrlC,
    /// SIGTERM, which reaches one process.
    Kill,
}

/// Listens for both from its creation on: from then on neither ends the process by itself.
#[derive(Debug)]
pub struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Begins to listen.
    pub fn listen() -> Result<Self> {
        let listen =
            |kind| signal(kind).map_err(|source| Error::Signal { program: "this process".into(), source });
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.interrupt.recv() => Interrupt::CtrlC,
            _ = self.terminate.recv() => Interrupt::Kill,
        }
    }

    /// The work's outcome, or nothing where it was interrupted; all that it had started is dropped then.
    pub async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            outcome = work => Some(outcome),
            _ = self.next() => None,
        }
    }
}
