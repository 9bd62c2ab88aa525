//! The demo runs to the end. It checks each step and fails if one has another result.

use std::process::Command;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[test]
fn the_demo_runs_to_the_end_on_a_computer_without_java() -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_demo")).env("JAVA_HOME", "/nowhere").output()?;
    let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    // Standard output is not a terminal, so there are no colours.
    assert!(!stdout.contains('\x1b'));
    for expected in [
        "must not be more than 1: topic fast-data-topic has 1 partition",
        "kconsumer   1     3     3            3      3           5k/1k   True",
        "No resources found in default namespace.",
    ] {
        assert!(stdout.contains(expected), "{expected:?} in\n{stdout}");
    }
    Ok(())
}
