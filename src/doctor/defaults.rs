//! The check of the file of defaults: every process has read the same content.

use std::collections::BTreeSet;

use super::Check;
use super::findings::{DefaultsRead, Findings, Found};

const CHECK: &str = "group defaults";

/// `file` is the hash of a file that is about to be applied.
pub(super) fn check(findings: &Findings, file: Option<&str>) -> Check {
    let processes = match &findings.defaults {
        Ok(processes) => processes,
        Err(why) => return Check::unknown(CHECK, why),
    };
    let with: Vec<_> = processes.iter().filter(|process| process.has_file).collect();
    let without: Vec<_> = processes.iter().filter(|process| !process.has_file).collect();
    if let (Some(with), Some(without)) = (with.first(), without.first()) {
        let found = format!("the {} has --defaults, the {} has not", with.process, without.process);
        return Check::wrong(CHECK, found, "set --defaults on both, with the same ConfigMap");
    }
    let pods: Vec<(&str, &Found<DefaultsRead>)> =
        with.iter().flat_map(|process| &process.pods).map(|(pod, read)| (pod.as_str(), read)).collect();
    if pods.is_empty() {
        return match (with.is_empty(), file) {
            (true, None) => Check::ok(CHECK, "no file: the product's defaults apply"),
            (true, Some(_)) => Check::note(
                CHECK,
                "the file is valid, and no process has --defaults",
                "add deploy/components/group-defaults to your kustomization, or set the chart's groupDefaults",
            ),
            (false, _) => Check::note(CHECK, "no pod of the operator runs", "see the other checks"),
        };
    }
    compare(&pods, file)
}

fn compare(pods: &[(&str, &Found<DefaultsRead>)], file: Option<&str>) -> Check {
    let mut hashes = BTreeSet::new();
    for (pod, read) in pods {
        match read {
            Err(why) => return Check::unknown(CHECK, format!("the metrics of pod {pod}: {why}")),
            Ok(DefaultsRead { hash, is_rejected: true }) => {
                return Check::wrong(
                    CHECK,
                    format!("pod {pod} rejects the file, and {} stays in force", short(hash)),
                    "its log names the line; doctor --defaults FILE checks a corrected file",
                );
            }
            Ok(read) => hashes.insert(read.hash.as_str()),
        };
    }
    let mut hashes = hashes.into_iter();
    let (Some(hash), None) = (hashes.next(), hashes.next()) else {
        let read =
            pods.iter().filter_map(|(pod, read)| Some(format!("{pod} {}", short(&read.as_ref().ok()?.hash))));
        return Check::wrong(
            CHECK,
            format!("the pods have read different files: {}", read.collect::<Vec<_>>().join(", ")),
            "a kubelet takes up to two minutes to update a ConfigMap's volume; after that, delete the pods that lag behind",
        );
    };
    match file {
        Some(file) if file != hash => Check::note(
            CHECK,
            format!("the file is valid and not in force: {} is, in all {} pods", short(hash), pods.len()),
            "apply it",
        ),
        _ => Check::ok(CHECK, format!("all {} pods have read {}", pods.len(), short(hash))),
    }
}

/// A hash is long; its start distinguishes the few versions of one file.
fn short(hash: &str) -> &str {
    hash.get(.."sha256:".len() + 12).unwrap_or(hash)
}

#[cfg(test)]
mod tests {
    use super::super::CheckState;
    use super::super::findings::ProcessDefaults;
    use super::super::tests::healthy;
    use super::*;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbb";

    fn process(process: &'static str, pods: &[(&str, bool)]) -> ProcessDefaults {
        let read = |hash: &str, is_rejected| Ok(DefaultsRead { hash: hash.to_owned(), is_rejected });
        let pods = pods.iter().map(|(hash, rejected)| (format!("{process}-1"), read(hash, *rejected)));
        ProcessDefaults { process, has_file: true, pods: pods.collect() }
    }

    #[test]
    fn a_difference_between_the_processes_is_named() {
        let none = |name| ProcessDefaults { process: name, has_file: false, pods: Vec::new() };
        let controller = || process("controller", &[(A, false)]);
        for (processes, file, state, found) in [
            (vec![none("controller"), none("webhook")], None, CheckState::Ok, "no file"),
            (
                vec![none("controller"), none("webhook")],
                Some(A),
                CheckState::Note,
                "no process has --defaults",
            ),
            (vec![controller(), none("webhook")], None, CheckState::Wrong, "the webhook has not"),
            (
                vec![controller(), process("webhook", &[(A, false)])],
                None,
                CheckState::Ok,
                "all 2 pods have read sha256:aaaaaaaaaaaa",
            ),
            (vec![controller(), process("webhook", &[(A, false)])], Some(A), CheckState::Ok, "all 2 pods"),
            (
                vec![controller(), process("webhook", &[(A, false)])],
                Some(B),
                CheckState::Note,
                "not in force",
            ),
            (
                vec![controller(), process("webhook", &[(B, false)])],
                None,
                CheckState::Wrong,
                "controller-1 sha256:aaaaaaaaaaaa, webhook-1 sha256:bbbbbbbbbbbb",
            ),
            (
                vec![controller(), process("webhook", &[(A, true)])],
                None,
                CheckState::Wrong,
                "webhook-1 rejects the file",
            ),
            (vec![process("controller", &[]), process("webhook", &[])], None, CheckState::Note, "no pod"),
        ] {
            let check = check(&Findings { defaults: Ok(processes), ..healthy() }, file);
            assert_eq!(check.state, state, "{check:?}");
            assert!(check.found.contains(found), "{check:?}");
        }
        let unknown = check(&Findings { defaults: Err("no right".into()), ..healthy() }, None);
        assert_eq!(unknown.state, CheckState::Unknown);
    }
}
