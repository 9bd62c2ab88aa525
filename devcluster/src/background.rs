//! What goes on beside the tests, whatever runtime they are on and whether they drive it or not.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};

use crate::{Error, Result};

/// A thread of one's own for tasks that end with it.
#[derive(Debug)]
pub struct Background(Option<Runtime>);

impl Background {
    /// Starts the thread.
    pub fn start() -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|source| Error::Start { program: "a thread".into(), source })?;
        Ok(Self(Some(runtime)))
    }

    /// Runs a task on it until this value is dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.spawn(task);
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Dropping a runtime waits, which no async caller may.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
