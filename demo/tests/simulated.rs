//! The demo tells its story to the end: it checks every step itself, and fails where one goes another way.

use std::process::Command;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[test]
fn story_is_told_to_the_end_on_a_computer_without_java() -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_demo")).env("JAVA_HOME", "/nowhere").output()?;
    let (told, said) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    assert!(output.status.success(), "{told}\n{said}");
    // No terminal, no colours.
    assert!(!told.contains('\x1b'));
    for answer in [
        "must not be more than 1: topic fast-data-topic has 1 partition",
        "kconsumer   1     3     3            3      3           True",
        "No resources found in default namespace.",
    ] {
        assert!(told.contains(answer), "{answer:?} in\n{told}");
    }
    Ok(())
}
