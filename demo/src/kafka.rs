//! The story as a closed loop: real Kafka, real consumers whose lag a real Prometheus scrapes, and the real
//! autoscaler, which acts on it.

mod clock;
mod cost;
mod settings;
mod watch;
