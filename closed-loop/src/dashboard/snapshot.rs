//! What is known at one moment.

/// The story now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Seconds since the story's start.
    pub at: f64,
    pub groups: Vec<GroupSnapshot>,
}

/// A group now. Counts of records are in records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupSnapshot {
    pub name: String,
    /// Of all partitions together.
    pub lag: u64,
    /// Of the partition that is farthest behind.
    pub worst: u64,
    pub ready: u32,
    pub wanted: u32,
    pub ceiling: u32,
    pub sent: u64,
    /// Different ones.
    pub processed: u64,
    pub rebalances: u64,
    pub alerts: Vec<AlertNow>,
    pub pods: Vec<PodRate>,
}

/// An alert that is pending or fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertNow {
    pub name: String,
    pub firing: bool,
}

/// What a pod processes now, in records a second.
#[derive(Clone, Debug, PartialEq)]
pub struct PodRate {
    pub name: String,
    pub rate: f64,
}

impl Snapshot {
    /// All groups as if they were one; its name says how many they are.
    pub fn together(&self) -> GroupSnapshot {
        if let [group] = self.groups.as_slice() {
            return group.clone();
        }
        let mut all =
            GroupSnapshot { name: format!("{} groups", self.groups.len()), ..GroupSnapshot::default() };
        for group in &self.groups {
            all.lag += group.lag;
            all.worst = all.worst.max(group.worst);
            all.ready += group.ready;
            all.wanted += group.wanted;
            all.ceiling += group.ceiling;
            all.sent += group.sent;
            all.processed += group.processed;
            all.rebalances += group.rebalances;
            for alert in &group.alerts {
                all.alerts.push(AlertNow { name: format!("{} ({})", alert.name, group.name), ..*alert });
            }
            all.pods.extend(group.pods.iter().cloned());
        }
        all
    }
}
