//! Made-up results: groups that process their records by simple rules.
// Small numbers of records and seconds.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

use kcg_closed_loop::metrics::{Account, GroupMetrics, OperatorMetrics, RunMetrics, Sent};
use kcg_closed_loop::observe::cost::Cost;
use kcg_closed_loop::observe::processed_log::Processed;
use kcg_closed_loop::observe::requests::Requests;
use kcg_closed_loop::results::Results;
use kcg_closed_loop::timeline::{AlertSpan, GroupTimeline, Line, Moment, Timeline};

const PARTITIONS: i32 = 3;
const LOAD: f64 = 24.0;
const TICK_MS: u32 = 10;

/// How a run behaves.
struct Run {
    title: &'static str,
    records: u32,
    /// Seconds from the load to the second and the third pod.
    pods: [f64; 2],
    /// The seconds without progress at each rebalance.
    pause: f64,
    rest: f64,
}

/// A run with the operator's settings.
pub fn shipped() -> Results {
    let run = Run {
        title: "The closed loop on a real Kafka",
        records: 10_000,
        pods: [7.0, 7.6],
        pause: 0.3,
        rest: 16.0,
    };
    run.results(&["kconsumer"])
}

/// A run with the defaults of Kubernetes and Kafka.
pub fn defaults() -> Results {
    let run =
        Run { title: "Kubernetes' defaults", records: 10_000, pods: [9.0, 24.0], pause: 3.2, rest: 41.0 };
    run.results(&["kconsumer"])
}

