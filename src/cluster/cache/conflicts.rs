//! Groups that share a consumer group in Kafka and a topic, in any namespace.

use std::collections::{BTreeSet, HashMap, HashSet};

use kcg_core::facts::ConflictingGroups;
use kcg_core::text::MAX_LISTED;
use kcg_runtime::watch::ObjectKey;

use super::{Affected, ClusterCache};
use crate::cluster::cached_group::CachedGroup;

/// The most groups of one list that are compared by their bootstrap servers.
const MAX_COMPARED: usize = 1000;

/// The groups by topic and groupId, each list sorted: a list begins with the names that a status
/// would mention.
#[derive(Debug, Default)]
pub(super) struct ConflictIndex(HashMap<Box<str>, Vec<ObjectKey>>);

impl ConflictIndex {
    /// Adds a group. Returns the others whose conflicts are now described differently.
    fn insert(&mut self, by: &str, group: &ObjectKey) -> Affected {
        // Most lists have one entry, so the first allocation has room for one only.
        if !self.0.contains_key(by) {
            self.0.insert(by.into(), vec![group.clone()]);
            return Vec::new();
        }
        let groups = self.0.entry(by.into()).or_default();
        let affected = described_differently(groups, group);
        if let Err(position) = groups.binary_search(group) {
            groups.insert(position, group.clone());
        }
        affected
    }

    /// Removes a group. Returns the others whose conflicts are now described differently.
    fn remove(&mut self, by: &str, group: &ObjectKey) -> Affected {
        let Some(groups) = self.0.get_mut(by) else { return Vec::new() };
        if let Ok(position) = groups.binary_search(group) {
            groups.remove(position);
        }
        if groups.is_empty() {
            self.0.remove(by);
            return Vec::new();
        }
        described_differently(groups, group)
    }

    fn groups(&self, by: &str) -> &[ObjectKey] {
        self.0.get(by).map_or(&[], Vec::as_slice)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The groups of a namespace in a sorted list.
fn in_namespace<'a>(groups: &'a [ObjectKey], namespace: &str) -> &'a [ObjectKey] {
    // '0' is the character after '/'.
    let (from, to) = (format!("{namespace}/"), format!("{namespace}0"));
    let start = groups.partition_point(|group| group.as_str() < from.as_str());
    let end = groups.partition_point(|group| group.as_str() < to.as_str());
    &groups[start..end]
}

/// Of the other groups of a list, those whose description depends on whether `group` is in it.
fn described_differently(groups: &[ObjectKey], group: &ObjectKey) -> Affected {
    let neighbors = in_namespace(groups, group.namespace());
    let rank = neighbors.partition_point(|other| other < group);
    // Each names the first ones but itself, and whether there are more.
    let is_named = rank <= MAX_LISTED || neighbors.len() <= MAX_LISTED + 1;
    let named_by: &[ObjectKey] = if is_named { neighbors } else { &[] };
    // The groups of another namespace are described as one. It is new to those that had no other.
    let elsewhere: &[ObjectKey] = match (groups.first(), groups.last()) {
        (Some(first), Some(last))
            if first.namespace() == last.namespace() && first.namespace() != group.namespace() =>
        {
            groups
        }
        _ => &[],
    };
    named_by.iter().chain(elsewhere).filter(|other| *other != group).cloned().collect()
}

/// The list of a KafkaTopic and a groupId. Neither contains a line break.
fn by_topic(topic: &ObjectKey, group_id: &str) -> String {
    format!("{topic}\n{group_id}", topic = topic.as_str())
}

/// The list of a server of a Kafka cluster, a topic and a groupId, for topics without a KafkaTopic.
fn by_cluster(server: &str, topic: &ObjectKey, group_id: &str) -> String {
    format!("\n{server}\n{}\n{group_id}", topic.name())
}

/// The id of the consumer group of a group. One that is deleted consumes nothing soon.
fn group_id(group: &CachedGroup) -> Option<&str> {
    group.group_id.as_deref().filter(|_| !group.deleting)
}

/// All lists that a group is in.
fn lists(group: &CachedGroup) -> Vec<String> {
    let Some(group_id) = group_id(group) else {
        return Vec::new();
    };
    let topics = group.topics.iter().map(|topic| by_topic(topic, group_id));
    let clusters = group
        .bootstrap_servers
        .iter()
        .flat_map(|server| group.topics.iter().map(move |topic| by_cluster(server, topic, group_id)));
    topics.chain(clusters).collect()
}

impl ClusterCache {
    pub(super) fn index_conflicts(&mut self, key: &ObjectKey, group: &CachedGroup) -> Affected {
        if let Some(group_id) = group_id(group) {
            self.same_group_id.insert(group_id, key);
        }
        let mut affected = self.of_the_same_name(key, group);
        affected.extend(lists(group).iter().flat_map(|list| self.conflicts.insert(list, key)));
        affected
    }

