//! Standard output, standard error and the exit code.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

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

    /// The process's exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// Writes the text to standard output. A closed pipe is not an error, as for `cat`.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::temporary(format_args!("write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes one line to standard error. Errors are ignored: there is nowhere left to report them.
pub(super) fn print_error(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
