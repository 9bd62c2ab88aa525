//! What the kernel counts of a process: CPU time and memory.

use std::path::PathBuf;

use rustix::param::clock_ticks_per_second;

use crate::{Error, Result};

/// User and system time of a process so far, in seconds; the kernel counts in steps of 10 ms.
/// `None` if there is no such process.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    cpu_ticks(&read(pid, "stat")).map(seconds)
}

/// The resident memory of a process in KiB. `None` if there is no such process.
pub fn resident_kib(pid: u32) -> Option<u64> {
    kib(&read(pid, "status"), "VmRSS:")
}

/// The part of the resident memory that is the process's own, in KiB: without the pages of its program, which
/// all processes of the program share. `None` if there is no such process.
pub fn own_kib(pid: u32) -> Option<u64> {
    kib(&read(pid, "status"), "RssAnon:")
}

/// The most resident memory that a process had since it started, or since [`reset_peak`], in KiB.
/// `None` if there is no such process.
pub fn peak_kib(pid: u32) -> Option<u64> {
    kib(&read(pid, "status"), "VmHWM:")
}

/// Makes [`peak_kib`] count from now on.
pub fn reset_peak(pid: u32) -> Result<()> {
    let path = PathBuf::from(format!("/proc/{pid}/clear_refs"));
    std::fs::write(&path, "5").map_err(Error::file("write", &path))
}

fn read(pid: u32, name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default()
}

/// User and system time of /proc/PID/stat, in ticks. The name before them may contain anything, so
/// its end is searched from the right.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[allow(clippy::cast_precision_loss)] // 2^52 ticks are more than a million years.
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second() as f64
}

/// A field of /proc/PID/status.
fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_brackets_and_blanks_is_skipped() {
        let stat = "42 (a) b (c) S 1 1 1 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 8 0 100 1 1";
        assert_eq!(cpu_ticks(stat), Some(200));
        assert_eq!(cpu_ticks(""), None);
    }

    #[test]
    fn memory_is_read_in_kib() {
        let status = "VmPeak:\t  10 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nRssAnon:\t  512 kB\n";
        let found = ["VmHWM:", "VmRSS:", "RssAnon:"].map(|field| kib(status, field));
        assert_eq!(found, [Some(2048), Some(1024), Some(512)]);
        assert_eq!(kib("VmPeak: 1 kB", "VmHWM:"), None);
    }

    #[test]
    fn a_peak_can_be_counted_from_now_on() {
        let this = std::process::id();
        let much = vec![1_u8; 64 << 20];
        let most = peak_kib(this).expect("this process runs");
        assert!(most > u64::try_from(much.len() >> 10).expect("it is small"));
        drop(much);
        reset_peak(this).expect("a process may do that to itself");
        assert!(peak_kib(this) < Some(most));
        assert!(resident_kib(this) > own_kib(this) && own_kib(this) > Some(0));
    }
}
