//! The work: one record after the other, each of them tried, told and counted before its offset may be committed.
//! This is where a copy of this program puts its own work.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tracing::{error, info, warn};

use crate::callbacks::Callbacks;
use crate::flags::Flags;
use crate::inbox::Inbox;
use crate::metrics::Counters;
use crate::poison::is_poisoned;
use crate::record::Record;

/// What kproducer sends last.
const END_MARKER: &str = "baz";
/// A record on which the work failed so often is skipped: it would otherwise stop its partition for good, and no further
/// attempt would do better. It is named in the log and counted, never dropped in silence. Where a record must not be
/// skipped, this is the place to send it to a topic of its own (a dead-letter topic), and to wait for its confirmation.
const ATTEMPTS: u32 = 3;

/// Closes the inbox however the worker's thread ends, by a panic too: nobody then waits for it.
struct Closing(Arc<Inbox>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
        self.0.finish();
    }
}

/// Starts the thread that works until the inbox is closed.
pub fn start(
    flags: &Flags,
    consumer: Arc<BaseConsumer<Callbacks>>,
    inbox: Arc<Inbox>,
    counters: Counters,
) -> io::Result<JoinHandle<()>> {
    let Flags { work, jitter, poison_rate, log_records, .. } = *flags;
    let bench = Bench { consumer, counters, work, jitter, poison_rate, log_records };
    let inbox = Closing(inbox);
    thread::Builder::new().name("worker".to_owned()).spawn(move || {
        while let Some(record) = inbox.0.take() {
            if let Err(failure) = bench.process(&record) {
                // The offset is not stored, so the record is read again by whoever gets its partition.
                error!("cannot write to stdout what was done with {record}: {failure}");
                return;
            }
            inbox.0.finish();
        }
    })
}

struct Bench {
    consumer: Arc<BaseConsumer<Callbacks>>,
    counters: Counters,
    work: Duration,
    jitter: f64,
    poison_rate: f64,
    log_records: bool,
}

impl Bench {
    fn process(&self, record: &Record) -> io::Result<()> {
        let done = self.work(record);
        if !done {
            warn!("SKIPPED {record} after {ATTEMPTS} failed attempts: {:?}", record.value);
        }
        if self.log_records {
            let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let mut out = io::stdout().lock();
            writeln!(out, "{}", record.line(time.as_millis(), !done))?;
            out.flush()?;
        }
        if done && record.value == END_MARKER {
            info!("COMPLETED: {END_MARKER}");
        }
        self.counters.count(record, done);
        // Last of all: whatever ends the process before this line, the record is read again.
        let place = &record.place;
        if let Err(refused) = self.consumer.store_offset(&place.topic, place.partition, record.offset) {
            // The partition was taken away without asking: another member reads the record again.
            warn!("{record} was processed, but may be processed again by another member: {refused}");
        }
        Ok(())
    }

    /// Whether an attempt succeeded.
    fn work(&self, record: &Record) -> bool {
        for attempt in 1..=ATTEMPTS {
            thread::sleep(self.work.mul_f64(1.0 + self.jitter * (fastrand::f64() * 2.0 - 1.0)));
            if !is_poisoned(record, self.poison_rate) {
                return true;
            }
            warn!("attempt {attempt} of {ATTEMPTS} on {record} failed: the record is poisoned");
        }
        false
    }
}
