//! The conditions that a group's status carries and the reasons they give. Floor 0. One reason names the
//! condition, the Event and the metric's label.

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $meaning:literal])+ $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[doc = $meaning])+ $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name that is printed: in conditions, Events and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }

            /// What it means, in a sentence: the reference prints it.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+)),+ }
            }
        }
    };
}

named!(
    /// The types of condition, in the order of the status.
    ConditionType {
        /// The group is valid, its children are as they should be and its pods are available.
        Ready,
        /// Every topic's partitions are known.
        TopicsResolved,
        /// The HorizontalPodAutoscaler sees the lag metric.
        MetricsAvailable,
        /// A Prometheus has taken up the ServiceMonitor, and none has refused the PrometheusRule.
        MonitoringAccepted,
        /// The group is at its ceiling and still behind: only more partitions help.
        PartitionBound,
        /// The operator leaves the children as they are.
        Paused,
    }
);

named!(
    /// Why a condition stands as it does.
    Reason {
        /// All is as it should be.
        Reconciled,
        /// spec.minReplicas is above the ceiling; the ceiling counts.
        MinAboveCeiling,
        /// More consumers run than the partitions keep busy, and the autoscaler does not take them away.
        IdleConsumers,
        /// The Deployment has fewer pods available than it should.
        PodsNotReady,
        /// The Deployment's rollout makes no progress.
        RolloutStuck,
        /// The stored spec breaks a rule.
        InvalidSpec,
        /// An object of a child's name belongs to somebody else.
        NameConflict,
        /// The Deployment's selector is another and cannot be changed.
        SelectorImmutable,
        /// A child's kind is not served: prometheus-operator is not installed.
        KindNotServed,
        /// The API server refused a child.
        ApplyRefused,
        /// The API server could not be reached or failed.
        ApplyFailed,
        /// Another HorizontalPodAutoscaler scales the same pods.
        OtherAutoscaler,
        /// Another group of the namespace has the same groupId and a topic in common.
        GroupIdShared,
        /// Every topic was found and its partitions count.
        Resolved,
        /// There is no KafkaTopic of that name.
        TopicNotFound,
        /// The cluster serves no KafkaTopics: Strimzi is not installed.
        KafkaTopicsNotServed,
        /// The KafkaTopics cannot be read now.
        TopicsUnreadable,
        /// spec.partitions of the KafkaTopic is left out.
        PartitionsUnset,
        /// spec.partitions of the KafkaTopic is no count.
        PartitionsImpossible,
        /// Strimzi refused the KafkaTopic's spec.
        TopicRefused,
        /// The KafkaTopic states fewer partitions than before and is not known to be a new topic.
        DecreaseHeld,
        /// The lag metric is read.
        MetricsRead,
        /// The lag metric is not there yet.
        MetricsMissing,
        /// The custom metrics API is not installed, does not answer, or may not be asked.
        MetricsApiUnavailable,
        /// The HorizontalPodAutoscaler cannot scale for another reason.
        ScalingInactive,
        /// The HorizontalPodAutoscaler has not reported yet.
        Pending,
        /// A Prometheus accepted the monitors.
        Accepted,
        /// A Prometheus refused a monitor.
        Rejected,
        /// Nobody reports whether a Prometheus selects the monitors.
        NotReported,
        /// At the ceiling, and the lag is above the limit.
        AtCeiling,
        /// There is room to scale, or no need.
        RoomToScale,
        /// spec.paused is true.
        PausedBySpec,
        /// spec.paused is not true.
        Running,
    }
);
