//! Many new groups at once: ours, the floor with the same requests, the floor by apply, and every peer, each
//! on a new cluster, in the order ABCD, then DCBA.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;

use super::{Bench, converge, progress};
use crate::cluster::Cluster;
use crate::contestant::{Contestant, OURS};
use crate::floor;
use crate::observe::Convergence;
use crate::recording::{Recording, Verb};
use crate::report::{RATIO, Row};
use crate::statistics::{order, ratios};
use crate::workload::Workload;

const CASE: &str = "burst";
const FLOOR: &str = "floor";
const FLOOR_BY_APPLY: &str = "floor by apply";
/// So many groups are completed first, which opens connections and fills caches.
const WARM_UP: Workload = Workload::new("early", 30);

enum Entrant {
    Operator(Contestant),
    Floor(Verb),
}

impl Entrant {
    fn name(&self) -> &str {
        match self {
            Self::Operator(contestant) => &contestant.name,
            Self::Floor(Verb::Same) => FLOOR,
            Self::Floor(Verb::Apply) => FLOOR_BY_APPLY,
        }
    }
}

/// What one burst cost.
#[derive(Default)]
struct Figures {
    seconds: Vec<f64>,
    apiserver_cpu: Vec<f64>,
    own_cpu: Vec<f64>,
}

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let recording = bench.recording().await?;
    let mut entrants = vec![Entrant::Floor(Verb::Same)];
    entrants.extend(bench.contestants.iter().cloned().map(Entrant::Operator));
    entrants.push(Entrant::Floor(Verb::Apply));
    for groups in bench.options.groups.clone() {
        let mut figures: BTreeMap<String, Figures> = BTreeMap::new();
        for round in 0..bench.options.rounds {
            for index in order(entrants.len(), round) {
                let entrant = &entrants[index];
                let [seconds, apiserver, own] = measure(bench, entrant, &recording, groups).await?;
                progress(&format!(
                    "burst of {groups}, round {}: {} {seconds:.2} s, API server {apiserver:.2} CPU-s, itself {own:.2} CPU-s",
                    round + 1,
                    entrant.name()
                ));
                let figures = figures.entry(entrant.name().to_owned()).or_default();
                figures.seconds.push(seconds);
                figures.apiserver_cpu.push(apiserver);
                figures.own_cpu.push(own);
            }
        }
        bench.add(rows(groups, &figures))?;
    }
    Ok(())
}

/// Seconds, CPU seconds of the API server, and CPU seconds of the operator.
async fn measure(
    bench: &Bench<'_>,
    entrant: &Entrant,
    recording: &Recording,
    groups: usize,
) -> Result<[f64; 3]> {
    let cluster = bench.cluster().await?;
    let workload = Workload::new("bench", groups);
    match entrant {
        Entrant::Operator(contestant) => {
            let running = contestant.start(&cluster)?;
            converge(&cluster, &running, WARM_UP).await?;
            workload.create_topics(&cluster.client).await?;
            running.rest().await?;
            let burst = async || workload.create_groups(&cluster.client, None).await;
            timed(&cluster, workload, burst, || running.cpu()).await
        }
        Entrant::Floor(verb) => {
            WARM_UP.create_topics(&cluster.client).await?;
            write(&cluster, recording, *verb, WARM_UP).await?;
            workload.create_topics(&cluster.client).await?;
            let burst = async || write(&cluster, recording, *verb, workload).await;
            timed(&cluster, workload, burst, || Ok(0.0)).await
        }
    }
}

async fn timed(
    cluster: &Cluster,
    workload: Workload,
    burst: impl AsyncFnOnce() -> Result<()>,
    own_cpu: impl Fn() -> Result<f64>,
) -> Result<[f64; 3]> {
    let read = || anyhow::Ok([cluster.apiserver_cpu()?, own_cpu()?]);
    let convergence = Convergence::begin(&cluster.client, workload).await?;
    let (before, began) = (read()?, Instant::now());
    burst().await?;
    let (end, after) = convergence.end(&cluster.client, read).await?;
    Ok([end.duration_since(began).as_secs_f64(), after[0] - before[0], after[1] - before[1]])
}

/// Creates groups, and completes each as soon as it exists.
async fn write(cluster: &Cluster, recording: &Recording, verb: Verb, workload: Workload) -> Result<()> {
    let (sender, created) = tokio::sync::mpsc::unbounded_channel();
    let create = async {
        // Moved in: the floor ends when the last group was created.
        let sender = sender;
        workload.create_groups(&cluster.client, Some(&sender)).await
    };
    let complete = floor::complete(&cluster.client, recording, verb, workload, created);
    tokio::try_join!(create, complete).map(drop)
}

fn rows(groups: usize, figures: &BTreeMap<String, Figures>) -> Vec<Row> {
    let row = |what: String, unit, samples: &[f64]| Row::new(CASE, groups, what, unit, samples.to_vec());
    let mut rows = Vec::new();
    for (name, figures) in figures {
        rows.push(row(format!("{name}: converged"), "s", &figures.seconds));
        rows.push(row(format!("{name}: API server CPU"), "CPU-s", &figures.apiserver_cpu));
        if ![FLOOR, FLOOR_BY_APPLY].contains(&name.as_str()) {
            rows.push(row(format!("{name}: its own CPU"), "CPU-s", &figures.own_cpu));
        }
    }
    let mut ratio =
        |of: &str, to: &str, what: &str, target: Option<f64>, of_what: fn(&Figures) -> &Vec<f64>| {
            if let (Some(of_figures), Some(to_figures)) = (figures.get(of), figures.get(to)) {
                let samples = ratios(of_what(of_figures), of_what(to_figures));
                let row = Row::new(CASE, groups, format!("{of} / {to}: {what}"), RATIO, samples);
                rows.push(Row { target, ..row });
            }
        };
    ratio(OURS, FLOOR, "time", Some(1.08), |figures| &figures.seconds);
    ratio(OURS, FLOOR, "API server CPU", Some(1.10), |figures| &figures.apiserver_cpu);
    ratio(OURS, FLOOR_BY_APPLY, "time", None, |figures| &figures.seconds);
    for name in figures.keys().filter(|name| ![OURS, FLOOR, FLOOR_BY_APPLY].contains(&name.as_str())) {
        ratio(OURS, name, "time", Some(1.0), |figures| &figures.seconds);
        ratio(OURS, name, "API server CPU", Some(1.0), |figures| &figures.apiserver_cpu);
    }
    rows
}
