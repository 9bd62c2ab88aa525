//! Finds a Java that is new enough for Kafka. Otherwise the error is one sentence with the cure.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Result};

/// The oldest Java that the pinned jars run on.
const OLDEST: u32 = 17;
const CURE: &str =
    "install one (for Debian: apt install default-jre-headless), or set JAVA_HOME to its folder";

/// The `java` in JAVA_HOME, or else in the PATH.
pub(crate) fn find() -> Result<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty());
    let java = home.map_or_else(|| "java".into(), |home| Path::new(&home).join("bin/java"));
    check(java)
}

fn check(java: PathBuf) -> Result<PathBuf> {
    let wanted = format!("Kafka runs on Java {OLDEST} or newer");
    let name = java.display();
    let output = Command::new(&java).arg("-version").output().map_err(|error| {
        Error::Missing(format!("{wanted}, and `{name}` does not work here ({error}): {CURE}"))
    })?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    match major(&text) {
        Some(version) if version >= OLDEST => Ok(java),
        Some(version) => {
            Err(Error::Missing(format!("{wanted}, and `{name}` here is Java {version}: {CURE}")))
        }
        None => {
            let line = text.lines().next().unwrap_or("nothing");
            Err(Error::Missing(format!("{wanted}, and `{name}` does not print its version ({line}): {CURE}")))
        }
    }
}

/// 17 of `openjdk version "17.0.15" 2025-04-15`, 8 of the old `java version "1.8.0_432"`. Other
/// lines may precede it.
fn major(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("version \"")?;
    let version = version.strip_prefix("1.").unwrap_or(version);
    let digits = version.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error for a `java` that prints `version`, or for a missing one.
    fn complaint(version: Option<&str>) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let java = folder.path().join("java");
        if let Some(version) = version {
            // Written by another process: a process that a parallel test starts at that moment
            // would inherit the open file, and a script that is open for writing cannot be run.
            let write = r#"printf '#!/bin/sh\necho '\''%s'\'' >&2\n' "$1" > "$0" && chmod 755 "$0""#;
            let written = Command::new("/bin/sh").arg("-c").arg(write).arg(&java).arg(version).status();
            assert!(written.is_ok_and(|status| status.success()), "a script");
        }
        check(java).expect_err("this Java is unsuitable").to_string()
    }

    #[test]
    fn a_missing_or_old_java_is_reported_in_one_sentence_with_the_cure() {
        let old = "java version \"1.8.0_432\"";
        for (version, reason) in [
            (None, "does not work here (No such file or directory"),
            (Some(old), "here is Java 8: "),
            (Some("openjdk version \"11.0.2\" 2019-01-15"), "here is Java 11: "),
            (Some("what?"), "does not print its version (what?): "),
        ] {
            let complaint = complaint(version);
            assert!(complaint.starts_with("Kafka runs on Java 17 or newer, and "), "{complaint}");
            assert!(complaint.contains(reason) && complaint.ends_with(CURE), "{complaint}");
            assert_eq!(complaint.lines().count(), 1);
        }
    }

    #[test]
    fn the_version_is_found_after_other_lines() {
        let text = "Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version \"25\" 2025-09-16\n";
        assert_eq!(major(text), Some(25));
    }
}
