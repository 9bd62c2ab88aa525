//! The faults of one plan while it runs: how many requests each rule has seen, and which it met.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::plan::{EVENT, Fault, Plan, Rule};
use crate::request::RequestId;

#[derive(Clone)]
pub struct Faults(Arc<Mutex<State>>);

struct State {
    rules: Vec<Counted>,
    /// The first answer to each list.
    lists: HashMap<String, Bytes>,
}

struct Counted {
    rule: Rule,
    seen: usize,
    met: usize,
}

impl Faults {
    pub fn of(plan: &Plan) -> Self {
        let rules = plan.rules.iter().cloned().map(|rule| Counted { rule, seen: 0, met: 0 }).collect();
        Self(Arc::new(Mutex::new(State { rules, lists: HashMap::new() })))
    }

    /// The fault that a request meets. It counts for every rule; the first that meets it is chosen.
    pub fn meet(&self, request: &RequestId) -> Option<Fault> {
        self.count(&request.verb, &request.resource)
    }

    /// Whether an event of a watch is lost.
    pub fn loses(&self, resource: &str) -> bool {
        self.count(EVENT, resource).is_some()
    }

    fn count(&self, verb: &str, resource: &str) -> Option<Fault> {
        let mut fault = None;
        for counted in self.0.lock().rules.iter_mut().filter(|counted| counted.rule.is_of(verb, resource)) {
            counted.seen += 1;
            if fault.is_none() && counted.rule.meets(counted.seen) {
                counted.met += 1;
                fault = Some(counted.rule.fault);
            }
        }
        fault
    }

    /// Whether each rule has met a request.
    pub fn all_met(&self) -> bool {
        self.0.lock().rules.iter().all(|counted| counted.met > 0)
    }

    /// The body of a list: its own, or that of the first list.
    pub fn replay(&self, path: &str, body: &Bytes, fault: Option<Fault>) -> Bytes {
        let mut state = self.0.lock();
        let first = state.lists.entry(path.to_owned()).or_insert_with(|| body.clone());
        if fault == Some(Fault::Replay) { first.clone() } else { body.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_for_each_rule_and_events_apart() {
        let plan = "1 group | create services #2 x2 reset | event services #1 lose".parse().unwrap();
        let faults = Faults::of(&plan);
        let request = RequestId::of("POST", "/api/v1/namespaces/a/services", "");
        let met: Vec<bool> = (0..5).map(|_| faults.meet(&request).is_some()).collect();
        assert_eq!(met, [false, true, true, false, false]);
        assert!(!faults.all_met());
        assert_eq!(
            [faults.loses("pods"), faults.loses("services"), faults.loses("services")],
            [false, true, false]
        );
        assert!(faults.all_met());
    }

    #[test]
    fn a_replayed_list_is_the_first_one() {
        let faults = Faults::of(&Plan::without_faults(1));
        let [first, second] = [Bytes::from_static(b"1"), Bytes::from_static(b"2")];
        assert_eq!(faults.replay("/p", &first, None), first);
        assert_eq!(faults.replay("/p", &second, None), second);
        assert_eq!(faults.replay("/p", &second, Some(Fault::Replay)), first);
    }
}
