//! CPU time and memory of the processes, as the kernel counts them.

use std::collections::BTreeMap;

use kcg_devcluster::usage::{cpu_seconds, peak_kib};
use serde::Serialize;

/// The side that a process belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Side {
    /// The operator's controllers and webhooks.
    Operator,
    /// etcd, kube-apiserver, kube-controller-manager, kube-scheduler.
    ControlPlane,
}

/// The cost of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// User and system time, in seconds.
    pub cpu_seconds: f64,
    /// The sum of the peaks of the processes that ran at the end, in MiB.
    pub memory_mib: f64,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    side: Side,
    first: f64,
    last: f64,
    peak_kib: u64,
    runs: bool,
}

/// Sums up readings of processes. A process that ends counts with its last reading; one that starts
/// after the first reading counts with all that it used.
#[derive(Debug, Default)]
pub struct Meter {
    readings: BTreeMap<u32, Reading>,
    has_started: bool,
}

impl Meter {
    /// Reads all of `processes`. Earlier processes that are not among them have ended.
    pub fn read(&mut self, processes: impl IntoIterator<Item = (Side, u32)>) {
        for reading in self.readings.values_mut() {
            reading.runs = false;
        }
        for (side, pid) in processes {
            let Some(cpu) = cpu_seconds(pid) else { continue };
            let peak = peak_kib(pid).unwrap_or_default();
            let first = if self.has_started { 0.0 } else { cpu };
            let new = Reading { side, first, last: cpu, peak_kib: 0, runs: true };
            let reading = self.readings.entry(pid).or_insert(new);
            (reading.last, reading.runs) = (cpu, true);
            reading.peak_kib = reading.peak_kib.max(peak);
        }
        self.has_started = true;
    }

    /// The cost of one side so far.
    pub fn cost(&self, side: Side) -> Cost {
        let of_side = || self.readings.values().filter(|reading| reading.side == side);
        #[allow(clippy::cast_precision_loss)] // Memory in KiB is far below 2^52.
        let memory_mib =
            of_side().filter(|reading| reading.runs).map(|reading| reading.peak_kib as f64 / 1024.0).sum();
        Cost { cpu_seconds: of_side().map(|reading| reading.last - reading.first).sum(), memory_mib }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_costs_what_it_used_since_the_first_reading() {
        let (mut meter, this) = (Meter::default(), [(Side::Operator, std::process::id())]);
        meter.read(this);
        use_a_tick(&mut meter, this);
        assert!(meter.cost(Side::Operator).memory_mib > 0.0);
        assert_eq!(meter.cost(Side::ControlPlane), Cost::default());
    }

    #[test]
    fn a_process_that_started_after_the_first_reading_costs_all_that_it_used() {
        let (mut before, mut after) = (Meter::default(), Meter::default());
        let this = [(Side::Operator, std::process::id())];
        before.read(this);
        use_a_tick(&mut before, this);
        after.read([]);
        after.read(this);
        assert!(after.cost(Side::Operator).cpu_seconds >= before.cost(Side::Operator).cpu_seconds);
        assert!(before.cost(Side::Operator).cpu_seconds > 0.0);
    }

    /// Uses the CPU until the kernel has counted a tick.
    fn use_a_tick(meter: &mut Meter, this: [(Side, u32); 1]) {
        let mut sum = 0_u64;
        while meter.cost(Side::Operator).cpu_seconds == 0.0 {
            sum = (0..1_000_000).fold(sum, u64::wrapping_add);
            meter.read(this);
        }
    }
}
