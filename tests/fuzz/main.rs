//! Searches for input that panics, or that needs more memory than its bytes justify.
//!
//! Each target takes its seeds (the samples of deploy/ and short texts), changes them at random ([`mutate`]) and measures the
//! peak of the allocated bytes while the product reads the result. The compiler of this repository
//! is stable Rust, so the search has no coverage to guide it. Its seed is printed:
//! `KCG_FUZZ_SEED=N` repeats a run, `KCG_FUZZ_SECONDS=N` sets the time of each target, and
//! `KCG_LONG=1` is ten minutes.
#![allow(clippy::unwrap_used, reason = "test code")]

mod mutate;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// One target at a time: the measure counts the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// Inputs are not grown beyond this many bytes; the webhook reads 3 MiB at most.
const LARGEST: usize = 1 << 20;

/// What a target may allocate at most for an input: this many bytes a byte, and a constant.
struct Bound {
    per_byte: usize,
    constant: usize,
}

fn time() -> Duration {
    let seconds = std::env::var("KCG_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let default = if std::env::var_os("KCG_LONG").is_some() { 600.0 } else { 1.0 };
    Duration::from_secs_f64(seconds.unwrap_or(default))
}

fn search(name: &str, seeds: &[Vec<u8>], bound: &Bound, target: impl Fn(&[u8])) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let seed = std::env::var("KCG_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("{name}: KCG_FUZZ_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut pool = seeds.to_vec();
    let end = Instant::now() + time();
    let (mut runs, mut dearest, mut slowest) = (0_u64, 0.0_f64, (Duration::ZERO, 0));
    while runs < seeds.len() as u64 || Instant::now() < end {
        let input = match seeds.get(usize::try_from(runs).unwrap()) {
            Some(seed) => seed.clone(),
            None => mutate::mutate(&pool[random.usize(..pool.len())], &mut random, LARGEST),
        };
        runs += 1;
        let base = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let start = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| target(&input)));
        let took = start.elapsed();
        let peak = MEMORY.peak_usage().saturating_sub(base);
        let most = bound.per_byte * input.len() + bound.constant;
        if ended.is_err() || peak > most {
            let file = std::env::temp_dir().join(format!("kcg-fuzz-{name}-{seed}"));
            std::fs::write(&file, &input).unwrap();
            panic!(
                "{name}: {} after {runs} inputs, {} bytes: {peak} bytes allocated, {most} allowed; the input is {}",
                if ended.is_err() { "a panic" } else { "too much memory" },
                input.len(),
                file.display(),
            );
        }
        slowest = slowest.max((took, input.len()));
        // What needs more memory a byte than everything before is changed further.
        let ratio = weight(peak) / weight(input.len() + 1024);
        if ratio > dearest {
            dearest = ratio;
            pool.push(input);
        }
    }
    println!("{name}: {runs} inputs, at most {dearest:.1} bytes a byte, slowest {slowest:?}");
}

/// As a number that divides; the sizes are far below 2^32.
fn weight(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX))
}
