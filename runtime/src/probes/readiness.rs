//! What a process waits for before it is ready, as a list of named gates.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The gates of one process. Ready is when every one of them is open.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, Option<String>>>>);

impl Readiness {
    /// A new gate, shut; `waiting_for` completes the line "<name>: <waiting_for>".
    pub fn gate(&self, name: &str, waiting_for: &str) -> Gate {
        let gate = Gate { name: name.to_owned(), readiness: self.clone() };
        gate.shut(waiting_for);
        gate
    }

    /// One line for each gate that is shut; empty when the process is ready.
    pub fn waiting(&self) -> Vec<String> {
        let gates = self.lock();
        let shut = gates.iter().filter_map(|(name, reason)| Some(format!("{name}: {}", reason.as_ref()?)));
        shut.collect()
    }

    /// A panic elsewhere leaves plain values here: they are as good as before.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thing that must be so before the process is ready. Keeps its last word when it is dropped.
#[derive(Debug, Clone)]
pub struct Gate {
    name: String,
    readiness: Readiness,
}

impl Gate {
    pub fn open(&self) {
        self.readiness.lock().insert(self.name.clone(), None);
    }

    /// `reason` says what is awaited, or what went wrong, in one line.
    pub fn shut(&self, reason: &str) {
        self.readiness.lock().insert(self.name.clone(), Some(reason.to_owned()));
    }

    /// Opens on `Ok`, shuts with the sentence on `Err`.
    pub fn set(&self, state: Result<(), String>) {
        match state {
            Ok(()) => self.open(),
            Err(reason) => self.shut(&reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shut_gate_is_one_line_and_none_is_ready() {
        let readiness = Readiness::default();
        let topics = readiness.gate("kafkatopics", "the first list is under way");
        let pair = readiness.gate("certificate", "tls.crt is missing");
        assert_eq!(
            readiness.waiting(),
            ["certificate: tls.crt is missing", "kafkatopics: the first list is under way"]
        );
        topics.open();
        pair.set(Ok(()));
        assert!(readiness.waiting().is_empty());
        pair.set(Err("draining".into()));
        assert_eq!(readiness.waiting(), ["certificate: draining"]);
    }
}
