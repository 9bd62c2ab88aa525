//! The check of the file of defaults: every process has read the same content.

use std::collections::BTreeSet;

use kcg_api::names;
use kcg_webhook::group_defaults::METRIC;

use super::Check;
use super::findings::{DefaultsRead, DefaultsUnread, Findings, Installer};

const CHECK: &str = "group defaults";
/// The hash of the product's defaults.
const NO_CONTENT: &str = "none";

/// A pod, and what it has read.
type PodRead<'a> = (&'a str, &'a Result<DefaultsRead, DefaultsUnread>);

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
    let pods: Vec<PodRead<'_>> =
        with.iter().flat_map(|process| &process.pods).map(|(pod, read)| (pod.as_str(), read)).collect();
    if pods.is_empty() {
        return match (with.is_empty(), file) {
            (true, None) => Check::ok(CHECK, "no file: the product's defaults apply"),
            (true, Some(_)) => Check::note(
                CHECK,
                "the file is valid, and no process has --defaults",
                match findings.installer {
                    Installer::Kustomize => "add deploy/components/group-defaults to your kustomization",
                    Installer::Helm { .. } | Installer::RenderedChart { .. } => {
                        "set the chart's groupDefaults"
                    }
                },
            ),
            (false, _) => Check::note(CHECK, "no pod of the operator runs", "see the other checks"),
        };
    }
    compare(&pods, file)
}

fn compare(pods: &[PodRead<'_>], file: Option<&str>) -> Check {
    let read: Vec<(&str, &DefaultsRead)> =
        pods.iter().filter_map(|(pod, read)| Some((*pod, read.as_ref().ok()?))).collect();
    if let Some((pod, read)) = read.iter().find(|(_, read)| read.is_rejected) {
        let instead = if read.hash == NO_CONTENT {
            "has read no good one: a controller reconciles nothing, a webhook admits with the product's defaults"
                .to_owned()
        } else {
            format!("{} stays in force", short(&read.hash))
        };
        return Check::wrong(
            CHECK,
            format!("pod {pod} rejects the file, and {instead}"),
            "its log names the line; doctor --defaults FILE checks a corrected file",
        );
    }
    let mut hashes = read.iter().map(|(_, read)| read.hash.as_str()).collect::<BTreeSet<_>>().into_iter();
    let (hash, None) = (hashes.next(), hashes.next()) else {
        let read: Vec<_> = read.iter().map(|(pod, read)| format!("{pod} {}", short(&read.hash))).collect();
        return Check::wrong(
            CHECK,
            format!("the pods have read different files: {}", read.join(", ")),
            "a kubelet takes up to two minutes to update a ConfigMap's volume; after that, delete the pods that lag behind",
        );
    };
    if let Some(check) = unread(pods, file) {
        return check;
    }
    let hash = hash.unwrap_or_default();
    match file {
        Some(file) if file != hash => Check::note(
            CHECK,
            format!("the file is valid and not in force: {} is, in all {} pods", short(hash), pods.len()),
            "apply it",
        ),
        _ => Check::ok(CHECK, format!("all {} pods have read {}", pods.len(), short(hash))),
    }
}

/// The check if the file of at least one pod is not known. That the shipped NetworkPolicy is in force is
/// no problem of the installation.
fn unread(pods: &[PodRead<'_>], file: Option<&str>) -> Option<Check> {
    let errors = || pods.iter().filter_map(|(pod, read)| Some((*pod, read.as_ref().err()?)));
    for (pod, error) in errors() {
        if let DefaultsUnread::Failed(why) = error {
            return Some(Check::unknown(CHECK, format!("the metrics of pod {pod}: {why}")));
        }
    }
    if let Some((pod, _)) = errors().find(|(_, error)| **error == DefaultsUnread::NotServed) {
        return Some(Check::note(
            CHECK,
            format!(
                "pod {pod} serves no metrics (--metrics-bind-address=0), so it is not known what it has read"
            ),
            "its log has the hash of the file",
        ));
    }
    let (pod, DefaultsUnread::Unreachable(why)) = errors().next()? else { return None };
    let expected = file.map(|file| format!(" with {}", short(file))).unwrap_or_default();
    Some(Check::note(
        CHECK,
        format!(
            "the metrics of {} of {} pods cannot be reached; pod {pod}: {why}",
            errors().count(),
            pods.len()
        ),
        format!(
            "compare the label hash of {}_{METRIC}_info{expected} in Prometheus: NetworkPolicy {}, where it is enforced, admits only the namespace of Prometheus",
            names::METRIC_PREFIX,
            names::OPERATOR,
        ),
    ))
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
                "webhook-1 rejects the file, and sha256:aaaaaaaaaaaa stays in force",
            ),
            (
                vec![process("controller", &[("none", true)]), process("webhook", &[("none", true)])],
                None,
                CheckState::Wrong,
                "controller-1 rejects the file, and has read no good one",
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

    #[test]
    fn metrics_behind_a_network_policy_are_a_note_and_hide_no_problem() {
        let unreachable = || Err(DefaultsUnread::Unreachable("no answer within 10 s".into()));
        let failed = || Err(DefaultsUnread::Failed("forbidden".into()));
        let check = |pods: [&[Result<DefaultsRead, DefaultsUnread>]; 2], file| {
            let process = |process, pods: &[_]| ProcessDefaults {
                process,
                has_file: true,
                pods: pods.iter().map(|read| (format!("{process}-1"), Clone::clone(read))).collect(),
            };
            let processes = vec![process("controller", pods[0]), process("webhook", pods[1])];
            check(&Findings { defaults: Ok(processes), ..healthy() }, file)
        };
        let read = |hash: &str, is_rejected| Ok(DefaultsRead { hash: hash.to_owned(), is_rejected });
        let note = check([&[unreachable()], &[unreachable()]], Some(B));
        assert!(note.state == CheckState::Note && note.is_healthy(), "{note:?}");
        assert!(
            note.found
                .starts_with("the metrics of 2 of 2 pods cannot be reached; pod controller-1: no answer")
        );
        for named in
            ["group_defaults_info with sha256:bbbbbbbbbbbb", "NetworkPolicy kconsumer-group-operator"]
        {
            assert!(note.cure.contains(named), "{note:?}");
        }
        for (pods, state) in [
            ([&[read(A, false)][..], &[unreachable()]], CheckState::Note),
            ([&[unreachable()], &[failed()]], CheckState::Unknown),
            ([&[read(A, false)], &[Err(DefaultsUnread::NotServed)]], CheckState::Note),
            ([&[unreachable()], &[read(A, true)]], CheckState::Wrong),
            ([&[unreachable(), read(A, false)], &[read(B, false)]], CheckState::Wrong),
        ] {
            assert_eq!(check(pods, None).state, state, "{pods:?}");
        }
    }
}
