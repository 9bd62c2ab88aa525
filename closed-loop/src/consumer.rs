//! The example consumers, each with the preset that is made for its kind of client.

use clap::ValueEnum;
use kcg_api::preset::Preset;
use serde::Serialize;
use serde_json::{Value, json};

use crate::tools::consumers::{self, JavaConsumer};

/// An example consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum Consumer {
    /// apps/kconsumer, on librdkafka.
    #[default]
    Rust,
    /// apps/kconsumer-spring, on Spring Boot 4.
    Spring,
    /// apps/kconsumer-jmx, with the Prometheus JMX exporter.
    Jmx,
}

impl Consumer {
    /// What it is, for people.
    pub fn description(self) -> &'static str {
        match self {
            Self::Rust => "the consumer in Rust, on librdkafka",
            Self::Spring => "a Spring Boot application with Micrometer",
            Self::Jmx => "a plain Java consumer with the Prometheus JMX exporter",
        }
    }

    /// Its image's repository.
    pub fn image(self) -> String {
        let name = self.java().map_or("kconsumer", |java| java.name);
        format!("thenextapps/{name}")
    }

    /// The preset for its kind of client.
    pub fn preset(self) -> Preset {
        match self {
            Self::Rust => Preset::Librdkafka,
            Self::Spring => Preset::Spring,
            Self::Jmx => Preset::JmxExporter,
        }
    }

    /// spec.metrics of its groups. The consumer in Rust serves its metrics on another port than its
    /// preset has.
    pub fn metrics(self) -> Value {
        match self {
            Self::Rust => json!({"preset": self.preset(), "port": 8085}),
            Self::Spring | Self::Jmx => json!({"preset": self.preset()}),
        }
    }

    /// The metric with the number of a client's partitions, which every live client has.
    pub(crate) fn assigned_partitions(self) -> &'static str {
        self.preset().client_metrics().assigned_partitions
    }

    /// How it is built, if it is written in Java.
    pub fn java(self) -> Option<JavaConsumer> {
        match self {
            Self::Rust => None,
            Self::Spring => Some(consumers::SPRING),
            Self::Jmx => Some(consumers::JMX),
        }
    }

    /// The variables that let it write a line for each record, and that let the group notice a
    /// killed consumer after 6 s.
    pub(crate) fn env(self) -> [(&'static str, &'static str); 2] {
        let session = match self {
            Self::Rust => ("KCONSUMER_SESSION_TIMEOUT", "6s"),
            Self::Spring => ("SPRING_KAFKA_CONSUMER_PROPERTIES_SESSION_TIMEOUT_MS", "6000"),
            Self::Jmx => ("KCONSUMER_SESSION_TIMEOUT_MS", "6000"),
        };
        [("KCONSUMER_LOG_RECORDS", "true"), session]
    }
}
