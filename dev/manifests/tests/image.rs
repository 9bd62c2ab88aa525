//! The image's build context, which .dockerignore limits to what cargo builds from.

use std::path::Path;

#[test]
fn the_build_context_of_the_image_holds_every_member_of_the_workspace()
-> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml"))?;
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = ")).ok_or("no members")?;
    let ignored = std::fs::read_to_string(root.join(".dockerignore"))?;
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