/// A run with many groups.
pub fn scaled(groups: usize) -> Results {
    let names: Vec<String> = (0..groups).map(|index| format!("orders-{index}")).collect();
    let run = Run { title: "Ten groups at once", records: 3000, pods: [7.0, 8.0], pause: 0.4, rest: 16.0 };
    run.results(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

impl Run {
    fn results(&self, names: &[&str]) -> Results {
        let moment = |at, text: &str| Moment { at, text: text.into() };
        let simulated: Vec<_> = names.iter().map(|name| self.group(name)).collect();
        let drained = simulated
            .iter()
            .map(|(_, metrics)| LOAD + metrics.load_to_drained.unwrap_or(60.0))
            .fold(0.0, f64::max);
        let (timelines, metrics): (Vec<_>, Vec<_>) = simulated.into_iter().unzip();
        let cost = |cpu_seconds, memory_mib| Cost { cpu_seconds, memory_mib };
        Results {
            title: self.title.into(),
            timeline: Timeline {
                end: drained + self.rest + 14.0,
                steps: vec![
                    moment(0.0, "A topic with one partition; a bad group is refused against it"),
                    moment(4.2, "A good one is created, and its consumer joins the group on the broker"),
                    moment(15.0, "The topic grows from one partition to three, and the ceiling follows"),
                    moment(
                        LOAD,
                        "10,000 records and the end marker: lag rises, and one consumer becomes three",
                    ),
                    moment(LOAD + 14.0, "A consumer and the leading controller are killed in the middle"),
                    moment(drained, "Nothing is left to do: three become one, and the alerts resolve"),
                    moment(
                        drained + self.rest + 6.0,
                        "The group is deleted, and all that was made for it goes",
                    ),
                ],
                marks: vec![
                    moment(15.2, "1 → 3 partitions"),
                    moment(LOAD, "load"),
                    moment(LOAD + 14.0, "SIGKILL kconsumer-6d5f8c7b9-x2x9p"),
                    moment(LOAD + 14.6, "SIGKILL the leading controller"),
                ],
                groups: timelines,
            },
            metrics: RunMetrics {
                groups: metrics,
                operator: Some(OperatorMetrics {
                    requests: Requests { writes: 61, lease: 58, reads: 44, watches: 26 },
                    all_requests: Requests { writes: 1480, lease: 402, reads: 2210, watches: 310 },
                    operator: cost(1.31, 48.2),
                    control_plane: cost(41.7, 702.0),
                }),
            },
            settings: vec![
                ("Records".into(), self.records.to_string()),
                ("Autoscaler's period".into(), "2 s".into()),
                ("Work on a record".into(), "10 ms".into()),
            ],
        }
    }

    /// Simulates the load: each pod processes a record every 10 ms from its partitions in turn,
    /// unless the group rebalances.
    fn group(&self, name: &str) -> (GroupTimeline, GroupMetrics) {
        let topic = format!("{name}-data");
        let pods = ["x2x9p", "k8w4q", "m7c2d", "t5z8r"].map(|end| format!("{name}-6d5f8c7b9-{end}"));
        // When each pod is a member: one is killed and replaced.
        let killed = LOAD + 14.0;
        let members =
            [(0.0, killed), (LOAD + self.pods[0], 1e9), (LOAD + self.pods[1], 1e9), (killed + 2.6, 1e9)];
        let changes = [LOAD + self.pods[0], LOAD + self.pods[1], killed + 2.6];
        let all = f64::from(self.records + 1);
        let shares = [(all * 0.45).floor(), (all * 0.33).floor()];
        let shares = [shares[0], shares[1], all - shares[0] - shares[1]];
        let (mut done, mut records) = ([0_i64; 3], Vec::new());
        let mut lag = vec![Vec::new(); 3];
        let mut drained = None;
        for tick in 0..40_000_u32 {
            let at = f64::from(tick * TICK_MS) / 1000.0;
            let sent = shares.map(|share| (share * ((at - LOAD) / 4.0).clamp(0.0, 1.0)).floor() as i64);
            let running: Vec<&String> = pods
                .iter()
                .zip(members)
                .filter(|(_, (from, to))| (*from..*to).contains(&at))
                .map(|(pod, _)| pod)
                .collect();
            let paused = changes.iter().any(|change| (*change..change + self.pause).contains(&at));
            for (index, pod) in running.iter().enumerate().filter(|_| !paused) {
                let mine = (0..3).filter(|partition| partition % running.len() == index);
                let Some(partition) = mine.max_by_key(|partition| sent[*partition] - done[*partition]) else {
                    continue;
                };
                if done[partition] < sent[partition] {
                    let offset = done[partition];
                    records.push(record(at, pod, &topic, partition, offset));
                    // Records that the killed pod had not committed are processed again.
                    if at > killed + 2.6 && at < killed + 3.2 && partition == 0 {
                        records.push(record(at, pod, &topic, partition, (offset - 80).max(0)));
                    }
                    done[partition] += 1;
                }
            }
            if tick % 50 == 0 {
                for (partition, line) in lag.iter_mut().enumerate() {
                    line.push((at, (sent[partition] - done[partition]) as f64));
                }
            }
            if at > LOAD + 4.0 && done == sent && drained.is_none() {
                drained = Some(at);
            }
            if drained.is_some_and(|drained| at > drained + self.rest + 14.0) {
                break;
            }
        }
        let drained = drained.expect("all records are processed");
        self.observed(name, &topic, &records, lag, drained)
    }

    fn observed(
        &self,
        name: &str,
        topic: &str,
        records: &[Processed],
        lag: Vec<Vec<(f64, f64)>>,
        drained: f64,
    ) -> (GroupTimeline, GroupMetrics) {
        let account = Account::new(records, |at| at as f64 / 1000.0);
        let killed = LOAD + 14.0;
        let [second, third] = self.pods.map(|after| LOAD + after);
        let (rest, goes) = (drained + self.rest, drained + self.rest + 8.0);
        let mut rebalances = [8.0, 17.0, second, third, killed + 2.6, rest];
        rebalances.sort_by(f64::total_cmp);
        let span = |name: &str, firing, from, to| AlertSpan { name: name.into(), firing, from, to: Some(to) };
        let group = GroupTimeline {
            name: name.into(),
            limit: Some(500.0),
            lag: (0..PARTITIONS)
                .zip(lag)
                .map(|(partition, points)| Line { label: format!("{topic}/{partition}"), points })
                .collect(),
            wanted: vec![(6.0, 1.0), (LOAD + 3.0, 3.0), (rest - 0.6, 1.0), (goes, 0.0)],
            ready: vec![
                (5.0, 0.0),
                (8.0, 1.0),
                (second, 2.0),
                (third, 3.0),
                (killed, 2.0),
                (killed + 2.6, 3.0),
                (rest, 1.0),
                (goes, 0.0),
            ],
            ceiling: vec![(4.4, 1.0), (15.2, 3.0)],
            rebalances: (1..).map(f64::from).zip(rebalances).map(|(count, at)| (at, count)).collect(),
            throughput: account.throughput(1.0),
            sent: (0..=40)
                .map(|step| (LOAD + f64::from(step) / 10.0, f64::from((self.records + 1) * step / 40)))
                .collect(),
            alerts: vec![
                span("KConsumerGroupLagAboveLimit", false, LOAD + 2.0, LOAD + 6.0),
                span("KConsumerGroupLagAboveLimit", true, LOAD + 6.0, drained + 3.0),
                span("KConsumerGroupAtCeiling", false, third, drained + 1.0),
            ],
        };
        let mut sent = Sent::new();
        for record in records {
            sent.entry(topic.to_owned()).or_default().insert(record.value.clone());
        }
        let metrics = GroupMetrics::measure(&group, &account, &sent, LOAD, Some(38.0));
        (group, metrics)
    }
}

fn record(at: f64, pod: &str, topic: &str, partition: usize, offset: i64) -> Processed {
    let partition = partition as i32;
    Processed {
        at: (at * 1000.0) as u64,
        pod: pod.into(),
        run: pod.into(),
        topic: topic.into(),
        partition,
        offset,
        value: format!("bar-{partition}-{offset}"),
    }
}
