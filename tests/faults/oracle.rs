//! What must hold after, and during, every plan: invariants I1 to I12 as far as a controller can break
//! them. The facts are the API server's: its watches, and its audit log.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use kcg_devcluster::audit::AuditEvent;
use kcg_tests::objects::{AUTOSCALER, DEPLOYMENT, GROUP, Kind};
use serde_json::Value;

use crate::life::{BYSTANDER, DRIFTED_MAX};
use crate::plan::{Fault, Plan};
use crate::recorder::Version;
use crate::request::RequestId;
use crate::supervisor::Facts;

/// The start of the names of the operator's field managers.
const MANAGER: &str = "kconsumer-group-operator";
const CREATOR: &str = "kconsumer-group-operator-created-";
/// How many attempts of one kind of write a fault may cost: exponential backoff within a minute.
const RETRIES: usize = 8;
/// How soon a successor starts and has a Lease that was released: half the time after which it expires.
const RELEASED: Duration = Duration::from_secs(5);
/// Bounds of the process in the tests' build.
const MAX_MEMORY_KIB: u64 = 200 * 1024;
const MAX_FILES: usize = 200;

/// What a run without faults showed.
#[derive(Clone, Debug, Default)]
pub struct Clean {
    /// The objects after each step.
    pub states: Vec<BTreeMap<String, String>>,
    /// How often each kind of object was created and deleted, up to the deletion of the groups.
    pub history: BTreeMap<String, usize>,
    /// How often each request was made.
    pub counts: BTreeMap<RequestId, usize>,
    /// How often each Event was recorded.
    pub events: BTreeMap<String, u64>,
}

/// What a run with faults showed.
#[derive(Debug, Default)]
pub struct Observed {
    pub versions: Vec<Version>,
    /// Up to the deletion of the groups.
    pub history: BTreeMap<String, usize>,
    pub counts: BTreeMap<RequestId, usize>,
    pub facts: Facts,
    /// For each process that got SIGTERM: how long after its end the Lease was written again.
    pub successions: Vec<Option<Duration>>,
    pub events: BTreeMap<String, u64>,
    /// Whether each rule met a request.
    pub all_met: bool,
    /// The operator's metrics when it was settled.
    pub metrics: String,
    /// The operator's log.
    pub log: String,
    pub memory_kib: u64,
    pub files: usize,
}

/// All violations.
pub fn violations(plan: &Plan, clean: &Clean, seen: &Observed) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(lowered_ceilings(&seen.versions));
    found.extend(foreign_writes(&seen.versions));
    found.extend(owned_replicas(&seen.versions));
    found.extend(another_history(&clean.history, &seen.history));
    found.extend(wrong_generations(&seen.versions));
    found.extend(moved_transitions(&seen.versions));
    found.extend(unbounded(clean, seen));
    found.extend(invisible(plan, seen));
    found.extend(repeated_events(plan, clean, seen));
    found.extend(late_successors(seen));
    found.extend(seen.facts.early_ready.iter().map(|kind| format!("I12: ready before {kind} were listed")));
    found.extend(seen.facts.exits.iter().map(|log| format!("it exited: {log}")));
    found.extend(seen.log.lines().filter(|line| line.contains("panicked")).map(str::to_owned));
    found
}

/// How many objects of each kind there were, and how many the operator deleted. A creation that the
/// operator gives up counts if the API server made it, whatever the audit log has as its status.
pub fn history(versions: &[Version], writes: &[AuditEvent]) -> BTreeMap<String, usize> {
    let objects: BTreeSet<(&str, &str)> =
        versions.iter().map(|version| (version.kind.name, version.uid())).collect();
    let created = objects.into_iter().map(|(kind, _)| format!("create {kind}"));
    let deleted = writes.iter().filter(|write| write.verb == "delete" && write.response_status.code < 300);
    let deleted = deleted.map(|write| format!("delete {}", write.object_ref.resource));
    let mut history = BTreeMap::new();
    for change in created.chain(deleted) {
        *history.entry(change).or_default() += 1;
    }
    history
}

fn of(versions: &[Version], kind: Kind) -> impl Iterator<Item = &Version> {
    versions.iter().filter(move |version| version.kind == kind && !version.gone)
}

/// Each version with the one before it of the same object.
fn pairs(versions: &[Version], kind: Kind) -> Vec<(&Version, &Version)> {
    let mut last: HashMap<&str, &Version> = HashMap::new();
    let pairs =
        of(versions, kind).filter_map(|version| Some((last.insert(version.uid(), version)?, version)));
    pairs.collect()
}

