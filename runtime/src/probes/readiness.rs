//! Named checks that must all pass before the process is ready.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::{Mutex, MutexGuard};

/// The readiness checks of one process. The process is ready if all of them pass.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, Option<String>>>>);

impl Readiness {
    /// Adds a check that fails for now. `reason` completes the line `<name>: <reason>`.
    pub fn check(&self, name: &str, reason: &str) -> ReadinessCheck {
        let check = ReadinessCheck { name: name.to_owned(), readiness: self.clone() };
        check.fail(reason);
        check
    }

    /// One line for each check that fails; empty if the process is ready.
    pub fn failing(&self) -> Vec<String> {
        let checks = self.lock();
        let failing =
            checks.iter().filter_map(|(name, reason)| Some(format!("{name}: {}", reason.as_ref()?)));
        failing.collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.0.lock()
    }
}

/// One condition for readiness. Its last result stays in force if the check is dropped.
#[derive(Debug, Clone)]
pub struct ReadinessCheck {
    name: String,
    readiness: Readiness,
}

impl ReadinessCheck {
    /// The check passes from now on.
    pub fn pass(&self) {
        self.readiness.lock().insert(self.name.clone(), None);
    }

    /// The check fails from now on. `reason` is one line.
    pub fn fail(&self, reason: &str) {
        self.readiness.lock().insert(self.name.clone(), Some(reason.to_owned()));
    }

    /// Passes on `Ok`; fails with the reason on `Err`.
    pub fn set(&self, result: Result<(), String>) {
        match result {
            Ok(()) => self.pass(),
            Err(reason) => self.fail(&reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failing_check_is_one_line() {
        let readiness = Readiness::default();
        let pods = readiness.check("pods", "the first list is under way");
        let certificate = readiness.check("certificate", "tls.crt is missing");
        assert_eq!(
            readiness.failing(),
            ["certificate: tls.crt is missing", "pods: the first list is under way"]
        );
        pods.pass();
        certificate.set(Ok(()));
        assert!(readiness.failing().is_empty());
        certificate.set(Err("draining".into()));
        assert_eq!(readiness.failing(), ["certificate: draining"]);
    }
}
