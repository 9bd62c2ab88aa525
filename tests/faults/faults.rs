//! The faults of one plan while it runs: how many requests each rule has seen, and which it met.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::plan::{EVENT, Fault, Plan, Rule, When};
use crate::request::RequestId;

#[derive(Clone)]
pub struct Faults(Arc<Mutex<State>>);

struct State {
    rules: Vec<Counted>,
    random: Option<Random>,
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
        Self(Arc::new(Mutex::new(State { rules, random: None, lists: HashMap::new() })))
    }

    /// Faults at random requests and events, until they are stopped. One of so many events is lost.
    pub fn random(seed: u64, events: usize) -> Self {
        let random = Some(Random { generator: fastrand::Rng::with_seed(seed), met: 0, events });
        Self(Arc::new(Mutex::new(State { rules: Vec::new(), random, lists: HashMap::new() })))
    }

    /// Ends random faults. Returns how many there were.
    pub fn stop(&self) -> usize {
        self.0.lock().random.take().map_or(0, |random| random.met)
    }

    /// The fault that a request meets. It counts for every rule; the first that meets it is chosen.
    pub fn meet(&self, request: &RequestId) -> Option<Fault> {
        self.count(&request.verb, &request.resource)
    }

    /// The fault that an event of a watch meets.
    pub fn meet_event(&self, resource: &str) -> Option<Fault> {
        self.count(EVENT, resource)
    }

    fn count(&self, verb: &str, resource: &str) -> Option<Fault> {
        let mut state = self.0.lock();
        let mut fault = state.random.as_mut().and_then(|random| random.fault(verb));
        for counted in state.rules.iter_mut().filter(|counted| counted.rule.is_of(verb, resource)) {
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

/// Which requests and events meet a fault.
struct Random {
    generator: fastrand::Rng,
    met: usize,
    /// Of so many events of watches one is lost.
    events: usize,
}

/// Of so many requests one meets a fault.
const REQUESTS: usize = 100;

impl Random {
    fn fault(&mut self, verb: &str) -> Option<Fault> {
        let rarity = if verb == EVENT { self.events } else { REQUESTS };
        if self.generator.usize(..rarity) > 0 {
            return None;
        }
        self.met += 1;
        self.generator.choice(possible(verb))
    }
}

/// The faults that a request of this verb can meet. None of them takes as long as a request's deadline.
fn possible(verb: &str) -> Vec<Fault> {
    let short = Duration::from_millis(300);
    let anywhere = [Fault::Delay(short), Fault::Reset, Fault::Truncate, Fault::Corrupt];
    let dropped = [When::Before, When::After].map(Fault::Drop);
    let answers = [(429, When::Before, Some(1)), (500, When::Before, None), (503, When::Before, None)];
    let answers = answers.map(|(code, when, retry)| Fault::Answer(code, when, retry));
    let own = match verb {
        EVENT => return vec![Fault::Lose],
        "watch" => vec![Fault::Close(short), Fault::Hold(short), Fault::Answer(410, When::Before, None)],
        "list" | "get" => Vec::new(),
        _ => vec![Fault::Answer(409, When::Before, None), Fault::Answer(504, When::After, None)],
    };
    anywhere.into_iter().chain(dropped).chain(answers).chain(own).collect()
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
        let events = ["pods", "services", "services"].map(|resource| faults.meet_event(resource));
        assert_eq!(events, [None, Some(Fault::Lose), None]);
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
