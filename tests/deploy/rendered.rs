//! The files in deploy/ that the code renders.

use kconsumer_group_operator::deploy::chart::{COPIED, FILES};
use kconsumer_group_operator::deploy::files;

use crate::kustomize::deploy;

/// Lines shown around a difference.
const CONTEXT: usize = 3;

#[test]
fn deploy_is_what_the_code_renders() {
    let mut differences = String::new();
    for file in files() {
        differences += &compared(file.path, &file.text().unwrap()).unwrap();
    }
    // After the rendered ones, since some of those are copied.
    for copied in COPIED {
        let original = std::fs::read_to_string(deploy(copied.from)).unwrap();
        differences += &compared(&format!("{FILES}/{}", copied.to), &copied.text(&original)).unwrap();
    }
    assert!(
        differences.is_empty(),
        "deploy/ is not what the code renders; UPDATE_DEPLOY=1 cargo test --locked --test deploy rewrites it\n{differences}"
    );
}

/// What a file below deploy/ lacks to be the text that it should be; rewritten on demand.
fn compared(path: &str, rendered: &str) -> std::io::Result<String> {
    let shipped = std::fs::read_to_string(deploy(path)).unwrap_or_default();
    if std::env::var_os("UPDATE_DEPLOY").is_some() {
        if let Some(folder) = deploy(path).parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(deploy(path), rendered)?;
        return Ok(String::new());
    }
    if shipped == rendered {
        return Ok(String::new());
    }
    Ok(format!("deploy/{path}:\n{}", difference(&shipped, rendered)))
}

/// The part in which two texts differ, with a little around it.
fn difference(shipped: &str, rendered: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (shipped.lines().collect(), rendered.lines().collect());
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

#[test]
fn a_difference_shows_what_changed_and_a_little_around_it() {
    let shipped = "a\nb\nc\nd\nold\ne\nf\ng\nh\n";
    let rendered = "a\nb\nc\nd\nnew\nnewer\ne\nf\ng\nh\n";
    assert_eq!(difference(shipped, rendered), "@@ line 5\n b\n c\n d\n-old\n+new\n+newer\n e\n f\n g\n");
    assert_eq!(difference("a\n", "a\na\n"), "@@ line 2\n a\n+a\n");
}
