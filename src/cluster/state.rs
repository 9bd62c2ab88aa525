//! Everything that the watches have told, as small facts with their indices. A plain struct: it is told of
//! changes, and answers which groups have to be looked at because of each.

use kcg_api::topic::{TopicFacts, TopicLookups, TopicRef};
use kcg_runtime::watch::ObjectKey;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::group::Group;
use super::index::Index;
use super::kept_child::SeenChild;
use kcg_core::ceiling::Held;
use kcg_core::children::ChildKind;
use kcg_core::observed::{Child, Observed, Standing, churn};
use kcg_core::topics::{TopicStore, TopicsAvailability};

/// The groups that a change concerns.
pub type Touched = Vec<ObjectKey>;

#[derive(Debug, Default)]
pub struct State {
    entries: HashMap<ObjectKey, Entry>,
    topics: TopicStore<ObjectKey>,
    by_topic: Index,
    by_consumer_group: Index,
    /// Running pods that are not terminating, each with its group.
    active: HashMap<ObjectKey, ObjectKey>,
    /// Kinds of child that the cluster does not serve.
    absent: [bool; 5],
}

/// All that is known under one namespace and name.
#[derive(Debug, Default)]
struct Entry {
    group: Option<Arc<Group>>,
    /// The answer to our own status write is ahead of the watch.
    ahead: bool,
    children: [Option<Box<SeenChild>>; 5],
    active_pods: BTreeSet<Box<str>>,
    /// What the group's HPA held when it was last there.
    remembered: Option<Held>,
    /// The uids of the last children that went: an answer to a write of ours that comes late must not raise one.
    buried: VecDeque<Box<str>>,
}

impl Entry {
    fn group_uid(&self) -> Option<&str> {
        self.group.as_ref().map(|group| &*group.uid)
    }

    fn is_empty(&self) -> bool {
        self.group.is_none() && self.active_pods.is_empty() && self.children.iter().all(Option::is_none)
    }
}

/// One group's part of the state.
#[derive(Debug)]
pub struct Snapshot {
    pub group: Arc<Group>,
    pub observed: Observed,
}

impl State {
    /// A group is there as told. `ours` is the answer to our own write, which the watch may not have reached.
    pub fn group_is(&mut self, key: &ObjectKey, group: Group, ours: bool) -> Touched {
        // An answer that comes after the watch has told of the group's end, or of another one of its name.
        if ours && self.group(key).is_none_or(|known| known.uid != group.uid) {
            return Vec::new();
        }
        let entry = self.entries.entry(key.clone()).or_default();
        let before = entry.group.clone();
        if let Some(before) = &before {
            let older = group.resource_version < before.resource_version && group.uid == before.uid;
            if older && (entry.ahead || ours) {
                return Vec::new();
            }
            if before.uid != group.uid {
                entry.remembered = None;
            }
        }
        entry.ahead = ours;
        let group = Arc::new(group);
        entry.group = Some(group.clone());
        match before {
            Some(before) if group.says_the_same(&before) => Vec::new(),
            // The status is what we have just written. Had the person changed something meanwhile, the answer may
            // be the first to tell.
            Some(before) if ours && group.asks_the_same(&before) => Vec::new(),
            Some(before)
                if before.topics == group.topics && before.consumer_group == group.consumer_group =>
            {
                vec![key.clone()]
            }
            before => {
                let mut touched = before.map(|before| self.forget_indices(key, &before)).unwrap_or_default();
                touched.extend(self.index(key, &group));
                touched.push(key.clone());
                touched
            }
        }
    }

    pub fn group_is_gone(&mut self, key: &ObjectKey) -> Touched {
        let Some(entry) = self.entries.get_mut(key) else {
            return Vec::new();
        };
        entry.remembered = None;
        entry.ahead = false;
        let group = entry.group.take();
        let is_empty = entry.is_empty();
        if is_empty {
            self.entries.remove(key);
        }
        let mut touched = group.map(|group| self.forget_indices(key, &group)).unwrap_or_default();
        // Its driver forgets it.
        touched.push(key.clone());
        touched
    }

    /// Our own resource is no longer served: its objects are gone with it.
    pub fn groups_are_gone(&mut self) -> Touched {
        self.keys().iter().flat_map(|key| self.group_is_gone(key)).collect()
    }

