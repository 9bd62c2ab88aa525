//! An order: a number of records for some topics at some rate. It ends when each record has a
//! result.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::kafka::Kafka;
use crate::keys::{Distribution, Keys};
use crate::tally::{Counts, Tally};

/// The value of the record that follows the last one.
const END_MARKER: &str = "baz";
/// How often a wait checks for a stop.
const POLL: Duration = Duration::from_millis(100);
/// How long a stopped order waits for outstanding results.
const LAST_RESULTS: Duration = Duration::from_secs(10);

/// An order: the records to send.
#[derive(Clone, Debug)]
pub struct Order {
    /// The topics, each of which gets all records.
    pub topics: Vec<String>,
    /// Records for each topic, without the end marker.
    pub count: u64,
    /// Records a second for all topics together; none for as fast as possible.
    pub rate: Option<u64>,
    /// The least size of a value, in bytes.
    pub size: usize,
    /// The distribution of keys.
    pub keys: Distribution,
}

impl Order {
    /// The number of all records, end markers included.
    pub fn total(&self) -> u64 {
        self.count.saturating_add(1).saturating_mul(self.topics.len() as u64)
    }

    /// A tally for this order.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::new(Tally::new(self.total()))
    }

    /// Sends all records and waits for the results. Stops at the first record that was not
    /// confirmed in time, or when `stopped` returns true. Blocks the thread.
    pub fn carry_out(&self, kafka: &Kafka, tally: &Arc<Tally>, stopped: impl Fn() -> bool) -> Counts {
        let is_over = || stopped() || tally.has_failure();
        let start = Instant::now();
        let mut keys = Keys::new(self.keys);
        let mut sent = 0;
        'sending: for number in 1..=self.count.saturating_add(1) {
            let name = if number <= self.count { format!("bar-{number}") } else { END_MARKER.to_owned() };
            let value = padded(&name, self.size);
            for topic in &self.topics {
                if let Some(rate) = self.rate {
                    wait_until(start + due(sent, rate), &is_over);
                }
                if is_over() || !kafka.send((topic, &keys.draw(&name), &value), tally, &is_over) {
                    break 'sending;
                }
                sent += 1;
            }
        }
        let mut stopped_at = None;
        while !tally.is_complete_within(POLL) {
            if stopped() && stopped_at.get_or_insert_with(Instant::now).elapsed() > LAST_RESULTS {
                break;
            }
        }
        tally.read()
    }
}

/// The value, padded with blanks to `size` bytes.
fn padded(name: &str, size: usize) -> String {
    let mut value = name.to_owned();
    value.extend(std::iter::repeat_n(' ', size.saturating_sub(name.len())));
    value
}

/// When the record after `sent` others is due at `rate` records a second, from the start.
fn due(sent: u64, rate: u64) -> Duration {
    let within = (sent % rate) * 1_000_000_000 / rate;
    Duration::from_secs(sent / rate) + Duration::from_nanos(within)
}

fn wait_until(time: Instant, is_over: &dyn Fn() -> bool) {
    loop {
        let left = time.saturating_duration_since(Instant::now());
        if left.is_zero() || is_over() {
            return;
        }
        thread::sleep(left.min(POLL));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_due_at_an_even_rate() {
        for (sent, rate, millis) in [(0, 100, 0), (1, 100, 10), (150, 100, 1_500), (10_000, 3, 3_333_333)] {
            assert_eq!(due(sent, rate).as_millis(), millis, "{sent} at {rate}/s");
        }
    }

    #[test]
    fn a_value_is_padded_and_never_cut() {
        assert_eq!(padded("bar-1", 7), "bar-1  ");
        assert_eq!(padded("bar-1", 2), "bar-1");
        assert_eq!(padded("bar-1", 100_000).len(), 100_000);
    }

    #[test]
    fn each_topic_gets_its_end_marker() {
        let topics = vec!["a".to_owned(), "b".to_owned()];
        let order = Order { topics, count: 10, rate: None, size: 0, keys: Distribution::Uniform };
        assert_eq!(order.total(), 22);
    }
}
