//! A Kafka consumer to copy from: a member of a consumer group that loses nothing and shows its lag.

fn main() {}
