//! An order: so many records to these topics, at this pace. Carried out, it ends when there is an answer for each record.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::kafka::Kafka;
use crate::keys::{Distribution, Keys};
use crate::tally::{Counts, Tally};

/// The value of the record that follows the last one.
const END_MARKER: &str = "baz";
/// How often a wait looks whether the process is to end.
const LOOK: Duration = Duration::from_millis(100);
/// How long a process that is to end waits for the answers that are underway.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct Order {
    pub topics: Vec<String>,
    /// Records for each topic, the end marker not counted.
    pub count: u64,
    /// Records a second, all topics together.
    pub rate: Option<u64>,
    /// The least size of a value, in bytes.
    pub size: usize,
    pub keys: Distribution,
}

impl Order {
    /// Records in all, end markers included.
    pub fn total(&self) -> u64 {
        self.count.saturating_add(1).saturating_mul(self.topics.len() as u64)
    }

    pub fn tally(&self) -> Arc<Tally> {
        Arc::new(Tally::new(self.total()))
    }

    /// Sends it all and waits for the answers. It gives up at the first record that was not confirmed in time, and when it
    /// is `stopped`. Blocks: run it on a thread where that is allowed.
    pub fn carry_out(&self, kafka: &Kafka, tally: &Arc<Tally>, stopped: impl Fn() -> bool) -> Counts {
        let given_up = || stopped() || tally.has_failure();
        let start = Instant::now();
        let mut keys = Keys::new(self.keys);
        let mut sent = 0;
        'sending: for number in 1..=self.count.saturating_add(1) {
            let name = if number <= self.count { format!("bar-{number}") } else { END_MARKER.to_owned() };
            let value = filled(&name, self.size);
            for topic in &self.topics {
                if let Some(rate) = self.rate {
                    wait_until(start + due(sent, rate), &given_up);
                }
                if given_up() || !kafka.send((topic, &keys.draw(&name), &value), tally, &given_up) {
                    break 'sending;
                }
                sent += 1;
            }
        }
        let mut asked_to_end = None;
        while !tally.is_answered_within(LOOK) {
            if stopped() && asked_to_end.get_or_insert_with(Instant::now).elapsed() > LAST_ANSWERS {
                break;
            }
        }
        tally.read()
    }
}

/// The value, with blanks up to `size` bytes.
fn filled(name: &str, size: usize) -> String {
    let mut value = name.to_owned();
    value.extend(std::iter::repeat_n(' ', size.saturating_sub(name.len())));
    value
}

/// When the record after `sent` others is due, at `rate` records a second.
fn due(sent: u64, rate: u64) -> Duration {
    let within = (sent % rate) * 1_000_000_000 / rate;
    Duration::from_secs(sent / rate) + Duration::from_nanos(within)
}

fn wait_until(time: Instant, given_up: &dyn Fn() -> bool) {
    loop {
        let left = time.saturating_duration_since(Instant::now());
        if left.is_zero() || given_up() {
            return;
        }
        thread::sleep(left.min(LOOK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_due_at_an_even_pace() {
        for (sent, rate, millis) in [(0, 100, 0), (1, 100, 10), (150, 100, 1_500), (10_000, 3, 3_333_333)] {
            assert_eq!(due(sent, rate).as_millis(), millis, "{sent} at {rate}/s");
        }
    }

    #[test]
    fn a_value_is_filled_up_to_any_size_and_never_cut() {
        assert_eq!(filled("bar-1", 7), "bar-1  ");
        assert_eq!(filled("bar-1", 2), "bar-1");
        assert_eq!(filled("bar-1", 100_000).len(), 100_000);
    }

    #[test]
    fn each_topic_gets_its_end_marker() {
        let topics = vec!["a".to_owned(), "b".to_owned()];
        let order = Order { topics, count: 10, rate: None, size: 0, keys: Distribution::Uniform };
        assert_eq!(order.total(), 22);
    }
}
