//! `demo --kafka`: hands over to the program `closed-loop`, which is built only then, as it needs a C++ compiler, Java and
//! Maven.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

/// The flag that selects the closed loop.
pub const FLAG: &str = "--kafka";

/// Replaces this process with `cargo run` of the closed loop. Returns only if that fails.
pub fn run(args: Vec<OsString>) -> Result<ExitCode> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let program = std::env::current_exe().context("find this program")?;
    let mut command = Command::new(&cargo);
    // Variables of this package would make build scripts that read them run again.
    for (name, _) in std::env::vars_os() {
        let own = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
        if own.iter().any(|start| name.to_string_lossy().starts_with(start)) {
            command.env_remove(name);
        }
    }
    let error = command.args(cargo_args(&program, args)).exec();
    Err(error).with_context(|| format!("{FLAG} needs cargo: start {}", cargo.display()))
}

/// `cargo run` in this program's own profile, with all flags but [`FLAG`].
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