/// I3: maxReplicas never falls, for no topic was created again. The drift of the life does not count.
fn lowered_ceilings(versions: &[Version]) -> Vec<String> {
    let mut highest: HashMap<&str, i64> = HashMap::new();
    let mut found = Vec::new();
    for version in of(versions, AUTOSCALER) {
        let max = version.object["spec"]["maxReplicas"].as_i64().unwrap_or_default();
        let before = highest.entry(version.name()).or_insert(max);
        if max < *before && !is_drifted(&version.object) {
            found.push(format!("I3: maxReplicas of {} fell from {before} to {max}", version.name()));
        }
        *before = max.max(*before);
    }
    found
}

/// Whether the third party of the life has written maxReplicas, and the operator not since: its number
/// alone could be the operator's, too.
fn is_drifted(autoscaler: &Value) -> bool {
    let writers = managers(autoscaler).filter(|(_, fields)| !fields["f:spec"]["f:maxReplicas"].is_null());
    let writers: Vec<&str> = writers.map(|(manager, _)| manager).collect();
    let is_of_others = !writers.is_empty() && writers.iter().all(|manager| !manager.starts_with(MANAGER));
    is_of_others && autoscaler["spec"]["maxReplicas"] == DRIFTED_MAX
}

/// I4: what the operator has written is controlled by a group, and a bystander is as it was.
fn foreign_writes(versions: &[Version]) -> Vec<String> {
    let groups: BTreeSet<&str> = of(versions, GROUP).map(Version::uid).collect();
    let mut found = Vec::new();
    for version in versions.iter().filter(|version| !version.gone && version.kind != GROUP) {
        let owners = version.object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        let controller = owners.into_iter().find(|owner| owner["controller"] == true);
        let uid = controller.and_then(|owner| owner["uid"].as_str()).unwrap_or_default();
        let is_written = managers(&version.object).any(|(manager, _)| manager.starts_with(MANAGER));
        if is_written && !groups.contains(uid) {
            found.push(format!("I4: {} {} was written", version.kind.name, version.name()));
        }
    }
    let changed = pairs(versions, kcg_tests::objects::SERVICE);
    let changed = changed.into_iter().filter(|(before, after)| {
        after.name() == BYSTANDER
            && before.object["metadata"]["resourceVersion"] != after.object["metadata"]["resourceVersion"]
    });
    found.extend(changed.map(|_| format!("I4: the Service {BYSTANDER} was changed")));
    found
}

fn managers(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    entries.map(|entry| (entry["manager"].as_str().unwrap_or_default(), &entry["fieldsV1"]))
}

/// I5: the number of pods is the autoscaler's: no apply owns it, and what was set stays.
fn owned_replicas(versions: &[Version]) -> Vec<String> {
    let mut found = Vec::new();
    for version in of(versions, DEPLOYMENT) {
        let owner = managers(&version.object).find(|(manager, fields)| {
            let is_ours = manager.starts_with(MANAGER) && !manager.starts_with(CREATOR);
            is_ours && !fields["f:spec"]["f:replicas"].is_null()
        });
        found.extend(owner.map(|(manager, _)| format!("I5: {manager} owns spec.replicas")));
    }
    for (before, after) in pairs(versions, DEPLOYMENT) {
        let replicas = [before, after].map(|version| version.object["spec"]["replicas"].as_i64());
        if replicas[0] == Some(2) && replicas[1] != Some(2) {
            found.push(format!("I5: spec.replicas went from 2 to {:?}", replicas[1]));
        }
    }
    found
}

/// I6: objects are created and deleted as often as without the fault.
fn another_history(clean: &BTreeMap<String, usize>, seen: &BTreeMap<String, usize>) -> Vec<String> {
    let names: BTreeSet<&String> = clean.keys().chain(seen.keys()).collect();
    let count = |history: &BTreeMap<String, usize>, name| history.get(name).copied().unwrap_or_default();
    let counts = names.into_iter().map(|name| (name, count(clean, name), count(seen, name)));
    let differing = counts.filter(|(_, clean, seen)| clean != seen);
    differing.map(|(name, clean, seen)| format!("I6: {name} {seen} times instead of {clean}")).collect()
}

