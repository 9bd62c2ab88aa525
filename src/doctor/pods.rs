//! Checks of the operator's own pods.

use std::collections::BTreeMap;

use super::Check;
use super::findings::{Findings, Found, PodFinding, ProcessFinding};

/// One check for each process.
pub(super) fn checks(findings: &Findings) -> Vec<Check> {
    let named = [("controller", &findings.controller_pods), ("webhook", &findings.webhook_pods)];
    named.map(|(process, pods)| check(findings, process, pods)).into()
}

fn check(findings: &Findings, process: &str, found: &Found<Option<ProcessFinding>>) -> Check {
    let check = format!("pods of the {process}");
    let deployed = match found {
        Err(why) => return Check::unknown(check, why),
        Ok(None) => {
            let found =
                format!("there is no Deployment of the {process} in namespace {}", findings.namespace);
            let cure = findings
                .name_the_namespace()
                .unwrap_or_else(|| "if the operator is installed elsewhere, name its --namespace".to_owned());
            return Check::note(check, found, cure);
        }
        Ok(Some(deployed)) => deployed,
    };
    let cure = format!(
        "kubectl -n {} describe deployment,pods -l app.kubernetes.io/component={process}",
        findings.namespace
    );
    if let Some(refused) = &deployed.refused {
        return Check::wrong(check, format!("the API server refuses its pods: {refused}"), cure);
    }
    let mut problems: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for PodFinding { name, problem } in &deployed.pods {
        if let Some(problem) = problem {
            problems.entry(problem).or_default().push(name);
        }
    }
    if !problems.is_empty() {
        let lines: Vec<String> =
            problems.iter().map(|(problem, pods)| format!("{}: {problem}", pods.join(", "))).collect();
        return Check::wrong(check, super::groups::joined(&lines), cure);
    }
    let wanted = deployed.wanted;
    match (deployed.ready, wanted) {
        (_, 0) => Check::note(check, "its Deployment has 0 replicas", ""),
        (0, _) => Check::wrong(check, format!("none of {wanted} is ready"), cure),
        (ready, _) if ready < wanted => Check::note(check, format!("{ready} of {wanted} are ready"), cure),
        (ready, _) => Check::ok(check, format!("{ready} of {wanted} are ready")),
    }
}
