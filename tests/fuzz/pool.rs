//! The inputs that are changed further: the seeds, the dearest of each size, and one for each thing that
//! a target can say.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use fastrand::Rng;

use crate::measure::{Cost, Said};

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Peak bytes for each byte of the input.
    Memory,
    /// CPU time for each byte of the input.
    Cpu,
}

impl Measure {
    pub const ALL: [Self; 2] = [Self::Memory, Self::Cpu];

    /// Bytes, or microseconds, for each kilobyte; a short input counts as a kilobyte more, so that
    /// what every input needs does not decide.
    pub fn of(self, cost: &Cost, bytes: usize) -> f64 {
        let amount = match self {
            Self::Memory => number(cost.peak),
            Self::Cpu => cost.cpu.as_secs_f64() * 1e6,
        };
        amount * 1024.0 / number(bytes + 1024)
    }
}

/// As a number that divides; the sizes are far below 2^32.
pub fn number(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX))
}

/// Inputs of about one size: 0 up to 1 KiB, and one more for each factor of four.
pub fn size_class(bytes: usize) -> u32 {
    (bytes >> 8).checked_ilog(4).unwrap_or(0)
}

/// The dearest input of a size.
#[derive(Clone, Debug)]
pub struct Dearest {
    pub ratio: f64,
    pub input: Arc<[u8]>,
}

/// A new input must need so much more than the dearest of its size.
const MORE: f64 = 1.05;
/// The most inputs that are kept because something new was said, and the most bytes of one.
const MOST_NEW: usize = 400;
const LARGEST_NEW: usize = 16 << 10;

#[derive(Debug, Default)]
pub struct Pool {
    seeds: Vec<Arc<[u8]>>,
    pub dearest: BTreeMap<(Measure, u32), Dearest>,
    said: HashSet<Said>,
    new: Vec<Arc<[u8]>>,
}

impl Pool {
    pub fn of(seeds: &[Arc<[u8]>]) -> Self {
        Self { seeds: seeds.to_vec(), ..Self::default() }
    }

    /// An input to change: rather a small one, of which more are tried in the same time.
    pub fn choose(&self, random: &mut Rng) -> &Arc<[u8]> {
        let kind = random.u8(..8);
        if kind < 3 && !self.new.is_empty() {
            return &self.new[random.usize(..self.new.len())];
        }
        if kind < 7 && !self.dearest.is_empty() {
            let mut at = || random.usize(..self.dearest.len());
            let dearest = [at(), at()].map(|at| self.dearest.values().nth(at).unwrap());
            let [one, two] = dearest;
            return if one.input.len() < two.input.len() { &one.input } else { &two.input };
        }
        &self.seeds[random.usize(..self.seeds.len())]
    }

    /// Whether the input would be the dearest of its size by this measure.
    pub fn is_dearest(&self, measure: Measure, cost: &Cost, bytes: usize) -> bool {
        let known = self.dearest.get(&(measure, size_class(bytes)));
        known.is_none_or(|known| measure.of(cost, bytes) > known.ratio * MORE)
    }

    /// Keeps the input if it is dear or says something new.
    pub fn add(&mut self, input: &Arc<[u8]>, cost: Cost) {
        for measure in Measure::ALL {
            if self.is_dearest(measure, &cost, input.len()) {
                let ratio = measure.of(&cost, input.len());
                let dearest = Dearest { ratio, input: Arc::clone(input) };
                self.dearest.insert((measure, size_class(input.len())), dearest);
            }
        }
        let is_new = cost.said.is_some_and(|said| self.said.insert(said));
        if is_new && input.len() <= LARGEST_NEW && self.new.len() < MOST_NEW {
            self.new.push(Arc::clone(input));
        }
    }

    /// The dearest of all sizes.
    pub fn most(&self, measure: Measure) -> f64 {
        let of_measure = self.dearest.iter().filter(|((of, _), _)| *of == measure);
        of_measure.map(|(_, dearest)| dearest.ratio).fold(0.0, f64::max)
    }
}
