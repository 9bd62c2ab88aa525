//! The groups' alerts in promtool: every rule loads, and each alert fires when it should.

mod rules;

use anyhow::{Context, Result};
use kcg_tests::promtool;

#[tokio::test]
async fn rules_of_every_kind_of_group_load_into_prometheus() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (number, spec) in rules::GROUPS.iter().enumerate() {
        let file = format!("{number}.yaml");
        rules::write(&folder.path().join(&file), "kconsumer", spec)?;
        promtool(folder.path(), &["check", "rules", "--lint-fatal", &file])
            .await
            .with_context(|| format!("a group with spec {spec}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn alerts_fire_when_they_should_and_only_then() -> Result<()> {
    let folder = tempfile::tempdir()?;
    rules::write(&folder.path().join("kconsumer.yaml"), "kconsumer", "{}")?;
    rules::write(&folder.path().join("odd.yaml"), "odd", rules::ODD)?;
    std::fs::write(folder.path().join("scenes.yaml"), include_str!("scenes.yaml"))?;
    promtool(folder.path(), &["test", "rules", "scenes.yaml"]).await
}
