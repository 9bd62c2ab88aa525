//! The crate's error type. There is one enum because every caller handles all errors in the same
//! way: it prints them.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What failed, on which file, program or object, and what to do about it if there is a fix.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operation on a file or folder failed.
    #[error("{action} {path}")]
    File {
        /// The verb, for example `read`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("start {program}")]
    Start {
        /// The program's path or name.
        program: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A signal could not be sent.
    #[error("signal {program}")]
    Signal {
        /// The program's name.
        program: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A program exited that has to keep running.
    #[error("{program} exited ({status}). The last lines of its log:\n{log}")]
    Ended {
        /// The program's name.
        program: String,
        /// The exit status or the signal.
        status: String,
        /// The last lines of the log.
        log: String,
    },
    /// A condition was not met in time.
    #[error("timed out after {limit:?} waiting for {what}: {last}")]
    Timeout {
        /// The condition.
        what: String,
        /// The timeout.
        limit: Duration,
        /// The last observed state.
        last: String,
    },
    /// A command exited with an error.
    #[error("{command} failed:\n{output}")]
    Command {
        /// The command as a user would type it.
        command: String,
        /// Its output.
        output: String,
    },
    /// A requirement is not met. The text names it and explains how to provide it.
    #[error("{0}")]
    Missing(String),
    /// A request to the API server failed.
    #[error("{action}")]
    Kube {
        /// The request, for example `get node node-1`.
        action: String,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// A request to another server failed.
    #[error("{action}")]
    Client {
        /// The request.
        action: String,
        /// The client's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A certificate could not be created or loaded.
    #[error("create or load a certificate: {0}")]
    Certificate(String),
    /// A text is not valid YAML or JSON, or not of the expected shape.
    #[error("parse {what}: {reason}")]
    Parse {
        /// The source of the text.
        what: String,
        /// The parser's error.
        reason: String,
    },
}

impl Error {
    /// Returns a closure for `map_err` on a file operation.
    pub fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// Returns a closure for `map_err` on a request to the API server.
    pub fn kube(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Kube { action, source: Box::new(source) }
    }

    /// Returns a closure for `map_err` on a request to another server.
    pub fn client<E>(action: impl Into<String>) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let action = action.into();
        move |source| Self::Client { action, source: Box::new(source) }
    }
}
