//! Why the process ends, and with which exit code: 2 where only a person can change it, 1 where it may pass by
//! itself or where what was checked is not in order.

use std::fmt;
use std::process::ExitCode;

/// One sentence with its cure, and the exit code.
#[derive(Debug)]
pub struct Failure {
    sentence: String,
    code: u8,
}

impl Failure {
    /// A bad flag, a missing file, no cluster named: trying again changes nothing.
    pub fn lasting(sentence: impl fmt::Display) -> Self {
        Self { sentence: sentence.to_string(), code: 2 }
    }

    /// What a later try may not meet again, such as a port in use.
    pub fn passing(sentence: impl fmt::Display) -> Self {
        Self { sentence: sentence.to_string(), code: 1 }
    }

    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.sentence)
    }
}
