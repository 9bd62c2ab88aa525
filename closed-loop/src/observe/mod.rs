//! Collects facts while a scenario runs: from the broker, the API server, Prometheus, the pods'
//! logs and the kernel.

pub mod alerts;
pub mod broker;
pub mod clock;
pub mod cost;
pub mod generations;
pub mod log_tail;
pub mod processed_log;
pub mod replicas;
pub mod requests;
