//! The heaviest group that is admitted: a hill climb on the peak of the bytes that its review and its
//! owned resources need. The bounds on a spec (`api/src/spec_bounds`) are what limits it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kcg_api::spec_bounds;
use kcg_webhook::admit::Stage;
use kcg_webhook::review::{Decision, respond};
use serde_json::Value;

use crate::corpus;
use crate::measure;
use crate::mutate::{self, Format, Place};
use crate::search::{alone, random, time};
use crate::seeds;
use crate::targets::{Rules, children, review};

const NAME: &str = "heaviest";
/// What one review or one reconcile of an admitted group may need.
const MOST: usize = 20_000_000;
/// How many groups are changed further.
const POPULATION: usize = 24;

/// A group that is admitted, and what it needs.
struct Admitted {
    group: Value,
    review: usize,
    reconcile: usize,
    cpu: Duration,
}

impl Admitted {
    fn most(&self) -> usize {
        self.review.max(self.reconcile)
    }

    fn of(group: &Value) -> Option<Self> {
        let text = group.to_string();
        if text.len() > spec_bounds::MAX_BYTES + 2048 {
            return None;
        }
        let update = seeds::review(group);
        let mut creation = update.clone();
        creation["request"]["operation"] = "CREATE".into();
        creation["request"]["oldObject"] = Value::Null;
        let response = respond(Stage::Mutate, creation.to_string().as_bytes(), &Rules);
        if !response.is_ok_and(|response| response.outcome.decision == Decision::Allowed) {
            return None;
        }
        // An update weighs more: it has both objects.
        let body: Arc<[u8]> = update.to_string().into_bytes().into();
        let reviewed = measure::run(NAME, &body, &review);
        let text: Arc<[u8]> = text.into_bytes().into();
        let reconcile = |input: &[u8]| children(serde_json::from_slice(input).unwrap());
        let reconciled = measure::run(NAME, &text, &reconcile);
        assert_eq!(reconciled.said, Some(0), "what is admitted has owned resources: {group}");
        let cpu = reviewed.cpu.max(reconciled.cpu);
        Some(Self { group: group.clone(), review: reviewed.peak, reconcile: reconciled.peak, cpu })
    }
}

#[test]
fn the_heaviest_admitted_group_needs_less_than_20_mb() {
    let _alone = alone();
    let mut random = random(NAME);
    let committed = corpus::read(NAME).into_iter().map(|input| serde_json::from_slice(&input).unwrap());
    let seeds: Vec<Value> = seeds::groups().into_iter().chain(committed).collect();
    let mut population: Vec<Admitted> = seeds.iter().filter_map(Admitted::of).collect();
    assert!(population.len() >= 5, "only {} of the seeds are admitted", population.len());
    let (start, mut tried, mut admitted) = (Instant::now(), 0, 0);
    let mut slowest = Duration::ZERO;
    while start.elapsed() < time() {
        let mut group = population[random.usize(..population.len())].group.clone();
        let other = random.choice(&population).map(|other| other.group["spec"].clone());
        let mut place = Place::default();
        for _ in 0..random.usize(1..=3) {
            mutate::change(&mut group["spec"], other.as_ref(), &mut place, &mut random);
        }
        tried += 1;
        // What the changes made twice occurs once: the API server stores it so.
        let Ok(group) = serde_json::from_slice(&Format::Json.print(&group, &mut random)) else { continue };
        let Some(found) = Admitted::of(&group) else { continue };
        admitted += 1;
        slowest = slowest.max(found.cpu);
        assert!(
            found.most() <= MOST,
            "{} bytes: the group is {}",
            found.most(),
            measure::save(NAME, group.to_string().as_bytes()).display()
        );
        population.push(found);
        population.sort_by_key(|found| std::cmp::Reverse(found.most()));
        population.truncate(POPULATION);
    }
    let heaviest = &population[0];
    let bytes = heaviest.group["spec"].to_string().len();
    println!(
        "{NAME}: {admitted} of {tried} groups are admitted; the heaviest: a review needs {} bytes, a reconcile {}; \
         its spec has {bytes} bytes and {} values; slowest {slowest:?} in {:?}",
        heaviest.review,
        heaviest.reconcile,
        mutate::nodes(&heaviest.group["spec"]),
        start.elapsed(),
    );
    assert!(heaviest.most() <= MOST, "{} bytes", heaviest.most());
    if corpus::is_renewed() {
        corpus::write_one(NAME, heaviest.group.to_string().as_bytes());
    }
    measure::forget(NAME);
}
