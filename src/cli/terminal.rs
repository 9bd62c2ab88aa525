//! Standard output, standard error and the exit code.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use kcg_api::{escape, names};

/// Why the process ends: one sentence with its cure, and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    message: String,
    code: u8,
}

impl CliError {
    /// Exit code 2: a user must fix it, for example a bad flag or a missing kubeconfig.
    pub(super) fn permanent(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 2 }
    }

    /// Exit code 1: a retry may succeed, for example if a port was in use.
    pub(super) fn temporary(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    /// Prints it to standard error.
    pub fn print(&self) {
        print_error(&format!("{}: {self}", names::OPERATOR));
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// Writes text for people to standard output. What a terminal would obey is escaped.
pub(super) fn print_text(text: &str) -> Result<(), CliError> {
    print(&escape::lines(text))
}

/// Writes a JSON document to standard output, with the same escapes.
pub(super) fn print_json(document: &str) -> Result<(), CliError> {
    print(&escape::json(document))
}

/// Writes data to standard output as it is. A closed pipe is not an error, as for `cat`.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::temporary(format_args!("write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a message to standard error. What a terminal would obey is escaped. Errors are ignored:
/// there is nowhere left to report them.
pub(super) fn print_error(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", escape::lines(message));
}
