//! The search: changes inputs, measures them, and fails at the first that costs too much.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kcg_tests::{is_long, variable};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::corpus;
use crate::measure::{self, Cost, Said};
use crate::mutate::{self, Format};
use crate::pool::{Measure, Pool, number};

/// Bytes of the address space of the search.
const MOST_MEMORY: u64 = 6 << 30;
/// One target at a time: the measure counts the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// Something that reads what others wrote.
pub struct Target {
    pub name: &'static str,
    pub format: Format,
    /// Inputs are not grown beyond this many bytes: as many as the product reads.
    pub largest: usize,
    pub bound: Bound,
}

/// What a target may need for an input at most: so much for each byte, and a constant. The CPU time
/// is that of a debug build.
pub struct Bound {
    pub bytes_per_byte: usize,
    pub bytes: usize,
    pub cpu_per_byte: Duration,
    pub cpu: Duration,
}

impl Bound {
    fn breach(&self, cost: &Cost, len: usize) -> Option<String> {
        let bytes = self.bytes_per_byte * len + self.bytes;
        let cpu = self.cpu_per_byte * u32::try_from(len).unwrap_or(u32::MAX) + self.cpu;
        if cost.said.is_none() {
            Some("a panic".into())
        } else if cost.peak > bytes {
            Some(format!("{} bytes allocated, {bytes} allowed", cost.peak))
        } else if cost.cpu > cpu {
            Some(format!("{:?} of CPU time, {cpu:?} allowed", cost.cpu))
        } else {
            None
        }
    }
}

pub fn time() -> Duration {
    let seconds = variable("KCG_FUZZ_SECONDS").unwrap();
    Duration::from_secs_f64(seconds.unwrap_or(if is_long() { 600.0 } else { 1.0 }))
}

/// The random numbers of a search; their seed is printed.
pub fn random(name: &str) -> fastrand::Rng {
    let seed: u64 = variable("KCG_FUZZ_SEED").unwrap().unwrap_or_else(|| fastrand::u64(..));
    println!("{name}: KCG_FUZZ_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// What was said, without the numbers and the words of the input.
pub fn said(what: &impl Hash) -> Said {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Searches alone, whatever other tests run.
pub fn alone() -> std::sync::MutexGuard<'static, ()> {
    // What needs more than this ends the process, not the computer.
    let limit = Rlimit { current: Some(MOST_MEMORY), maximum: Some(MOST_MEMORY) };
    setrlimit(Resource::As, limit).unwrap();
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks for an input that costs more than the bound.
pub fn search(target: &Target, seeds: &[Vec<u8>], run: impl Fn(&[u8]) -> Said) {
    let _alone = alone();
    let mut random = random(target.name);
    let mut inputs: Vec<Arc<[u8]>> = seeds.iter().map(|seed| seed.as_slice().into()).collect();
    inputs.extend(corpus::read(target.name));
    // One input alone, to see what happens to it.
    let only = std::env::var_os("KCG_FUZZ_INPUT");
    let time = if only.is_some() { Duration::ZERO } else { time() };
    if let Some(file) = only {
        inputs = vec![std::fs::read(file).unwrap().into()];
    }
    let mut pool = Pool::of(&inputs);
    let start = Instant::now();
    let (mut runs, mut slowest) = (0_usize, (Duration::ZERO, 0));
    while runs < inputs.len() || start.elapsed() < time {
        let input = inputs.get(runs).cloned().unwrap_or_else(|| {
            let (seed, other) = (pool.choose(&mut random), pool.choose(&mut random));
            mutate::mutate(seed, other, target.format, &mut random, target.largest).into()
        });
        runs += 1;
        let cost = cost(target, &input, &pool, &run);
        if let Some(why) = target.bound.breach(&cost, input.len()) {
            let (file, bytes) = (measure::save(target.name, &input), input.len());
            panic!("{}: input {runs} of {bytes} bytes: {why}; the input is {}", target.name, file.display());
        }
        slowest = slowest.max((cost.cpu, input.len()));
        pool.add(&input, cost);
    }
    grow(target, &pool, &run);
    measure::forget(target.name);
    let (seconds, memory, cpu) =
        (start.elapsed().as_secs(), pool.most(Measure::Memory), pool.most(Measure::Cpu));
    // A row of the table in docs/security.md.
    println!(
        "| {} | {runs} | {seconds} | {:.1} | {cpu:.0} | {:.0} ms for {} kB |",
        target.name,
        memory / 1024.0,
        slowest.0.as_secs_f64() * 1e3,
        slowest.1 / 1024,
    );
    if corpus::is_renewed() {
        corpus::write(target.name, target.format, &pool, &run);
    }
}

/// The cost of an input, measured again if it looks dear: another program may have been at fault.
fn cost(target: &Target, input: &Arc<[u8]>, pool: &Pool, run: &impl Fn(&[u8]) -> Said) -> Cost {
    let cost = measure::run(target.name, input, run);
    let is_dear = pool.is_dearest(Measure::Cpu, &cost, input.len());
    let breaches = target.bound.breach(&cost, input.len()).is_some() && cost.said.is_some();
    if !is_dear && !breaches {
        return cost;
    }
    let again = measure::run_again(target.name, input, run, 2);
    Cost { cpu: cost.cpu.min(again.cpu), ..cost }
}

/// How much larger an input becomes, to see how its cost grows.
const TIMES: usize = 8;
/// How often a cost may be the one that grows with the size of the input.
const STEEPNESS: f64 = 3.0;

/// The cost of what is dear grows with its size, not with the square of it.
fn grow(target: &Target, pool: &Pool, run: &impl Fn(&[u8]) -> Said) {
    let (least, most) = (Duration::from_millis(2), Duration::from_millis(if is_long() { 2000 } else { 20 }));
    for dearest in pool.dearest.values() {
        let base = measure::run_again(target.name, &dearest.input, run, 2);
        if base.cpu < least || base.cpu > most {
            continue;
        }
        for input in larger(target, &dearest.input) {
            let factor = number(input.len()) / number(dearest.input.len());
            let grown = measure::run(target.name, &input, run);
            let is_steep = |cost: &Cost| cost.cpu.as_secs_f64() > base.cpu.as_secs_f64() * factor * STEEPNESS;
            if is_steep(&grown) && is_steep(&measure::run_again(target.name, &input, run, 2)) {
                let file = measure::save(target.name, &input);
                panic!(
                    "{}: {:?} for {} bytes, but {:?} for {} bytes like them; the input is {}",
                    target.name,
                    base.cpu,
                    dearest.input.len(),
                    grown.cpu,
                    input.len(),
                    file.display(),
                );
            }
        }
    }
}

/// The input with a part of it many times as large.
fn larger(target: &Target, input: &[u8]) -> Vec<Arc<[u8]>> {
    if input.len() * 2 > target.largest {
        return Vec::new();
    }
    let value = target.format.parse(input);
    let values = value.into_iter().flat_map(|value| mutate::grown(&value, TIMES));
    let inputs = values.map(|value| value.to_string().into_bytes()).chain([input.repeat(TIMES)]);
    let is_larger = |larger: &Vec<u8>| larger.len() <= target.largest && larger.len() >= 2 * input.len();
    inputs.filter(is_larger).map(Into::into).collect()
}
