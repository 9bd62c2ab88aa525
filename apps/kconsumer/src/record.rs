//! A record, and its partition.

use std::fmt;

use rdkafka::Message;
use serde_json::json;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A consumed record.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its partition.
    pub place: Place,
    /// Its offset.
    pub offset: i64,
    /// The value as text, without trailing blanks, which kproducer uses as padding.
    pub value: String,
    /// Bytes of key and value.
    pub bytes: u64,
}

impl Record {
    /// A record of `bytes` bytes.
    pub fn new(topic: &str, partition: i32, offset: i64, value: &str, bytes: usize) -> Self {
        let place = Place { topic: topic.to_owned(), partition };
        Self { place, offset, value: value.trim_end().to_owned(), bytes: bytes as u64 }
    }

    /// Converts a message. A missing value becomes empty, and invalid UTF-8 is replaced.
    pub fn read(message: &impl Message) -> Self {
        let (key, payload) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
        let value = String::from_utf8_lossy(payload);
        let bytes = key.len() + payload.len();
        Self::new(message.topic(), message.partition(), message.offset(), &value, bytes)
    }

    /// The line of --log-records. `time` is in milliseconds since 1970.
    pub fn line(&self, time: u128, skipped: bool) -> String {
        let Place { topic, partition } = &self.place;
        let mut line = json!({
            "time": u64::try_from(time).unwrap_or(u64::MAX),
            "topic": topic,
            "partition": partition,
            "offset": self.offset,
            "value": self.value,
        });
        if skipped {
            line["skipped"] = json!(true);
        }
        line.to_string()
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.place, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_partition_and_the_value_without_padding() {
        let record = Record::new("orders", 2, 41, "bar-7    ", 9);
        assert_eq!(
            record.line(1_700_000_000_123, false),
            r#"{"offset":41,"partition":2,"time":1700000000123,"topic":"orders","value":"bar-7"}"#
        );
        assert!(record.line(0, true).contains(r#""skipped":true"#));
        assert_eq!(record.to_string(), "orders/2 at offset 41");
    }
}
