//! Reads a log of another process while it grows.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};

/// The position up to which a log was read.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogTail(u64);

impl LogTail {
    /// The complete lines that were added to `log`. A line that is still being written is left for
    /// the next call.
    pub fn read(&mut self, log: &Path) -> Result<String> {
        let mut text = Vec::new();
        File::open(log)
            .and_then(|mut file| {
                file.seek(SeekFrom::Start(self.0))?;
                file.read_to_end(&mut text)
            })
            .with_context(|| format!("read {}", log.display()))?;
        text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        self.0 += text.len() as u64;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growing_log_is_read_in_whole_lines() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("a.log");
        let mut tail = LogTail::default();
        std::fs::write(&log, b"one\ntw\xc3")?;
        assert_eq!(tail.read(&log)?, "one\n");
        std::fs::write(&log, b"one\ntw\xc3\xb6\n")?;
        assert_eq!(tail.read(&log)?, "tw\u{f6}\n");
        assert_eq!(tail.read(&log)?, "");
        Ok(())
    }
}
