//! Standard output that may be a pipe: whoever reads it may have read enough.

use std::io::{self, Write as _};

use super::Failure;

/// Prints the text. A reader that has gone away ends it without complaint, as it ends `cat`.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::passing(format_args!("write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints one line for a person. Nobody may be listening.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