    fn index(&mut self, key: &ObjectKey, group: &Group) -> Touched {
        for topic in &group.topics {
            self.by_topic.put(topic, key);
        }
        self.by_consumer_group.put(&group.consumer_group, key);
        self.companions(key, group)
    }

    /// The groups that may have had this one as a rival.
    fn forget_indices(&mut self, key: &ObjectKey, group: &Group) -> Touched {
        for topic in &group.topics {
            self.by_topic.take(topic, key);
        }
        let companions = self.companions(key, group);
        self.by_consumer_group.take(&group.consumer_group, key);
        companions
    }

    fn companions(&self, key: &ObjectKey, group: &Group) -> Touched {
        let companions = self.by_consumer_group.groups(&group.consumer_group).iter();
        companions.filter(|companion| *companion != key).cloned().collect()
    }

    pub fn topic_is(&mut self, topic: ObjectKey, facts: TopicFacts) -> Touched {
        let touched = self.consumers(&topic);
        if self.topics.insert(topic, facts) { touched } else { Vec::new() }
    }

    pub fn topic_is_gone(&mut self, topic: &ObjectKey) -> Touched {
        if self.topics.remove(topic.as_str()) { self.consumers(topic) } else { Vec::new() }
    }

    /// The availability of the topics of a namespace; `None` is the whole cluster.
    pub fn topics_are(&mut self, namespace: Option<&str>, availability: TopicsAvailability) -> Touched {
        if !self.topics.set_availability(namespace, availability) {
            return Vec::new();
        }
        let is_there = |topic: &ObjectKey| namespace.is_none_or(|namespace| topic.namespace() == namespace);
        let consumes = |group: &Group| group.topics.iter().any(is_there);
        self.groups().filter(|(_, group)| consumes(group)).map(|(key, _)| key.clone()).collect()
    }

    fn consumers(&self, topic: &ObjectKey) -> Touched {
        self.by_topic.groups(topic).to_vec()
    }

    /// A child is there as seen.
    pub fn child_is(&mut self, key: &ObjectKey, kind: ChildKind, mut seen: SeenChild) -> Touched {
        let entry = self.entries.entry(key.clone()).or_default();
        if seen.is_answer() && entry.buried.iter().any(|uid| **uid == *seen.uid()) {
            return vec![key.clone()];
        }
        let lag_limit = entry.group.as_ref().map_or(0, |group| group.lag_limit);
        let news = match entry.children[kind.index()].as_deref() {
            Some(known) if seen.is_outdated(known) => return Vec::new(),
            Some(known) => {
                seen.keep_what_was_held(known);
                churn::matters(&known.child(), &seen.child(), lag_limit)
            }
            None => true,
        };
        if seen.is_autoscaler_of(entry.group_uid()) {
            entry.remembered = None;
        }
        entry.children[kind.index()] = Some(Box::new(seen));
        if news { vec![key.clone()] } else { Vec::new() }
    }

