//! What a process waits for before it is ready, as a list of named checks.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::{Mutex, MutexGuard};

/// The checks of one process. Ready is when every one of them is open.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, Option<String>>>>);

impl Readiness {
    /// A new gate, shut; `waiting_for` completes the line "<name>: <waiting_for>".
    pub fn check(&self, name: &str, waiting_for: &str) -> ReadinessCheck {
        let check = ReadinessCheck { name: name.to_owned(), readiness: self.clone() };
        check.fail(waiting_for);
        check
    }

    /// One line for each gate that is shut; empty when the process is ready.
    pub fn failing(&self) -> Vec<String> {
        let checks = self.lock();
        let shut = checks.iter().filter_map(|(name, reason)| Some(format!("{name}: {}", reason.as_ref()?)));
        shut.collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.0.lock()
    }
}

/// One thing that must be so before the process is ready. Keeps its last word when it is dropped.
#[derive(Debug, Clone)]
pub struct ReadinessCheck {
    name: String,
    readiness: Readiness,
}

impl ReadinessCheck {
    pub fn pass(&self) {
        self.readiness.lock().insert(self.name.clone(), None);
    }

    /// `reason` says what is awaited, or what went wrong, in one line.
    pub fn fail(&self, reason: &str) {
        self.readiness.lock().insert(self.name.clone(), Some(reason.to_owned()));
    }

    /// Opens on `Ok`, shuts with the sentence on `Err`.
    pub fn set(&self, state: Result<(), String>) {
        match state {
            Ok(()) => self.pass(),
            Err(reason) => self.fail(&reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shut_gate_is_one_line_and_none_is_ready() {
        let readiness = Readiness::default();
        let topics = readiness.check("kafkatopics", "the first list is under way");
        let pair = readiness.check("certificate", "tls.crt is missing");
        assert_eq!(
            readiness.failing(),
            ["certificate: tls.crt is missing", "kafkatopics: the first list is under way"]
        );
        topics.pass();
        pair.set(Ok(()));
        assert!(readiness.failing().is_empty());
        pair.set(Err("draining".into()));
        assert_eq!(readiness.failing(), ["certificate: draining"]);
    }
}
