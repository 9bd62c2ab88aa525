//! `demo --kafka`: runs the program `closed-loop`. cargo builds it only then, because it needs a
//! C++ compiler, Java and Maven.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use kcg_devcluster::cargo;

/// The flag that selects the closed loop.
pub(crate) const FLAG: &str = "--kafka";

/// Replaces this process with `cargo run` of the closed loop. Returns only if that fails.
pub(crate) fn run(args: Vec<OsString>) -> Result<ExitCode> {
    let program = std::env::current_exe().context("find the path of this program")?;
    let error = cargo().args(cargo_args(&program, args)).exec();
    Err(error).with_context(|| {
        format!("{FLAG} needs cargo, which cannot be started: install Rust from https://rustup.rs")
    })
}

/// The arguments of `cargo run`, with the profile of this program and all flags except [`FLAG`].
fn cargo_args(program: &Path, args: Vec<OsString>) -> Vec<OsString> {
    let profile = match program.parent().and_then(Path::file_name).and_then(OsStr::to_str) {
        None | Some("debug") => "dev",
        Some(name) => name,
    };
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml");
    let mut all: Vec<OsString> = [
        "run",
        "--profile",
        profile,
        "--locked",
        "--package",
        "kcg-closed-loop",
        "--bin",
        "closed-loop",
        "--manifest-path",
    ]
    .map(OsString::from)
    .into();
    all.extend([manifest.into(), "--".into()]);
    all.extend(args.into_iter().filter(|arg| arg != FLAG));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_loop_runs_in_the_same_profile_with_the_same_flags() {
        let flags = ["--keep", FLAG, "--records", "6000"].map(OsString::from);
        for (program, profile) in [("/target/debug/demo", "dev"), ("/target/release/demo", "release")] {
            let args = cargo_args(Path::new(program), flags.to_vec());
            assert_eq!(args[..3], ["run", "--profile", profile]);
            let flags = args.iter().skip_while(|arg| *arg != "--").collect::<Vec<_>>();
            assert_eq!(flags, ["--", "--keep", "--records", "6000"]);
        }
    }
}
