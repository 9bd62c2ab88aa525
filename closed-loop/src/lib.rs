//! The operator in a closed loop on this computer: real Kafka, real consumers whose lag a real
//! Prometheus scrapes, and the real autoscaler, which acts on it.
//!
//! The modules, from the bottom up; each uses only those above it in this list:
//!
//! 1. [`text`], [`timeline`], [`settings`]: values.
//! 2. [`tools`], [`Programs`], [`Consumer`]; [`Node`], [`Kafka`], [`Monitoring`], [`MetricsAdapter`]: what a devcluster does not have.
//! 3. [`environment`]: all of these and the operator, running.
//! 4. [`observe`]: collects facts while a scenario runs.
//! 5. [`metrics`], [`results`]: computed from these facts, without I/O.
//! 6. [`report`]: the page and the plots, drawn from the results.
//! 7. `runner`, `scenario` and [`run()`]: the steps, and what executes them.

#![warn(missing_docs, unreachable_pub)]

mod consumer;
pub mod environment;
mod kafka;
pub mod metrics;
mod metrics_adapter;
mod monitoring;
mod node;
pub mod observe;
mod programs;
pub mod report;
pub mod results;
mod run;
mod runner;
mod scenario;
pub mod settings;
pub mod text;
pub mod timeline;
pub mod tools;

pub use kcg_devcluster::{Error, Result};

pub use consumer::Consumer;
pub use kafka::{Group, Kafka, KafkaObserver, PartitionLag, TopicSynchroniser};
pub use metrics_adapter::MetricsAdapter;
pub use monitoring::{Alert, AlertState, Monitoring, Sample, Series};
pub use node::{Image, Images, Node, Run};
pub use programs::Programs;
pub use run::run;
pub use settings::{Scenario, Settings};
