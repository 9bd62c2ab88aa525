//! `--partitions TOPIC=N`: the partitions of topics, for checks without a cluster.

use clap::Args;
use kcg_api::topic::{TopicFacts, TopicLookup, TopicLookups, TopicRef};

#[derive(Debug, Default, Args)]
pub(super) struct PartitionArgs {
    /// Number of partitions of a KafkaTopic: TOPIC=N or NAMESPACE/TOPIC=N. Can be repeated
    #[arg(long = "partitions", value_name = "[NAMESPACE/]TOPIC=N", value_parser = parse)]
    topics: Vec<TopicPartitions>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TopicPartitions {
    /// `None`: in every namespace.
    namespace: Option<String>,
    name: String,
    partitions: i32,
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
    /// Whether the flag was not given.
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Looks the topics up in the flags.
    pub(super) fn lookups(&self, topics: &[TopicRef]) -> TopicLookups {
        topics.iter().map(|topic| (topic.clone(), self.lookup(topic))).collect()
    }

    fn lookup(&self, topic: &TopicRef) -> TopicLookup {
        let exact = |count: &&TopicPartitions| count.namespace.as_ref() == Some(&topic.namespace);
        let anywhere = |count: &&TopicPartitions| count.namespace.is_none();
        let named = || self.topics.iter().filter(|count| count.name == topic.name);
        match named().rfind(exact).or_else(|| named().rfind(anywhere)) {
            Some(count) => TopicLookup::Found(TopicFacts::stated(&topic.name, count.partitions)),
            None => TopicLookup::Unknown("no --partitions was given for it".to_owned()),
        }
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
        let given = PartitionArgs { topics: ["t=3", "a/t=5", "u=7"].map(|flag| parse(flag).unwrap()).into() };
        assert_eq!(known(&given, "a", "t"), Some(5));
        assert_eq!(known(&given, "b", "t"), Some(3));
        assert_eq!(known(&given, "b", "u"), Some(7));
        assert_eq!(known(&given, "b", "v"), None);
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
