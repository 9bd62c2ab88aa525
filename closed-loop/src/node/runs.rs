//! The runs of all containers, ended ones included: their logs and their processes.

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kcg_devcluster::Process;
use kube::ResourceExt;
use parking_lot::Mutex;

/// One run of a container.
#[derive(Debug)]
pub struct Run {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
    pub(super) process: Process,
    ended: Mutex<bool>,
}

impl Run {
    /// The program's process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        (!*self.ended.lock()).then(|| self.process.pid())
    }

    /// The file with its output.
    pub fn log(&self) -> PathBuf {
        self.process.log_path().to_owned()
    }

    /// Kills it as a crash would (SIGKILL).
    pub fn kill(&self) {
        self.process.kill();
    }

    pub(super) fn finish(&self) {
        *self.ended.lock() = true;
    }
}

/// All runs so far.
#[derive(Debug, Default)]
pub(super) struct Runs(Mutex<Vec<Arc<Run>>>);

impl Runs {
    /// Adds a run that has just started.
    pub(super) fn add(&self, pod: &Pod, container: &str, process: Process) -> Arc<Run> {
        let run = Arc::new(Run {
            namespace: pod.namespace().unwrap_or_default(),
            pod: pod.name_any(),
            container: container.to_owned(),
            process,
            ended: Mutex::new(false),
        });
        self.0.lock().push(Arc::clone(&run));
        run
    }

    /// All runs, in the order of their starts.
    pub(super) fn all(&self) -> Vec<Arc<Run>> {
        self.0.lock().clone()
    }
}
