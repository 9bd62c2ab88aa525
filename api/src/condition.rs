//! The conditions in a group's status, and their reasons. One reason names the condition, the Event
//! and the metric label.

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $meaning:literal])+ $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[doc = $meaning])+ $variant),+ }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name as it is printed in conditions, Events and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }

            /// The variant of this name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|variant| variant.as_str() == name)
            }

            /// What the variant means, in one sentence. docs/resource.md prints it.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+)),+ }
            }
        }
    };
}

pub(crate) use named;

named!(
    /// The condition types, in the order of status.conditions.
    ConditionType {
        /// The group is valid, its owned resources match the spec, and at least minReplicas pods
        /// of the current pod template are available. Unknown while a rollout is in progress.
        Ready,
        /// The Deployment is rolling out or scaling.
        Progressing,
        /// The group needs a person: it does not become ready by itself.
        Stalled,
        /// The partition count of every topic is known.
        TopicsResolved,
        /// The HorizontalPodAutoscaler reads the lag metric.
        MetricsAvailable,
        /// A Prometheus selects the ServiceMonitor, and none has rejected the PrometheusRule.
        MonitoringAccepted,
        /// The group runs at its ceiling, and its lag is above the limit by more than the
        /// autoscaler's tolerance: only more partitions, a higher maxReplicas or a faster consumer
        /// helps.
        PartitionBound,
        /// The operator does not change the owned resources.
        Paused,
    }
);

named!(
    /// The reason of a condition's last transition.
    Reason {
        /// The owned resources match the spec, and the pods are available.
        Reconciled,
        /// Pods of the current pod template are replacing the previous ones, or are the first ones.
        RollingOut,
        /// Pods of the current pod template are being added, removed or restarted.
        Scaling,
        /// All pods are of the current pod template and available.
        RolloutComplete,
        /// The Deployment's spec.paused is true: it does not roll out a new pod template.
        RolloutPaused,
        /// spec.minReplicas is above the ceiling; the ceiling applies.
        MinAboveCeiling,
        /// More consumers run than the partitions keep busy, and the autoscaler does not remove
        /// them.
        IdleConsumers,
        /// The Deployment has fewer available pods than it should.
        PodsNotReady,
        /// The Deployment's rollout makes no progress.
        RolloutStuck,
        /// The API server refuses the Deployment's pods. Unknown if that may pass.
        ReplicaFailure,
        /// A ResourceQuota has no room for another pod or for an owned resource.
        QuotaExceeded,
        /// The Deployment was scaled to 0, which turns off autoscaling.
        ScaledToZero,
        /// The stored spec breaks a validation rule.
        InvalidSpec,
        /// An object with the name of an owned resource exists and is not owned by the group.
        NameConflict,
        /// The existing Deployment has another selector, which is immutable.
        SelectorImmutable,
        /// The kind of an owned resource is not served: prometheus-operator is not installed.
        KindNotServed,
        /// The API server rejected an owned resource.
        ApplyRefused,
        /// The API server could not be reached or failed.
        ApplyFailed,
        /// Another HorizontalPodAutoscaler selects the same pods.
        OtherAutoscaler,
        /// Another group has the same groupId and a topic in common.
        GroupIdShared,
        /// Every topic was found, and its partition count is used.
        Resolved,
        /// Strimzi has not confirmed the partition count of the KafkaTopic.
        Unconfirmed,
        /// The KafkaTopic is paused: Strimzi does not bring changes of it to Kafka.
        TopicPaused,
        /// The KafkaTopic is not managed: Strimzi does not bring changes of it to Kafka.
        TopicUnmanaged,
        /// Two KafkaTopics of the group are the same topic in Kafka, which counts once.
        SameTopic,
        /// There is no KafkaTopic with that name.
        TopicNotFound,
        /// The cluster serves no KafkaTopics: Strimzi is not installed.
        KafkaTopicsNotServed,
        /// The KafkaTopics cannot be read at the moment.
        TopicsUnreadable,
        /// The KafkaTopic does not set spec.partitions.
        PartitionsUnset,
        /// The KafkaTopic's spec.partitions is not a number of at least 1.
        PartitionsImpossible,
        /// The KafkaTopic states a name that Kafka does not allow.
        TopicNameInvalid,
        /// Strimzi rejected the KafkaTopic's spec.
        TopicRefused,
        /// Strimzi could not bring the KafkaTopic to Kafka, and tries again.
        TopicNotReady,
        /// The KafkaTopic has fewer partitions than before and is not known to be a new topic.
        DecreaseHeld,
        /// The lag metric is available.
        MetricsRead,
        /// The metrics adapter lacks the rule for the group's lag metric; the HorizontalPodAutoscaler
        /// reads the metric of an earlier version.
        RuleMissing,
        /// The lag metric is not available yet.
        MetricsMissing,
        /// The HorizontalPodAutoscaler reads a number that cannot be a lag.
        LagImpossible,
        /// The custom metrics API is not installed, does not respond, or access to it is forbidden.
        MetricsApiUnavailable,
        /// The HorizontalPodAutoscaler cannot scale for another reason.
        ScalingInactive,
        /// The HorizontalPodAutoscaler has not reported yet.
        Pending,
        /// A Prometheus accepted the ServiceMonitor and the PrometheusRule.
        Accepted,
        /// A Prometheus rejected the ServiceMonitor or the PrometheusRule.
        Rejected,
        /// No controller reports whether a Prometheus selects the ServiceMonitor.
        NotReported,
        /// The group runs at its ceiling, and its lag is above the limit by more than the
        /// autoscaler's tolerance.
        AtCeiling,
        /// The group is below its ceiling, or its lag is within the limit and the autoscaler's
        /// tolerance.
        RoomToScale,
        /// The group does not need a person.
        NotStalled,
        /// spec.paused is true.
        PausedBySpec,
        /// spec.paused is not true.
        Running,
    }
);
