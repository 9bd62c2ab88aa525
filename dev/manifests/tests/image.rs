//! The image: its build context, which .dockerignore limits to what cargo builds from, and its
//! version.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_build_context_of_the_image_holds_every_member_of_the_workspace()
-> Result<(), Box<dyn std::error::Error>> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml"))?;
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = ")).ok_or("no members")?;
    let ignored = std::fs::read_to_string(root().join(".dockerignore"))?;
    let members: Vec<&str> = members.split('"').skip(1).step_by(2).collect();
    assert!(members.contains(&"core"), "{members:?}");
    for member in members {
        let folder = member.split('/').next().unwrap_or(member);
        assert!(
            ignored.lines().any(|line| line == format!("!{folder}")),
            "{folder} is not in the build context"
        );
    }
    Ok(())
}

#[test]
fn images_and_charts_have_the_version_of_the_workspace() -> Result<(), Box<dyn std::error::Error>> {
    for (file, before) in [
        ("Containerfile", "ARG VERSION="),
        ("Containerfile", "kconsumer-group-operator:"),
        ("deploy/base/controller.yaml", "kconsumer-group-operator:"),
        ("deploy/base/webhook.yaml", "kconsumer-group-operator:"),
        ("deploy/README.md", "kconsumer-group-operator:"),
        ("README.md", "kconsumer-group-operator:"),
        ("docs/getting-started.md", "kconsumer-group-operator:"),
        ("deploy/charts/kconsumer-group-operator/Chart.yaml", "appVersion: "),
        ("deploy/charts/kconsumer-group-operator-crds/Chart.yaml", "appVersion: "),
    ] {
        let text = std::fs::read_to_string(root().join(file))?;
        let named = text
            .lines()
            .filter(|line| !line.starts_with("apiVersion"))
            .flat_map(|line| line.split(before).skip(1));
        let versions: Vec<String> = named
            .map(|rest| rest.chars().take_while(|letter| letter.is_ascii_digit() || *letter == '.').collect())
            .collect();
        assert!(!versions.is_empty(), "{file} names no version");
        for version in versions {
            assert_eq!(version, env!("CARGO_PKG_VERSION"), "{file}");
        }
    }
    Ok(())
}
