//! The plans: every fault at every request of the life, and the rows of docs/faults.md that are one
//! plan each.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::plan::{EVENT, Fault, Plan, When};
use crate::request::RequestId;

/// Rows of docs/faults.md, each with a plan that the exhaustive ones do not contain.
const ROWS: [(&str, &str); 42] = [
    ("B1", "1 group | watch * #1 x* close 200ms"),
    ("B4", "1 group | watch services #1 silence"),
    ("B4", "1 group | watch kconsumergroups #1 silence"),
    ("B6", "1 group | event services #3 lose | list services #2 replay"),
    ("B6", "1 group | event horizontalpodautoscalers #3 lose | list horizontalpodautoscalers #2 replay"),
    ("B6", "1 group | patch kconsumergroups/status #3 kill after | list * #9 x8 replay"),
    ("B7", "1 group | watch * #1 x8 hold 5000ms"),
    ("B7", "1 group | watch * #1 x* lag 2000ms"),
    ("B8", "1 group | event horizontalpodautoscalers #1 x* swap"),
    ("B8", "1 group | event kafkatopics #1 x* swap"),
    ("B8", "1 group | event kconsumergroups #1 x* swap"),
    ("B8", "1 group | event deployments #1 x* swap"),
    ("B8", "1 group | event services #1 x* swap"),
    ("B8", "1 group | event servicemonitors #1 x* swap"),
    ("B8", "1 group | event prometheusrules #1 x* swap"),
    ("B8", "1 group | event * #1 x* swap"),
    ("B8", "1 group | event kconsumergroups #1 x* repeat"),
    ("B8", "1 group | event deployments #1 x* repeat"),
    ("B8", "1 group | event services #1 x* repeat"),
    ("B10", "1 group | event deployments #2 inflate"),
    ("B10", "1 group | event kconsumergroups #2 x3 inflate"),
    ("B10", "1 group | watch kconsumergroups #1 corrupt"),
    ("B10", "1 group | watch deployments #1 truncate"),
    ("B10", "1 group | list kconsumergroups #1 corrupt"),
    ("B10", "1 group | list services #1 truncate"),
    ("C2", "1 group | create * #1 x6 answer 429 before retry 2"),
    ("C3", "1 group | * * #40 x30 answer 503 before"),
    ("C4", "1 group | create services #1 stall"),
    ("C4", "1 group | patch kconsumergroups/status #2 x2 stall"),
    ("C4", "1 group | list services #1 stall"),
    ("C4", "1 group | watch deployments #1 stall"),
    ("C5", "1 group | * * #1 x* delay 1000ms"),
    ("C5", "1 group | * * #1 x* trickle 500ms"),
    ("C6", "1 group | * * #30 x40 reset"),
    ("C6", "1 group | create deployments #1 reset"),
    ("C6", "1 group | create horizontalpodautoscalers #1 drop before"),
    ("C6", "1 group | create horizontalpodautoscalers #1 drop after"),
    ("C6", "1 group | patch horizontalpodautoscalers #2 drop after"),
    ("F3", "1 group | create services #1 kill late 20000ms"),
    ("F3", "1 group | patch services #1 kill late 20000ms"),
    ("F3", "1 group | patch deployments #1 kill late 20000ms"),
    ("F3", "1 group | patch horizontalpodautoscalers #1 kill late 20000ms"),
];

/// The plans of [`ROWS`].
pub fn rows() -> Result<Vec<Plan>> {
    ROWS.iter().map(|(_, plan)| plan.parse()).collect()
}

/// Every fault at every request that a clean run made. With several groups a crash alone.
pub fn exhaustive(groups: usize, counts: &BTreeMap<RequestId, usize>) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (request, count) in counts {
        // What is repeated as time passes meets its faults at the beginning.
        let count = match request {
            request if request.is_of_lease() => (*count).min(2),
            request if request.is_periodic() => (*count).min(1),
            _ => *count,
        };
        let faults = if groups == 1 { faults(request) } else { crashes(request) };
        for nth in 1..=count {
            plans.extend(faults.iter().map(|(times, fault)| Plan::one(groups, request, nth, *times, *fault)));
        }
    }
    plans
}

fn crashes(request: &RequestId) -> Vec<(usize, Fault)> {
    if request.verb == EVENT {
        return Vec::new();
    }
    [When::Before, When::After].map(|when| (1, Fault::Kill(when))).to_vec()
}

fn faults(request: &RequestId) -> Vec<(usize, Fault)> {
    if request.verb == EVENT {
        return vec![(1, Fault::Lose)];
    }
    // An API server answers no read with 409, and a list or a watch with 410.
    let conflict = if request.is_write() { 409 } else { 410 };
    let answers = [
        Fault::Answer(conflict, When::Before, None),
        Fault::Answer(429, When::Before, Some(1)),
        Fault::Answer(500, When::Before, None),
        Fault::Answer(504, When::After, None),
    ];
    let answers = answers.into_iter().flat_map(|answer| [(1, answer), (3, answer)]);
    let all = crashes(request).into_iter().chain(answers);
    if request.is_write() && !request.is_of_lease() {
        let ends = [Fault::Term, Fault::Remove];
        return all.chain(ends.map(|end| (1, end))).collect();
    }
    all.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_of_a_life_meets_every_fault() {
        let id = |verb: &str, resource: &str| RequestId { verb: verb.into(), resource: resource.into() };
        let counts = [
            (id("create", "services"), 2),
            (id("update", "leases"), 40),
            (id("watch", "services"), 7),
            (id(EVENT, "services"), 3),
        ];
        let counts = counts.into();
        assert_eq!(exhaustive(1, &counts).len(), 2 * 12 + 2 * 10 + 10 + 3);
        assert_eq!(exhaustive(10, &counts).len(), 2 * 2 + 2 * 2 + 2);
        for plan in exhaustive(1, &counts) {
            assert_eq!(plan.to_string().parse::<Plan>().unwrap(), plan);
        }
    }

    #[test]
    fn the_plan_of_a_row_is_printed_as_it_is_written() {
        for ((row, text), plan) in ROWS.iter().zip(rows().unwrap()) {
            assert_eq!(plan.to_string(), *text, "{row}");
        }
    }
}
