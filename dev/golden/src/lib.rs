//! Golden files: the expected text of a test, kept in a file of the repository.
//!
//! `UPDATE=1 cargo test` rewrites every golden file that differs. Every test that has one uses
//! [`compare`] or [`check`], so that this one variable renews them all.
#![warn(missing_docs, unreachable_pub)]

use std::fs;
use std::path::Path;

/// The variable that rewrites the files; any value but the empty one and `0` does.
pub const VARIABLE: &str = "UPDATE";

/// Unchanged lines shown before and after a difference.
const CONTEXT: usize = 3;

/// Whether golden files are rewritten.
pub fn is_updating() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty() && value != "0")
}

/// Compares a text with the file that holds it; with `UPDATE=1`, writes the file instead.
///
/// # Errors
/// The file's path and the lines that differ, or why the file could not be written. A missing file
/// counts as empty.
pub fn compare(file: &Path, rendered: &str) -> Result<(), String> {
    compare_or_write(file, rendered, is_updating())
}

fn compare_or_write(file: &Path, rendered: &str, write: bool) -> Result<(), String> {
    let golden = fs::read_to_string(file).unwrap_or_default();
    if golden == rendered {
        return Ok(());
    }
    if write {
        let folder = file.parent().map_or(Ok(()), fs::create_dir_all);
        return folder
            .and_then(|()| fs::write(file, rendered))
            .map_err(|error| format!("{}: {error}", file.display()));
    }
    Err(format!("{}:\n{}", file.display(), difference(&golden, rendered)))
}

/// Compares texts with their files and panics with all differences; see [`compare`].
///
/// # Panics
/// If a file differs and `UPDATE` is not set.
#[track_caller]
pub fn check<P: AsRef<Path>, T: AsRef<str>>(files: impl IntoIterator<Item = (P, T)>) {
    let differences: Vec<String> = files
        .into_iter()
        .filter_map(|(file, rendered)| compare(file.as_ref(), rendered.as_ref()).err())
        .collect();
    assert!(
        differences.is_empty(),
        "{} golden files differ ({VARIABLE}=1 rewrites them)\n{}",
        differences.len(),
        differences.concat()
    );
}

/// The lines in which two texts differ, with a few unchanged lines around them.
pub fn difference(golden: &str, rendered: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (golden.lines().collect(), rendered.lines().collect());
    let before = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let shorter = old.len().min(new.len()) - before;
    let after =
        old.iter().rev().zip(new.iter().rev()).take(shorter).take_while(|(old, new)| old == new).count();
    let marked = |mark: &str, lines: &[&str]| {
        let marked: Vec<String> = lines.iter().map(|line| format!("{mark}{line}\n")).collect();
        marked.concat()
    };
    let end = old.len() - after;
    [
        format!("@@ line {}\n", before + 1),
        marked(" ", &old[before.saturating_sub(CONTEXT)..before]),
        marked("-", &old[before..end]),
        marked("+", &new[before..new.len() - after]),
        marked(" ", &old[end..(end + CONTEXT).min(old.len())]),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_changed_and_a_little_around_it() {
        let golden = "a\nb\nc\nd\nold\ne\nf\ng\nh\n";
        let rendered = "a\nb\nc\nd\nnew\nnewer\ne\nf\ng\nh\n";
        assert_eq!(difference(golden, rendered), "@@ line 5\n b\n c\n d\n-old\n+new\n+newer\n e\n f\n g\n");
        assert_eq!(difference("a\n", "a\na\n"), "@@ line 2\n a\n+a\n");
    }

    #[test]
    fn a_missing_or_different_file_is_an_error_until_it_is_rewritten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("new/golden.txt");
        for text in ["first\n", "second\n"] {
            let error = compare_or_write(&file, text, false).expect_err("the file differs");
            assert!(error.contains(&format!("+{text}")), "{error}");
            assert_eq!(compare_or_write(&file, text, true), Ok(()));
            assert_eq!(compare_or_write(&file, text, false), Ok(()));
        }
    }
}
