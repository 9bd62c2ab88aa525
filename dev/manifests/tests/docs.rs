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
