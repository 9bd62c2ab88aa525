//! The names of the rules.

macro_rules! rules {
    ($($(#[$doc:meta])+ $rule:ident),+ $(,)?) => {
        /// The rules by name. Metrics and logs print the name of a violated rule; the ratchet
        /// compares it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule { $($(#[$doc])+ $rule),+ }

        impl Rule {
            /// The rule's name in metrics and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$rule => stringify!($rule)),+ }
            }
        }
    };
}

rules!(
    /// Every value has the type that the schema gives it.
    Type,
    /// metadata.name can name a Service.
    Name,
    /// spec.minReplicas is at least 1.
    MinReplicas,
    /// spec.maxReplicas is at least 1.
    MaxReplicas,
    /// spec.minReplicas is not above spec.maxReplicas.
    MinWithinMax,
    /// spec.minReplicas is not above what the topics' partitions keep busy.
    MinWithinCeiling,
    /// spec.averageRecordsLagLimit is at least 1.
    LagLimit,
    /// spec.consumerSpec.image is an image reference.
    Image,
    /// spec.consumerSpec.containerName is a DNS label.
    ContainerName,
    /// At least one topic is named, and each name is valid and listed once.
    Topics,
    /// The operator may read KafkaTopics in spec.consumerSpec.topicNamespace for this group.
    TopicNamespace,
    /// spec.consumerSpec.groupId is printable.
    GroupId,
    /// spec.consumerSpec.bootstrapServers is printable.
    BootstrapServers,
    /// spec.consumerSpec.partitionsPerConsumer is at least 1.
    PartitionsPerConsumer,
    /// The environment variables are valid, distinct and not too many.
    Env,
    /// spec.consumerSpec.imagePullPolicy is one that Kubernetes knows.
    ImagePullPolicy,
    /// spec.consumerSpec.podTemplate is a PodTemplateSpec that keeps the operator's selector
    /// labels.
    PodTemplate,
    /// spec.consumerSpec.podTemplate asks for no access to the node.
    Privilege,
    /// The pods keep the level `baseline` of the Pod Security Standards.
    PodSecurity,
    /// The Deployment and the HorizontalPodAutoscaler pass the API server's validation.
    Deployment,
    /// spec.metrics can be scraped.
    Metrics,
    /// spec.metrics.endpoint and additionalEndpoints make valid endpoints of a ServiceMonitor, which
    /// reach only the group's pods.
    Endpoint,
    /// The scrape timeouts of spec.metrics are within their intervals, which the installation may
    /// set.
    ScrapeTimeout,
    /// spec.metrics asks no more of Prometheus than the installation allows: how often and how much it
    /// scrapes, and no variable of its environment.
    ScrapeLimits,
    /// spec.alerts makes a valid PrometheusRule.
    Alerts,
    /// spec.scaling makes a valid HorizontalPodAutoscaler and Deployment.
    Scaling,
    /// spec.scaling.metrics makes a HorizontalPodAutoscaler that is valid and can scale down.
    ScalingMetrics,
    /// spec.consumerSpec.readiness has a path.
    Readiness,
    /// spec.inheritedMetadata has labels and annotations that are not the operator's.
    InheritedMetadata,
    /// The spec has no more JSON values than the operator reads.
    SpecNodes,
    /// The spec keeps the other bounds on its size: bytes, items of a list, depth.
    SpecSize,
);

impl Rule {
    /// Whether the rule applies only to a spec that is new or changed. A stored group that breaks
    /// it is reconciled: the API server judges its pods.
    ///
    /// A rule that is added in a later version belongs here, so that an upgrade stops no group. A
    /// bound that protects the operator's own processes does not.
    pub const fn is_admission_only(self) -> bool {
        matches!(
            self,
            Self::PodSecurity
                | Self::Deployment
                | Self::ScalingMetrics
                | Self::SpecSize
                | Self::ScrapeTimeout
                | Self::ScrapeLimits
        )
    }
}
