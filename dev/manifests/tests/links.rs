//! The links of every Markdown file: a relative link names a file of the repository, and its anchor
//! a heading; a path in backticks exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The Markdown files of the repository, relative to its root.
fn pages(folder: &Path, found: &mut BTreeSet<PathBuf>) -> Outcome {
    for entry in std::fs::read_dir(root().join(folder))? {
        let entry = entry?;
        let name = entry.file_name();
        let path = folder.join(&name);
        if entry.file_type()?.is_dir() {
            let is_left_out =
                name == "target" || (name.as_encoded_bytes().starts_with(b".") && name != ".github");
            if !is_left_out {
                pages(&path, found)?;
            }
        } else if path.extension().is_some_and(|kind| kind == "md") {
            found.insert(path);
        }
    }
    Ok(())
}

/// The lines outside of fenced code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Every second part of a line that is split at backticks, from the first or the second on.
fn parts(line: &str, is_code: bool) -> impl Iterator<Item = &str> {
    line.split('`').skip(usize::from(is_code)).step_by(2)
}

/// The targets of `[text](target)` outside of code.
fn links(text: &str) -> Vec<String> {
    let plain = |line: &str| {
        // The text of a link may be code, so only the code itself is removed.
        parts(line, false).collect::<Vec<_>>().join("code")
    };
    let targets = |line: &str| -> Vec<String> {
        let after = plain(line);
        let targets = after.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.map(|(target, _)| target.split(' ').next().unwrap_or_default().to_owned()).collect()
    };
    prose(text).flat_map(targets).collect()
}

/// The anchors of a page, as GitHub and Forgejo derive them from its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut count = BTreeMap::new();
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
            let slug: String = kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect();
            let number = count.entry(slug.clone()).or_insert(0);
            *number += 1;
            if *number == 1 { slug } else { format!("{slug}-{}", *number - 1) }
        })
        .collect()
}

/// A path without `.` and `..`, or nothing if it leaves the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => parts.pop().then_some(())?,
            Component::CurDir => {}
            other => parts.push(other),
        }
    }
    Some(parts)
}

/// Why a link of a page leads nowhere.
fn broken(page: &Path, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() {
        page.to_owned()
    } else {
        let folder = page.parent().unwrap_or(Path::new(""));
        match normal(&folder.join(path)) {
            Some(target) if root().join(&target).exists() => target,
            _ => return Some(format!("{}: {link}: no such file", page.display())),
        }
    };
    let anchor = anchor?;
    let text = std::fs::read_to_string(root().join(target)).unwrap_or_default();
    (!anchors(&text).contains(anchor)).then(|| format!("{}: {link}: no such heading", page.display()))
}

fn all_pages() -> Outcome<Vec<(PathBuf, String)>> {
    let mut found = BTreeSet::new();
    pages(Path::new(""), &mut found)?;
    assert!(found.len() > 10, "{found:?}");
    let read = |page: PathBuf| Ok((page.clone(), std::fs::read_to_string(root().join(page))?));
    found.into_iter().map(read).collect()
}

#[test]
fn every_relative_link_and_anchor_exists() -> Outcome {
    let mut wrong = Vec::new();
    for (page, text) in all_pages()? {
        wrong.extend(links(&text).iter().filter_map(|link| broken(&page, link)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Whether a piece of code is a path of the repository: it begins with a folder of its top level,
/// or is a file there.
fn is_path(code: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    let folders = [
        "api",
        "apps",
        "bench",
        "certs",
        "closed-loop",
        "core",
        "demo",
        "deploy",
        "dev",
        "devcluster",
        "docs",
        "runtime",
        "src",
        "tests",
        "webhook",
    ];
    code.split_once('/').is_some_and(|(top, _)| folders.contains(&top)) && code.chars().all(allowed)
}

#[test]
fn every_path_in_backticks_exists() -> Outcome {
    let mut wrong = Vec::new();
    for (page, text) in all_pages()? {
        // The changelog names what is gone.
        if page == Path::new("CHANGELOG.md") {
            continue;
        }
        for code in prose(&text).flat_map(|line| parts(line, true)).filter(|code| is_path(code)) {
            let relative = page.parent().unwrap_or(Path::new("")).join(code);
            if !root().join(code).exists() && !root().join(relative).exists() {
                wrong.push(format!("{}: `{code}`: no such file", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn links_are_found_outside_of_code_and_anchors_are_derived_from_headings() {
    let text = "# A `b`: c\nSee [one](x.md#y) and `[no](z)` and [`two`](u \"title\").\n```\n[no](w)\n# no\n```\n## A b c\n";
    assert_eq!(links(text), ["x.md#y", "u"]);
    let expected = ["a-b-c", "a-b-c-1"].map(str::to_owned);
    assert_eq!(anchors(text), expected.into());
}
