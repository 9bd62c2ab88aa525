//! The committed inputs of a target: the dearest ones of an earlier search, as small as they can be. They
//! are the seeds of the next one. `KCG_FUZZ_RENEW=1` writes them again after a search.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kcg_tests::repository;

use crate::measure::{self, Said};
use crate::mutate::Format;
use crate::pool::{Dearest, Measure, Pool};
use crate::shrink;

/// The most bytes of one input and of the inputs of a target.
const LARGEST: usize = 8 << 10;
const ALL: usize = 24 << 10;
/// How the names of the files begin that stay: something was repaired because of them.
const FOUND: &str = "found-";
/// What a private key contains.
const KEY: &[u8] = b"PRIVATE KEY";
/// How long one input is made smaller.
const SHRINKING: Duration = Duration::from_secs(20);
/// What must be left of the ratio of a smaller input.
const KEPT: f64 = 0.9;

fn folder(name: &str) -> PathBuf {
    repository("tests/fuzz/corpus").join(name)
}

/// The committed inputs of a target.
pub fn read(name: &str) -> Vec<Arc<[u8]>> {
    let Ok(entries) = std::fs::read_dir(folder(name)) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| std::fs::read(file).unwrap().into()).collect()
}

pub fn is_renewed() -> bool {
    std::env::var_os("KCG_FUZZ_RENEW").is_some()
}

/// Writes the dearest inputs of the pool, smaller, instead of the ones before.
pub fn write(name: &'static str, format: Format, pool: &Pool, target: &impl Fn(&[u8]) -> Said) {
    let mut files: Vec<(String, Arc<[u8]>)> = Vec::new();
    for measure in Measure::ALL {
        // Without an input that is no dearer than a smaller one.
        let mut most = 0.0;
        for ((_, class), dearest) in pool.dearest.iter().filter(|((of, _), _)| *of == measure) {
            if dearest.ratio > most {
                most = dearest.ratio;
                let input = smaller(name, format, measure, dearest, target);
                let file = format!("{}-{class}", if measure == Measure::Cpu { "cpu" } else { "memory" });
                files.push((file, input));
            }
        }
    }
    // Programs that search repositories for secrets report a key, whatever it opens.
    files.retain(|(_, input)| !input.windows(KEY.len()).any(|part| part == KEY));
    let folder = folder(name);
    std::fs::create_dir_all(&folder).unwrap();
    for file in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let is_found = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FOUND));
        if !is_found {
            std::fs::remove_file(file).unwrap();
        }
    }
    // The last ones need most.
    let mut room = ALL;
    for (file, input) in files.into_iter().rev() {
        if input.len() <= LARGEST.min(room) {
            room -= input.len();
            std::fs::write(folder.join(file), &input).unwrap();
        }
    }
}

/// Writes the only input of a target.
pub fn write_one(name: &str, input: &[u8]) {
    std::fs::create_dir_all(folder(name)).unwrap();
    std::fs::write(folder(name).join("memory"), input).unwrap();
}

fn smaller(
    name: &'static str,
    format: Format,
    measure: Measure,
    dearest: &Dearest,
    target: &impl Fn(&[u8]) -> Said,
) -> Arc<[u8]> {
    let end = Instant::now() + SHRINKING;
    let least = dearest.ratio * KEPT;
    shrink::shrink(&dearest.input, format, |input| {
        if Instant::now() >= end {
            return false;
        }
        let input: Arc<[u8]> = input.into();
        let runs = if measure == Measure::Cpu { 2 } else { 1 };
        let cost = measure::run_again(name, &input, target, runs);
        measure.of(&cost, input.len()) >= least
    })
}