/// I8: -1 <= observedGeneration <= generation, and it never falls.
fn wrong_generations(versions: &[Version]) -> Vec<String> {
    let observed = |version: &Version| version.object["status"]["observedGeneration"].as_i64().unwrap_or(-1);
    let outside = of(versions, GROUP).filter(|version| {
        let generation = version.object["metadata"]["generation"].as_i64().unwrap_or_default();
        !(-1..=generation).contains(&observed(version))
    });
    let outside = outside.map(|version| format!("I8: observedGeneration is {}", observed(version)));
    let pairs = pairs(versions, GROUP);
    let fallen = pairs.iter().filter(|(before, after)| observed(after) < observed(before));
    outside.chain(fallen.map(|_| "I8: observedGeneration fell".to_owned())).collect()
}

/// I8: a transition time changes with the status, and only with it.
fn moved_transitions(versions: &[Version]) -> Vec<String> {
    let conditions = |version: &Version| -> BTreeMap<String, (Value, Value)> {
        let list = version.object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let named = list.into_iter().map(|condition| {
            let type_ = condition["type"].as_str().unwrap_or_default().to_owned();
            (type_, (condition["status"].clone(), condition["lastTransitionTime"].clone()))
        });
        named.collect()
    };
    let mut found = Vec::new();
    for (before, after) in pairs(versions, GROUP) {
        let before = conditions(before);
        for (type_, (status, time)) in conditions(after) {
            if before.get(&type_).is_some_and(|(earlier, at)| *earlier == status && *at != time) {
                found.push(format!("I8: the transition time of {type_} moved, its status {status} did not"));
            }
        }
    }
    found
}

/// I10: retries, memory and open files are bounded.
fn unbounded(clean: &Clean, seen: &Observed) -> Vec<String> {
    let groups = clean.counts.iter().filter(|(id, _)| id.to_string() == "create deployments");
    let groups: usize = groups.map(|(_, count)| *count).sum();
    let writes = seen.counts.iter().filter(|(id, _)| id.is_write() && !id.is_of_lease());
    let many = writes.filter_map(|(id, count)| {
        let usual = clean.counts.get(id).copied().unwrap_or_default();
        let bound = usual + RETRIES * groups.max(1);
        (*count > bound).then(|| format!("I10: {count} requests of {id}, without a fault {usual}"))
    });
    let mut found: Vec<String> = many.collect();
    if seen.memory_kib > MAX_MEMORY_KIB {
        found.push(format!("I10: it uses {} KiB", seen.memory_kib));
    }
    if seen.files > MAX_FILES {
        found.push(format!("I10: it has {} open files", seen.files));
    }
    found
}

/// I11: the operator counts the error that it got, or that it gave the request up before. A killed
/// process takes its counters along, and a life that ends with its fault is over before they are read.
/// Metrics that could not be read count nothing.
fn invisible(plan: &Plan, seen: &Observed) -> Vec<String> {
    if plan.kills() || plan.removes() || !seen.all_met {
        return Vec::new();
    }
    let codes = plan.rules.iter().filter_map(|rule| match rule.fault {
        Fault::Answer(code, ..) => Some(code.to_string()),
        _ => None,
    });
    let counts = |code: &str| {
        let mut lines = seen.metrics.lines().filter(|line| line.contains("api_requests_total{"));
        lines.any(|line| line.contains(&format!("code=\"{code}\"")) && !line.ends_with(" 0"))
    };
    let codes = codes.filter(|code| !counts(code) && !counts("canceled"));
    codes.map(|code| format!("I11: no metric counts the {code}")).collect()
}

/// I11: a crash repeats no Event, but the one whose record the crash has lost: an Event is recorded
/// after the status, which a successor finds written.
fn repeated_events(plan: &Plan, clean: &Clean, seen: &Observed) -> Vec<String> {
    if !plan.kills() {
        return Vec::new();
    }
    let usual = |name| clean.events.get(name).copied().unwrap_or_default();
    let restarts = u64::try_from(seen.facts.starts.saturating_sub(1)).unwrap_or(u64::MAX);
    let many = clean.events.keys().filter_map(|name| {
        let count = seen.events.get(name).copied().unwrap_or_default();
        (count > usual(name) + restarts)
            .then(|| format!("I11: {name} {count} times instead of {}", usual(name)))
    });
    many.collect()
}

/// A process that SIGTERM ends releases its Lease: the successor does not wait until it expires.
fn late_successors(seen: &Observed) -> Vec<String> {
    let late = seen.successions.iter().filter(|took| took.is_none_or(|took| took > RELEASED));
    late.map(|took| format!("the Lease was not released: it was written {took:?} after SIGTERM")).collect()
}

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod tests;
