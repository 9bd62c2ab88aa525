//! Background tasks that do not depend on the caller's async runtime.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};

use crate::{Error, Result};

/// A runtime with one worker thread. Dropping it cancels its tasks, so a test that blocks its own
/// runtime does not stop them.
#[derive(Debug)]
pub struct Background(Option<Runtime>);

impl Background {
    /// Starts the runtime.
    pub fn start() -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|source| Error::Start { program: "a thread".into(), source })?;
        Ok(Self(Some(runtime)))
    }

    /// Runs a task until this value is dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.spawn(task);
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Dropping a runtime blocks, which panics inside another runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
