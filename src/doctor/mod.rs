//! `doctor`: checks an installation and names the cure of each problem. [`collect()`] reads the
//! cluster, and [`analyze`] turns the findings into checks.
//!
//! *Invariant:* the analysis is pure; only `collect` sends requests, and it writes nothing.

mod admission;
mod collect;
mod defaults;
mod findings;
mod groups;
mod installation;
mod installer;
mod pods;
mod selection;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use collect::collect;
#[cfg(test)]
pub(crate) use collect::flags;
pub(crate) use collect::reach;
pub use findings::Findings;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing is broken now.
    Note,
    /// Something does not work, or will stop working soon.
    Wrong,
    /// The check could not be made.
    Unknown,
}

/// One check of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub check: String,
    /// The result.
    pub state: CheckState,
    /// What was found.
    pub found: String,
    /// How to fix it; empty if there is nothing to fix.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cure: String,
}

impl Check {
    fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), state: CheckState::Ok, found: found.into(), cure: String::new() }
    }

    fn note(check: impl Into<String>, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { state: CheckState::Note, cure: cure.into(), ..Self::ok(check, found) }
    }

    fn wrong(check: impl Into<String>, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { state: CheckState::Wrong, cure: cure.into(), ..Self::ok(check, found) }
    }

    fn unknown(check: impl Into<String>, why: impl Into<String>) -> Self {
        let cure = "run doctor as a user who may read this, for example a cluster administrator".into();
        Self { state: CheckState::Unknown, cure, ..Self::ok(check, why) }
    }

    /// Whether there is nothing to fix.
    pub const fn is_healthy(&self) -> bool {
        matches!(self.state, CheckState::Ok | CheckState::Note)
    }
}

/// Every check, in the order in which the parts of an installation depend on each other.
pub fn analyze(findings: &Findings) -> Vec<Check> {
    if let Some(elsewhere) = installation::elsewhere(findings) {
        // What is missing in this namespace would be a second installation.
        return vec![installation::crd(findings), elsewhere];
    }
    let mut checks = vec![installation::crd(findings), installation::leader(findings)];
    checks.extend(installation::permissions(findings));
    checks.extend(installation::flags(findings));
    checks.push(defaults::check(findings, findings.defaults_file.as_deref()));
    checks.extend(pods::checks(findings));
    checks.extend(admission::checks(findings));
    checks.extend(installation::integrations(findings));
    checks.extend(groups::checks(findings));
    checks.extend(selection::checks(findings));
    checks
}
