//! What docs/ and README state is what the code does.

use kcg_api::condition::{Reason, Type};
use std::path::{Path, PathBuf};

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn resource_s_reference_is_what_the_schema_says() -> Result<(), Box<dyn std::error::Error>> {
    let rendered = kconsumer_group_operator::reference::render(&serde_json::to_value(kcg_api::crd::crd())?);
    let path = file("docs/resource.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &rendered)?;
    }
    let shipped = std::fs::read_to_string(&path)?;
    let differs = rendered.lines().zip(shipped.lines()).find(|(rendered, shipped)| rendered != shipped);
    assert!(
        rendered == shipped,
        "docs/resource.md is not what the code renders; UPDATE_DOCS=1 cargo test --test reference rewrites it; first difference: {differs:?}"
    );
    Ok(())
}

#[test]
fn troubleshooting_explains_every_condition_and_every_reason_that_needs_a_cure()
-> Result<(), Box<dyn std::error::Error>> {
    let page = std::fs::read_to_string(file("docs/troubleshooting.md"))?;
    let healthy = [
        Reason::Reconciled,
        Reason::Resolved,
        Reason::MetricsRead,
        Reason::Accepted,
        Reason::RoomToScale,
        Reason::Running,
    ];
    let reasons = Reason::ALL.iter().filter(|reason| !healthy.contains(reason)).map(|reason| reason.as_str());
    for name in Type::ALL.iter().map(|type_| type_.as_str()).chain(reasons) {
        assert!(page.contains(&format!("`{name}`")), "docs/troubleshooting.md does not explain {name}");
    }
    Ok(())
}
