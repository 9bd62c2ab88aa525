//! Everything that the watches reported, as small facts with their indices. Plain data, no I/O: each
//! change returns the groups that it affects.

mod children;
mod conflicts;
mod groups;
mod index;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use kcg_api::topic::{TopicFacts, TopicLookups, TopicRef};
use kcg_core::ceiling::Held;
use kcg_core::children::{ChildKind, PerChild};
use kcg_core::facts::Observed;
use kcg_core::lag::ServedMetrics;
use kcg_core::topics::{TopicStore, TopicsAvailability};
use kcg_runtime::watch::ObjectKey;

use super::cached_child::CachedChild;
use super::cached_group::CachedGroup;
use conflicts::ConflictIndex;
use index::Index;

/// The groups that a change affects.
pub(crate) type Affected = Vec<ObjectKey>;

/// The facts of all groups, children, topics and pods.
#[derive(Debug, Default)]
pub(super) struct ClusterCache {
    /// Boxed, because a third of the places of the map are empty.
    entries: HashMap<ObjectKey, Box<GroupEntry>>,
    topics: TopicStore<ObjectKey>,
    by_topic: Index,
    conflicts: ConflictIndex,
    same_group_id: ConflictIndex,
    /// Running pods that are not terminating, each with its group.
    active_pods: HashMap<ObjectKey, ObjectKey>,
    /// Whether the cluster does not serve this kind of child.
    not_served: PerChild<bool>,
    /// Whether all objects of this kind of child have been listed once.
    listed: PerChild<bool>,
    /// How many lists of this kind of child were complete.
    lists: PerChild<u64>,
    /// The lag metrics that the custom metrics API serves.
    served_metrics: ServedMetrics,
}

/// The facts under one namespace and name.
#[derive(Debug, Default)]
struct GroupEntry {
    group: Option<Arc<CachedGroup>>,
    /// The group is known from the response to the controller's own status write, which the watch
    /// has not reached yet.
    from_own_write: bool,
    children: PerChild<Option<Box<CachedChild>>>,
    active_pods: BTreeSet<Box<str>>,
    /// The held partitions of the group's autoscaler when it last existed.
    remembered: Option<Held>,
    /// The uids of the last deleted children: a late response to our own write must not resurrect a
    /// deleted child.
    tombstones: VecDeque<Box<str>>,
}

impl GroupEntry {
    fn group_uid(&self) -> Option<&str> {
        self.group.as_ref().map(|group| &*group.uid)
    }

    fn is_empty(&self) -> bool {
        self.group.is_none()
            && self.active_pods.is_empty()
            && self.children.iter().all(|(_, child)| child.is_none())
    }

    /// The autoscaler that the group controls.
    fn own_autoscaler(&self) -> Option<&CachedChild> {
        let child = self.children[ChildKind::HorizontalPodAutoscaler].as_deref()?;
        child.is_autoscaler_of(self.group_uid()).then_some(child)
    }
}

/// The facts that the decisions about one group depend on.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) group: Arc<CachedGroup>,
    pub(crate) observed: Observed,
}

impl ClusterCache {
    /// Stores a topic.
    pub(super) fn set_topic(&mut self, topic: ObjectKey, facts: TopicFacts) -> Affected {
        let before = self.topics.get(topic.as_str());
        let is_new = before.is_none();
        let is_renamed = before.is_none_or(|before| before.identity() != facts.identity());
        let mut affected = self.consumers(&topic);
        if is_new {
            affected.extend(self.depend_on_existence(&topic));
        }
        if is_renamed {
            affected.extend(self.share_a_topic_by_name(&topic));
        }
        let key = topic.clone();
        if !self.topics.insert(topic, facts) {
            return Vec::new();
        }
        if is_renamed {
            affected.extend(self.share_a_topic_by_name(&key));
        }
        affected
    }

    /// Removes a deleted topic.
    pub(super) fn remove_topic(&mut self, topic: &ObjectKey) -> Affected {
        let share_it = self.share_a_topic_by_name(topic);
        if !self.topics.remove(topic.as_str()) {
            return Vec::new();
        }
        let mut affected = self.consumers(topic);
        affected.extend(self.depend_on_existence(topic));
        affected.extend(share_it);
        affected
    }

    /// Sets whether the topics of a namespace are known; `None` is the whole cluster.
    pub(super) fn set_topics_availability(
        &mut self,
        namespace: Option<&str>,
        availability: TopicsAvailability,
    ) -> Affected {
        if !self.topics.set_availability(namespace, availability) {
            return Vec::new();
        }
        let is_there = |topic: &ObjectKey| namespace.is_none_or(|namespace| topic.namespace() == namespace);
        let consumes = |group: &CachedGroup| group.topics.iter().any(is_there);
        self.groups().filter(|(_, group)| consumes(group)).map(|(key, _)| key.clone()).collect()
    }

    fn consumers(&self, topic: &ObjectKey) -> Affected {
        self.by_topic.groups(topic).to_vec()
    }

    /// Stores a pod. `group` is `None` if the pod does not run or is terminating.
    pub(super) fn set_pod(&mut self, pod: &ObjectKey, group: Option<ObjectKey>) -> Affected {
        let before = self.active_pods.get(pod).cloned();
        if before == group {
            return Vec::new();
        }
        let mut affected = Vec::new();
        if let Some(before) = before {
            self.active_pods.remove(pod);
            if let Some(entry) = self.entries.get_mut(&before) {
                entry.active_pods.remove(pod.name());
            }
            self.drop_if_empty(&before);
            affected.push(before);
        }
        if let Some(group) = group {
            self.entries.entry(group.clone()).or_default().active_pods.insert(pod.name().into());
            self.active_pods.insert(pod.clone(), group.clone());
            affected.push(group);
        }
        affected
    }

    /// The facts of one group; `None` if there is no such group.
    pub(super) fn snapshot(&self, key: &ObjectKey) -> Option<Snapshot> {
        let entry = self.entries.get(key)?;
        let group = entry.group.clone()?;
        let observed = Observed {
            children: entry.children.map(|child| child.as_ref().map(|child| child.child())),
            active_pods: entry.active_pods.iter().map(ToString::to_string).collect(),
            topics: self.lookups(&group),
            conflicting_groups: self.conflicting_groups(key, &group),
            served_metrics: self.served_metrics.clone(),
            recorded_defaults: group.summary.recorded_defaults,
            remembered: entry.remembered.clone(),
        };
        Some(Snapshot { group, observed })
    }

    /// Stores which lag metrics the custom metrics API serves.
    pub(super) fn set_served_metrics(&mut self, served: ServedMetrics) -> Affected {
        let before = std::mem::replace(&mut self.served_metrics, served);
        if before == self.served_metrics { Vec::new() } else { self.keys() }
    }

    fn lookups(&self, group: &CachedGroup) -> TopicLookups {
        let lookups = group.topics.iter().map(|topic| {
            let of = TopicRef { namespace: topic.namespace().to_owned(), name: topic.name().to_owned() };
            (of, self.topics.lookup(topic.as_str()))
        });
        lookups.collect()
    }

    fn drop_if_empty(&mut self, key: &ObjectKey) {
        if self.entries.get(key).is_some_and(|entry| entry.is_empty()) {
            self.entries.remove(key);
        }
    }
}
