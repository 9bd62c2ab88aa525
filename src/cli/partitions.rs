//! `--partitions TOPIC=N`: the partitions of topics, in place of those of the cluster or without one.

use std::collections::BTreeSet;
use std::fmt;

use clap::Args;
use kcg_api::topic::{Partitions, TopicFacts, TopicLookup, TopicLookups, TopicRef};

#[derive(Clone, Debug, Default, Args)]
pub(super) struct PartitionArgs {
    /// Number of partitions of a KafkaTopic: TOPIC=N or NAMESPACE/TOPIC=N. Can be repeated; the last
    /// one of a topic counts
    #[arg(long = "partitions", value_delimiter = ',', value_name = "[NAMESPACE/]TOPIC=N", value_parser = parse)]
    topics: Vec<TopicPartitions>,
    /// What was read from a cluster. A count of the flag replaces that of the KafkaTopic.
    #[arg(skip)]
    read: TopicLookups,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TopicPartitions {
    /// `None`: in every namespace.
    namespace: Option<String>,
    name: String,
    partitions: i32,
}

/// As in the flag.
impl fmt::Display for TopicPartitions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(formatter, "{namespace}/")?;
        }
        write!(formatter, "{}={}", self.name, self.partitions)
    }
}

fn parse(flag: &str) -> Result<TopicPartitions, String> {
    let malformed = || "name a topic and its number of partitions, for example orders=12".to_owned();
    let (topic, count) = flag.split_once('=').ok_or_else(malformed)?;
    let (namespace, name) = match topic.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name),
        None => (None, topic),
    };
    if name.is_empty() || name.contains('/') || namespace.as_deref() == Some("") {
        return Err(malformed());
    }
    match count.parse() {
        Ok(partitions @ 1..) => Ok(TopicPartitions { namespace, name: name.to_owned(), partitions }),
        _ => Err(format!("{count} is not a number of partitions: a topic has at least 1")),
    }
}

impl PartitionArgs {
    /// Whether nothing is known of any topic.
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.read.is_empty()
    }

    /// The same flags, on top of what was read from a cluster.
    pub(super) fn with_read(&self, read: TopicLookups) -> Self {
        Self { read, ..self.clone() }
    }

    /// Looks the topics up in the flags, then in what was read.
    pub(super) fn lookups(&self, topics: &[TopicRef]) -> TopicLookups {
        topics.iter().map(|topic| (topic.clone(), self.lookup(topic))).collect()
    }

    /// A note for each flag that names none of these topics, which all groups name.
    pub(super) fn unused(&self, named: &BTreeSet<TopicRef>) -> Vec<String> {
        let is_used = |count: &&TopicPartitions| {
            named.iter().any(|topic| {
                count.name == topic.name && count.namespace.as_ref().is_none_or(|own| *own == topic.namespace)
            })
        };
        let unused = self.topics.iter().filter(|count| !is_used(count));
        let all: Vec<String> = named.iter().take(MAX_NAMED + 1).map(ToString::to_string).collect();
        unused
            .map(|count| format!("--partitions {count}: no group names this KafkaTopic, {}", others(&all)))
            .collect()
    }

    fn lookup(&self, topic: &TopicRef) -> TopicLookup {
        let exact = |count: &&TopicPartitions| count.namespace.as_ref() == Some(&topic.namespace);
        let anywhere = |count: &&TopicPartitions| count.namespace.is_none();
        let named = || self.topics.iter().filter(|count| count.name == topic.name);
        let stated = named().rfind(exact).or_else(|| named().rfind(anywhere));
        match (stated, self.read.get(topic)) {
            (Some(count), Some(TopicLookup::Found(facts))) => TopicLookup::Found(TopicFacts {
                partitions: Partitions::Known(count.partitions),
                ..facts.clone()
            }),
            (Some(count), _) => TopicLookup::Found(TopicFacts::stated(&topic.name, count.partitions)),
            (None, Some(read)) => read.clone(),
            (None, None) => TopicLookup::Unknown("no --partitions was given for it".to_owned()),
        }
    }
}

/// The most topics that a note names.
const MAX_NAMED: usize = 3;

fn others(named: &[String]) -> String {
    match named {
        [] => "and there is no group".to_owned(),
        named if named.len() > MAX_NAMED => {
            format!("but for example {}", named[..MAX_NAMED].join(", "))
        }
        named => format!("but {}", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(namespace: &str, name: &str) -> TopicRef {
        TopicRef { namespace: namespace.into(), name: name.into() }
    }

    fn known(given: &PartitionArgs, namespace: &str, name: &str) -> Option<i32> {
        given.lookup(&topic(namespace, name)).facts().and_then(|facts| facts.partitions.known())
    }

    #[test]
    fn a_count_with_a_namespace_applies_to_that_namespace_only() {
        let topics = ["t=3", "a/t=5", "u=7"].map(|flag| parse(flag).unwrap()).into();
        let given = PartitionArgs { topics, read: TopicLookups::new() };
        assert_eq!(known(&given, "a", "t"), Some(5));
        assert_eq!(known(&given, "b", "t"), Some(3));
        assert_eq!(known(&given, "b", "u"), Some(7));
        assert_eq!(known(&given, "b", "v"), None);
    }

    #[test]
    fn a_stated_count_replaces_that_of_the_cluster_and_keeps_the_rest() {
        let stated = PartitionArgs { topics: vec![parse("t=3").unwrap()], read: TopicLookups::new() };
        let facts = TopicFacts { topic_id: Some("id".into()), ..TopicFacts::stated("T_1", 6) };
        let found = TopicLookup::Found(facts.clone());
        let given = stated.with_read([(topic("a", "t"), found.clone()), (topic("a", "u"), found)].into());
        assert_eq!(known(&given, "a", "u"), Some(6));
        let expected = TopicFacts { partitions: Partitions::Known(3), ..facts };
        assert_eq!(given.lookup(&topic("a", "t")).facts(), Some(&expected));
    }

    #[test]
    fn a_malformed_count_is_refused_with_an_example() {
        for flag in ["t", "=3", "a/=3", "/t=3", "a/b/c=3"] {
            assert!(parse(flag).unwrap_err().contains("orders=12"), "{flag}");
        }
        for flag in ["t=", "t=0", "t=-1", "t=many", "t=2147483648"] {
            assert!(parse(flag).unwrap_err().contains("is not a number"), "{flag}");
        }
    }
}