    /// A child was asked for and is there. A watch tells of it as gone, too, when it loses the label that is watched.
    pub fn child_lives(&mut self, key: &ObjectKey, uid: &str) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.buried.retain(|buried| **buried != *uid);
        }
    }

    /// The child as it was last seen.
    pub fn child(&self, key: &ObjectKey, kind: ChildKind) -> Option<Child> {
        Some(self.entries.get(key)?.children[kind.index()].as_ref()?.child())
    }

    /// How the child stood when it had this fingerprint, if it has been compared then.
    pub fn judged(&self, key: &ObjectKey, kind: ChildKind, fingerprint: u64) -> Option<Standing> {
        self.entries.get(key)?.children[kind.index()].as_ref()?.judged(fingerprint)
    }

    pub fn child_is_gone(&mut self, key: &ObjectKey, kind: ChildKind) -> Touched {
        let Some(entry) = self.entries.get_mut(key) else {
            return Vec::new();
        };
        let Some(seen) = entry.children[kind.index()].take() else {
            return Vec::new();
        };
        if seen.is_autoscaler_of(entry.group_uid()) {
            entry.remembered = seen.held();
        }
        entry.buried.truncate(MOST_BURIED - 1);
        entry.buried.push_front(seen.uid().into());
        if entry.is_empty() {
            self.entries.remove(key);
        }
        vec![key.clone()]
    }

    /// The cluster has stopped, or begun, to serve a kind of child.
    pub fn kind_is(&mut self, kind: ChildKind, served: bool) -> Touched {
        let absent = std::mem::replace(&mut self.absent[kind.index()], !served);
        if absent != served {
            return Vec::new();
        }
        if !served {
            self.entries.values_mut().for_each(|entry| entry.children[kind.index()] = None);
            self.entries.retain(|_, entry| !entry.is_empty());
        }
        self.keys()
    }

    pub fn serves(&self, kind: ChildKind) -> bool {
        !self.absent[kind.index()]
    }

    /// A pod is there; `group` where it runs and is not on its way out.
    pub fn pod_is(&mut self, pod: &ObjectKey, group: Option<ObjectKey>) -> Touched {
        let before = self.active.get(pod).cloned();
        if before == group {
            return Vec::new();
        }
        let mut touched = Vec::new();
        if let Some(before) = before {
            self.active.remove(pod);
            if let Some(entry) = self.entries.get_mut(&before) {
                entry.active_pods.remove(pod.name());
                if entry.is_empty() {
                    self.entries.remove(&before);
                }
            }
            touched.push(before);
        }
        if let Some(group) = group {
            self.entries.entry(group.clone()).or_default().active_pods.insert(pod.name().into());
            self.active.insert(pod.clone(), group.clone());
            touched.push(group);
        }
        touched
    }

    /// Keeps what counts for a group whose HPA is not there to hold it.
    pub fn remember(&mut self, key: &ObjectKey, held: Held) {
        if let Some(entry) = self.entries.get_mut(key) {
            let hpa = &entry.children[ChildKind::HorizontalPodAutoscaler.index()];
            let is_held = hpa.as_ref().is_some_and(|seen| seen.is_autoscaler_of(entry.group_uid()));
            entry.remembered = (!is_held && !held.0.is_empty()).then_some(held);
        }
    }

    /// One group and all that is decided by; `None` where there is no such group.
    pub fn snapshot(&self, key: &ObjectKey) -> Option<Snapshot> {
        let entry = self.entries.get(key)?;
        let group = entry.group.clone()?;
        let children =
            [0, 1, 2, 3, 4].map(|index: usize| entry.children[index].as_ref().map(|seen| seen.child()));
        let observed = Observed {
            children,
            troubles: Default::default(),
            active_pods: entry.active_pods.iter().map(ToString::to_string).collect(),
            topics: self.lookups(&group),
            rivals: self.rivals(key, &group),
            remembered: entry.remembered.clone(),
        };
        Some(Snapshot { group, observed })
    }

    fn lookups(&self, group: &Group) -> TopicLookups {
        let lookups = group.topics.iter().map(|topic| {
            let of = TopicRef { namespace: topic.namespace().to_owned(), name: topic.name().to_owned() };
            (of, self.topics.lookup(topic.as_str()))
        });
        lookups.collect()
    }

    fn rivals(&self, key: &ObjectKey, group: &Group) -> Vec<String> {
        let topics: HashSet<&ObjectKey> = group.topics.iter().collect();
        let shares_a_topic = |other: &&ObjectKey| {
            let other = self.entries.get(*other).and_then(|entry| entry.group.as_ref());
            other.is_some_and(|other| {
                !other.deleting && other.topics.iter().any(|topic| topics.contains(topic))
            })
        };
        let companions = self.by_consumer_group.groups(&group.consumer_group).iter();
        let rivals = companions.filter(|companion| *companion != key).filter(shares_a_topic);
        let mut rivals: Vec<String> = rivals.map(|rival| rival.name().to_owned()).collect();
        rivals.sort_unstable();
        rivals
    }

    pub fn group(&self, key: &ObjectKey) -> Option<&Group> {
        self.entries.get(key)?.group.as_deref()
    }

    /// The lag in thousandths of a record, on average, as the group's autoscaler last read it.
    pub fn lag_milli(&self, key: &ObjectKey) -> Option<i64> {
        let entry = self.entries.get(key)?;
        let autoscaler = entry.children[ChildKind::HorizontalPodAutoscaler.index()].as_deref()?;
        autoscaler.autoscaler_of(entry.group_uid())?.lag_milli
    }

    /// Every group.
    pub fn keys(&self) -> Touched {
        self.groups().map(|(key, _)| key.clone()).collect()
    }

    pub fn groups(&self) -> impl Iterator<Item = (&ObjectKey, &Group)> {
        self.entries.iter().filter_map(|(key, entry)| Some((key, entry.group.as_deref()?)))
    }
}

/// As many as a group has children.
const MOST_BURIED: usize = 5;

#[cfg(test)]
mod tests;
