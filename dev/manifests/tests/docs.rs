//! The pages of docs/ that follow from the code.

use std::path::{Path, PathBuf};

use kcg_api::condition::{ConditionType, Reason};
use kcg_manifests::{custom_resource_definition, resource_page};

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[test]
fn the_resource_page_matches_the_schema() {
    kcg_golden::check([(file("docs/resource.md"), resource_page::render(&custom_resource_definition()))]);
}

#[test]
fn troubleshooting_explains_every_condition_and_every_reason_that_needs_a_cure()
-> Result<(), Box<dyn std::error::Error>> {
    let page = std::fs::read_to_string(file("docs/troubleshooting.md"))?;
    let healthy = [
        Reason::Reconciled,
        Reason::RolloutComplete,
        Reason::NotStalled,
        Reason::Resolved,
        Reason::MetricsRead,
        Reason::Accepted,
        Reason::RoomToScale,
        Reason::Running,
    ];
    let reasons = Reason::ALL.iter().filter(|reason| !healthy.contains(reason)).map(|reason| reason.as_str());
    for name in ConditionType::ALL.iter().map(|type_| type_.as_str()).chain(reasons) {
        assert!(page.contains(&format!("`{name}`")), "docs/troubleshooting.md does not explain {name}");
    }
    Ok(())
}

/// The Rust sources below a folder, as one text.
fn sources(folder: &Path, text: &mut String) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, text)?;
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            text.push_str(&std::fs::read_to_string(path)?);
        }
    }
    Ok(())
}

#[test]
fn the_tests_that_the_security_page_names_exist() -> Result<(), Box<dyn std::error::Error>> {
    let page = std::fs::read_to_string(file("docs/security.md"))?;
    let mut code = String::new();
    for folder in ["api", "certs", "core", "dev", "runtime", "src", "tests", "webhook"] {
        sources(&file(folder), &mut code)?;
    }
    // The name of a test is a sentence.
    let is_test = |word: &&str| {
        word.matches('_').count() >= 3 && !word.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_')
    };
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(is_test).collect();
    assert!(named.len() > 50, "{}", named.len());
    for name in named {
        assert!(code.contains(&format!("fn {name}(")), "docs/security.md names {name}");
    }
    Ok(())
}