    pub(super) fn unindex_conflicts(&mut self, key: &ObjectKey, group: &CachedGroup) -> Affected {
        let mut affected = self.of_the_same_name(key, group);
        if let Some(group_id) = group_id(group) {
            self.same_group_id.remove(group_id, key);
        }
        affected.extend(lists(group).iter().flat_map(|list| self.conflicts.remove(list, key)));
        affected
    }

    /// The groups with the same groupId that consume a topic of this one by another KafkaTopic of its
    /// namespace.
    fn of_the_same_name(&self, key: &ObjectKey, group: &CachedGroup) -> Affected {
        let members = group_id(group).map(|id| self.same_group_id.groups(id)).unwrap_or_default();
        if members.len() < 2 {
            return Vec::new();
        }
        let own: HashSet<_> = group.topics.iter().filter_map(|topic| self.in_kafka(topic)).collect();
        let is_shared = |other: &CachedGroup| {
            let mut topics = other.topics.iter();
            topics.any(|topic| {
                self.in_kafka(topic).is_some_and(|named| own.contains(&named))
                    && !group.topics.contains(topic)
            })
        };
        let others = members.iter().take(MAX_COMPARED).filter(|other| *other != key);
        others.filter(|other| self.group(other).is_some_and(is_shared)).cloned().collect()
    }

    /// The namespace of a KafkaTopic, its Kafka cluster and its name there.
    fn in_kafka<'a>(&'a self, topic: &'a ObjectKey) -> Option<(&'a str, Option<&'a str>, &'a str)> {
        let (cluster, name) = self.topics.get(topic.as_str())?.identity()?;
        Some((topic.namespace(), cluster, name))
    }

    /// The groups that conflict with a consumer of this KafkaTopic by another one of its name in Kafka.
    pub(super) fn share_a_topic_by_name(&self, topic: &ObjectKey) -> Affected {
        let consumers = self.by_topic.groups(topic).iter();
        consumers.filter_map(|key| Some(self.of_the_same_name(key, self.group(key)?))).flatten().collect()
    }

    /// The groups whose conflicts depend on whether this KafkaTopic exists.
    pub(super) fn depend_on_existence(&self, topic: &ObjectKey) -> Affected {
        let groups = self.by_topic.groups(topic).iter().filter_map(|key| self.group(key));
        let of_group = |group: &CachedGroup| {
            let group_id = group.group_id.as_deref().unwrap_or_default();
            let servers = group.bootstrap_servers.iter();
            servers.map(|server| by_cluster(server, topic, group_id)).collect::<Vec<String>>()
        };
        let lists: BTreeSet<String> = groups.flat_map(of_group).collect();
        lists.iter().flat_map(|list| self.conflicts.groups(list)).cloned().collect()
    }

    pub(super) fn conflicting_groups(&self, key: &ObjectKey, group: &CachedGroup) -> ConflictingGroups {
        let Some(group_id) = group.group_id.as_deref() else {
            return ConflictingGroups::default();
        };
        let mut names = BTreeSet::new();
        let mut elsewhere = false;
        for topic in &group.topics {
            let members = self.conflicts.groups(&by_topic(topic, group_id));
            let neighbors = in_namespace(members, key.namespace());
            elsewhere |= members.len() > neighbors.len();
            let others = neighbors.iter().filter(|other| *other != key).take(MAX_LISTED + 1);
            names.extend(others.map(ObjectKey::name));
            for other in self.of_the_same_cluster(key, group, topic, group_id) {
                elsewhere |= other.namespace() != key.namespace();
                if other.namespace() == key.namespace() {
                    names.insert(other.name());
                }
            }
        }
        let by_name = self.of_the_same_name(key, group);
        elsewhere |= by_name.iter().any(|other| other.namespace() != key.namespace());
        let neighbors = by_name.iter().filter(|other| other.namespace() == key.namespace());
        names.extend(neighbors.map(ObjectKey::name));
        ConflictingGroups::new(names, elsewhere)
    }

    /// Groups that consume the same topic by name, if neither has a KafkaTopic that says which topic
    /// it is.
    fn of_the_same_cluster<'a>(
        &'a self,
        key: &'a ObjectKey,
        group: &CachedGroup,
        topic: &'a ObjectKey,
        group_id: &str,
    ) -> impl Iterator<Item = &'a ObjectKey> {
        let is_unknown = !self.topics.contains(topic.as_str());
        let servers = group.bootstrap_servers.iter().filter(|_| is_unknown);
        let lists: Vec<String> = servers.map(|server| by_cluster(server, topic, group_id)).collect();
        let members =
            lists.into_iter().flat_map(move |list| self.conflicts.groups(&list).iter().take(MAX_COMPARED));
        members.filter(move |other| {
            *other != key
                && self.group(other).is_some_and(|other| self.has_no_kafkatopic(other, topic.name()))
        })
    }

    fn has_no_kafkatopic(&self, group: &CachedGroup, name: &str) -> bool {
        let mut named = group.topics.iter().filter(|topic| topic.name() == name);
        named.any(|topic| !self.topics.contains(topic.as_str()))
    }
}
