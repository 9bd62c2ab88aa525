//! A log that another process writes, read as it grows.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};

/// How far a log was read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tail(u64);

impl Tail {
    /// The whole lines that `log` has gained. One that is being written right now is left for later.
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
    fn a_log_is_read_as_it_grows_and_a_half_line_is_left_for_later() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("a.log");
        let mut tail = Tail::default();
        std::fs::write(&log, b"one\ntw\xc3")?;
        assert_eq!(tail.read(&log)?, "one\n");
        std::fs::write(&log, b"one\ntw\xc3\xb6\n")?;
        assert_eq!(tail.read(&log)?, "tw\u{f6}\n");
        assert_eq!(tail.read(&log)?, "");
        Ok(())
    }
}
