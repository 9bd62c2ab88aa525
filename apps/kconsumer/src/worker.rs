//! The work: one record after the other. Each is processed, logged and counted before its offset
//! may be committed. Put your own work here.

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

/// The last record of kproducer.
const END_MARKER: &str = "baz";
/// A record is skipped after this many failed attempts, since it would block its partition forever.
/// It is logged and counted, never dropped silently. If a record must not be skipped, send it to a
/// dead-letter topic here and wait for the confirmation.
const ATTEMPTS: u32 = 3;

/// Closes the inbox when the worker's thread ends, also by a panic, so that nothing waits for it.
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
    let processor = Processor { consumer, counters, work, jitter, poison_rate, log_records };
    let inbox = Closing(inbox);
    thread::Builder::new().name("worker".to_owned()).spawn(move || {
        while let Some(record) = inbox.0.take() {
            if let Err(failure) = processor.process(&record) {
                // The offset is not stored, so the next owner of the partition processes the record
                // again.
                error!("cannot write the line of {record} to stdout: {failure}");
                return;
            }
            inbox.0.finish();
        }
    })
}

struct Processor {
    consumer: Arc<BaseConsumer<Callbacks>>,
    counters: Counters,
    work: Duration,
    jitter: f64,
    poison_rate: f64,
    log_records: bool,
}

impl Processor {
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
        // Last, so that the record is processed again if the process ends before this line.
        let place = &record.place;
        if let Err(failure) = self.consumer.store_offset(&place.topic, place.partition, record.offset) {
            // The partition was lost, so its new owner processes the record again.
            warn!("another member may process {record} again: {failure}");
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
