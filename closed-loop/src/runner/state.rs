//! The state of one group at one moment.

use crate::observe::alerts::OpenAlert;
use crate::observe::broker::GroupLag;
use crate::observe::replicas::ReplicaHistory;
use crate::timeline::{last, peak};

/// The state of one group. Counts of records are in records.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GroupState {
    pub name: String,
    pub replicas: ReplicaHistory,
    pub lag: GroupLag,
    /// Different records that were processed.
    pub processed: u64,
    pub rebalances: u64,
    /// The group's alerts that are pending or firing.
    pub alerts: Vec<OpenAlert>,
}

impl GroupState {
    /// Ready replicas.
    pub(crate) fn ready(&self) -> u64 {
        whole(last(&self.replicas.ready))
    }

    /// The most replicas that were ready at once.
    pub(crate) fn most_ready(&self) -> u64 {
        whole(peak(&self.replicas.ready))
    }

    /// The replicas that the autoscaler wants.
    pub(crate) fn wanted(&self) -> u64 {
        whole(last(&self.replicas.wanted))
    }

    /// The autoscaler's maxReplicas.
    pub(crate) fn ceiling(&self) -> u64 {
        whole(last(&self.replicas.ceiling))
    }

    /// The lag of all partitions.
    pub(crate) fn behind(&self) -> u64 {
        whole(self.lag.latest().iter().sum())
    }

    /// The lag of the worst partition.
    pub(crate) fn worst(&self) -> u64 {
        whole(self.lag.latest().into_iter().fold(0.0, f64::max))
    }

    /// The records in the group's topics.
    pub(crate) fn sent(&self) -> u64 {
        whole(last(&self.lag.sent))
    }

    /// Whether this many records were processed and their offsets committed.
    pub(crate) fn is_drained(&self, records: u64) -> bool {
        self.processed >= records && !self.lag.partitions.is_empty() && self.behind() == 0
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Counts of pods and records.
fn whole(value: f64) -> u64 {
    value as u64
}
