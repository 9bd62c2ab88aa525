//! The modules of the pure crates use each other in one direction only, in the order that the crate's
//! lib.rs lists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn sources(package: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(package).join("src")
}

/// The modules in the order of the list in the text of lib.rs.
fn order(lib: &str) -> Option<Vec<&str>> {
    let list = lib.split("in this list: ").nth(1)?.split('.').next()?;
    Some(list.split('`').skip(1).step_by(2).collect())
}

/// The modules that the text of lib.rs declares, without those of tests.
fn declared(lib: &str) -> BTreeSet<&str> {
    let lib = lib.split("\nmod tests {").next().unwrap_or_default();
    let of_tests = lib.split("#[cfg(test)]\nmod ").skip(1).filter_map(|rest| rest.split(';').next());
    let of_tests: BTreeSet<&str> = of_tests.collect();
    let names = lib.lines().filter_map(|line| {
        let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    names.filter(|name| !of_tests.contains(name)).collect()
}

/// The code of a file, or of a folder's files, without tests and comments.
fn code(path: &Path) -> Outcome<String> {
    if path.is_dir() {
        let entries = path.read_dir()?.map(|entry| code(&entry?.path()));
        return entries.collect();
    }
    if path.ends_with("tests.rs") {
        return Ok(String::new());
    }
    let text = std::fs::read_to_string(path)?;
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    Ok(code.collect::<Vec<_>>().join("\n"))
}

/// The modules of the crate that the code names after `crate::`, also in braces.
fn used(code: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut used = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let braces = rest.strip_prefix('{').and_then(|list| list.split('}').next());
        for item in braces.unwrap_or(rest).split(", ") {
            used.extend(item.split(|c| !is_name(c)).next().filter(|name| !name.is_empty()));
            if braces.is_none() {
                break;
            }
        }
    }
    used
}

fn check(package: &str) -> Outcome {
    let folder = sources(package);
    let lib = std::fs::read_to_string(folder.join("lib.rs"))?;
    let order = order(&lib).ok_or("lib.rs has no list of its modules")?;
    assert_eq!(order.iter().copied().collect::<BTreeSet<_>>(), declared(&lib), "the list of {package}");
    for (index, module) in order.iter().enumerate() {
        let of_folder = folder.join(module);
        let path = if of_folder.is_dir() { of_folder } else { folder.join(format!("{module}.rs")) };
        let code = code(&path)?;
        let used = used(&code);
        let below: Vec<_> = order[index + 1..].iter().filter(|below| used.contains(**below)).collect();
        assert!(below.is_empty(), "{package}: {module} uses {below:?}, which the list has below it");
    }
    Ok(())
}

#[test]
fn each_module_of_api_uses_only_those_above_it_in_the_list() -> Outcome {
    check("api")
}

#[test]
fn each_module_of_core_uses_only_those_above_it_in_the_list() -> Outcome {
    check("core")
}
