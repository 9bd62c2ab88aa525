//! docs/faults.md: it has every row, and each test that it names exists.

use std::collections::BTreeMap;
use std::path::Path;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// How many rows each part of the catalog has.
const PARTS: [(char, usize); 8] =
    [('A', 7), ('B', 10), ('C', 14), ('D', 10), ('E', 8), ('F', 6), ('W', 14), ('S', 7)];
const NOT_HELD: &str = "not held yet";
const PLANS: &str = "fault plans: `";

fn read(path: &str) -> std::io::Result<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path))
}

/// The rows of the catalog: number, and what holds it.
fn rows(page: &str) -> Vec<(String, String)> {
    let cells = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let [number, _, held] = cells.as_slice() else { return None };
        let (part, rest) = number.split_at_checked(1)?;
        let is_row = part.chars().all(|letter| letter.is_ascii_uppercase()) && rest.parse::<usize>().is_ok();
        is_row.then(|| ((*number).to_owned(), (*held).to_owned()))
    });
    cells.collect()
}

/// The texts in backticks, each file with the names that follow it.
fn named_tests(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut tests: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut file = None;
    for code in text.split('`').skip(1).step_by(2) {
        if Path::new(code).extension().is_some_and(|kind| kind == "rs") {
            file = Some(code);
            tests.entry(code).or_default();
        } else if let Some(file) = file.filter(|_| !code.contains([' ', '<', '-'])) {
            tests.entry(file).or_default().push(code);
        }
    }
    tests
}

fn is_test(source: &str, name: &str) -> bool {
    source.contains(&format!("fn {name}("))
}

#[test]
fn the_catalog_has_every_row_once_and_each_says_what_holds_it() -> Outcome {
    let rows = rows(&read("docs/faults.md")?);
    let numbers: Vec<&str> = rows.iter().map(|(number, _)| number.as_str()).collect();
    let wanted: Vec<String> = PARTS
        .into_iter()
        .flat_map(|(part, count)| (1..=count).map(move |row| format!("{part}{row}")))
        .collect();
    assert_eq!(numbers, wanted);
    for (number, held) in rows {
        let is_held = held.contains(PLANS) || !named_tests(&held).is_empty();
        assert_ne!(
            is_held,
            held == NOT_HELD,
            "row {number} is held by a test, or it says {NOT_HELD:?}: {held}"
        );
    }
    Ok(())
}

#[test]
fn each_test_that_the_catalog_names_exists() -> Outcome {
    let page = read("docs/faults.md")?;
    let (_, catalog) = page.split_once("## The catalog").ok_or("no catalog")?;
    let mut missing = Vec::new();
    for line in catalog.lines() {
        for (path, names) in named_tests(line) {
            let source = read(path)?;
            assert!(!names.is_empty(), "{path} without a test: {line}");
            missing.extend(names.into_iter().filter(|name| !is_test(&source, name)).map(|name| (path, name)));
        }
    }
    assert_eq!(
        missing.into_iter().map(|(path, name)| format!("{path}: {name}")).collect::<Vec<_>>(),
        [""; 0]
    );
    Ok(())
}

#[test]
fn a_test_that_does_not_exist_is_found() {
    let tests = named_tests("fault plans: `kill after`; `a/b.rs`: `one`, `two`; `c.rs`: `three`");
    assert_eq!(tests, [("a/b.rs", vec!["one", "two"]), ("c.rs", vec!["three"])].into());
    assert!(is_test("async fn one() {}", "one") && !is_test("fn one_more() {}", "one"));
}
