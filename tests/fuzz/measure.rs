//! What one input costs: the peak of the allocated bytes, the CPU time of the thread, and whether it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// An input that takes longer hangs, also on a busy computer.
const HANG: Duration = Duration::from_mins(2);

/// What a target said about an input, as a number: inputs about which something new is said are kept.
pub type Said = u64;

/// What one input cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The most bytes that were allocated at once, above those before.
    pub peak: usize,
    /// The CPU time of the thread.
    pub cpu: Duration,
    /// `None` if it panicked.
    pub said: Option<Said>,
}

/// Runs a target on an input. If it does not return, the process ends; the input is in a file, as it is if
/// the stack or the memory is used up, which ends the process, too.
pub fn run(name: &'static str, input: &Arc<[u8]>, target: &impl Fn(&[u8]) -> Said) -> Cost {
    watch();
    *running() = Some(Running { name, since: Instant::now(), file: save(name, input), bytes: input.len() });
    let base = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let start = thread_time();
    let said = catch_unwind(AssertUnwindSafe(|| target(input))).ok();
    let cpu = thread_time().saturating_sub(start);
    let peak = MEMORY.peak_usage().saturating_sub(base);
    *running() = None;
    Cost { peak, cpu, said }
}

/// Like [`run`], with the least CPU time of several runs: other programs slow a run down.
pub fn run_again(
    name: &'static str,
    input: &Arc<[u8]>,
    target: &impl Fn(&[u8]) -> Said,
    runs: usize,
) -> Cost {
    let costs = (0..runs).map(|_| run(name, input, target));
    costs.min_by_key(|cost| cost.cpu).unwrap_or_else(|| run(name, input, target))
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Writes the input that runs to a file that outlives the process.
pub fn save(name: &str, input: &[u8]) -> PathBuf {
    let file = file_of(name);
    std::fs::write(&file, input).unwrap();
    file
}

fn file_of(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("kcg-fuzz-{name}-{}", std::process::id()))
}

/// Removes the file of the input that ran last.
pub fn forget(name: &str) {
    let _ = std::fs::remove_file(file_of(name));
}

struct Running {
    name: &'static str,
    since: Instant,
    file: PathBuf,
    bytes: usize,
}

fn running() -> std::sync::MutexGuard<'static, Option<Running>> {
    static RUNNING: Mutex<Option<Running>> = Mutex::new(None);
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread cannot be ended from outside, so an input that does not return ends the process.
fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::thread::spawn(|| {
            loop {
                std::thread::sleep(Duration::from_secs(1));
                if let Some(Running { name, file, bytes, .. }) =
                    running().as_ref().filter(|running| running.since.elapsed() > HANG)
                {
                    eprintln!(
                        "{name}: an input of {bytes} bytes takes longer than {HANG:?}; it is {}",
                        file.display()
                    );
                    std::process::exit(1);
                }
            }
        });
    });
}
