//! What can go wrong while a control plane is built, started or asked. One enum for the crate: every
//! caller does the same with each of them, which is to print it.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A sentence that says what is wrong, where, and the cure where there is one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be used.
    #[error("{action} {path}")]
    File {
        /// The verb, as in `read`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("start {program}")]
    Start {
        /// Its path or name.
        program: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A program could not be signalled.
    #[error("signal {program}")]
    Signal {
        /// Its name.
        program: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A program ended although it should run on.
    #[error("{program} ended ({status}); the end of its log:\n{log}")]
    Ended {
        /// Its name.
        program: String,
        /// How it ended.
        status: String,
        /// The last lines that it wrote.
        log: String,
    },
    /// A condition was not met in time.
    #[error("{what} did not happen within {limit:?}: {last}")]
    Timeout {
        /// The condition.
        what: String,
        /// How long it was waited for.
        limit: Duration,
        /// What was seen last.
        last: String,
    },
    /// A command ran and failed.
    #[error("{command} failed:\n{output}")]
    Command {
        /// The command as a person would type it.
        command: String,
        /// What it printed.
        output: String,
    },
    /// Something a person has to provide is missing.
    #[error("{0}")]
    Missing(String),
    /// The API server refused or could not be reached.
    #[error("{action}")]
    Kube {
        /// What was asked of it.
        action: String,
        /// What it or the client said.
        #[source]
        source: Box<kube::Error>,
    },
    /// Another server than the API server refused or could not be reached.
    #[error("{action}")]
    Client {
        /// What was asked of it.
        action: String,
        /// The client's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A certificate could not be made or used.
    #[error("make the certificates: {0}")]
    Certificate(String),
    /// Text that should be YAML or JSON is not.
    #[error("parse {what}: {reason}")]
    Parse {
        /// Where the text came from.
        what: String,
        /// What the parser said.
        reason: String,
    },
}

impl Error {
    /// For `map_err` on a file operation.
    pub fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// For `map_err` on a request to the API server.
    pub fn kube(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Kube { action, source: Box::new(source) }
    }

    /// For `map_err` on a request to another server than the API server.
    pub fn client<E>(action: impl Into<String>) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let action = action.into();
        move |source| Self::Client { action, source: Box::new(source) }
    }
}
