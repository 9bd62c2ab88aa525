//! Stops, restarts, pauses and awaits the API server of a running control plane.

use kube::Client;

use super::{ControlPlane, START_LIMIT};
use crate::process::Process;
use crate::{Result, wait};

impl ControlPlane {
    /// Kills the API server, as a crash would. Its port stays reserved, and etcd keeps its data.
    pub fn stop_apiserver(&self) {
        drop(self.running.apiserver.lock().take());
    }

    /// Starts the API server after [`Self::stop_apiserver`] and waits until it is ready.
    pub async fn start_apiserver(&self) -> Result<()> {
        let started = self.launcher().apiserver(
            &self.api_port,
            &self.etcd_port,
            self.audit_log.as_deref(),
            self.admission_configuration.as_deref(),
            self.network,
        )?;
        *self.running.apiserver.lock() = Some(started);
        self.wait_ready().await
    }

    /// Kills the API server, starts it again at the same port, and waits until it is ready.
    pub async fn restart_apiserver(&self) -> Result<()> {
        self.stop_apiserver();
        self.start_apiserver().await
    }

    /// Pauses the API server (SIGSTOP): connections stay open, but requests get no response.
    pub fn pause_apiserver(&self) -> Result<()> {
        self.running.apiserver.lock().as_ref().map_or(Ok(()), Process::pause)
    }

    /// Resumes the API server (SIGCONT) after [`Self::pause_apiserver`].
    pub fn resume_apiserver(&self) -> Result<()> {
        self.running.apiserver.lock().as_ref().map_or(Ok(()), Process::resume)
    }

    /// Waits until /readyz of the API server returns 200.
    pub async fn wait_ready(&self) -> Result<()> {
        let client = self.client().await?;
        wait::until("the API server to be ready", START_LIMIT, async || {
            self.running.etcd.as_ref().map_or(Ok(()), Process::must_run)?;
            self.running.apiserver.lock().as_ref().map_or(Ok(()), Process::must_run)?;
            Ok(readyz(&client).await)
        })
        .await
    }
}

async fn readyz(client: &Client) -> Result<(), String> {
    let request = http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
    client.request_text(request).await.map(drop).map_err(|error| error.to_string())
}
