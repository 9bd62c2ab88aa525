//! Reads what the decisions about one group depend on, for a command that runs once. The controller
//! has its watches instead.

use kcg_api::topic::{self, TopicFacts, TopicLookup, TopicLookups, TopicRef};
use kcg_core::children::{ChildKind, DefaultsVersion};
use kcg_core::facts::{Observed, project};
use kcg_core::lag::ServedMetrics;
use kcg_runtime::client::{RequestError, with_deadline};
use kcg_runtime::watch::ObjectKey;
use kcg_webhook::topics;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::{Api, Client};

use super::requests::ChildRequests;
use super::served_metrics;
use super::stored_group::StoredGroup;

/// A cluster, and what it serves.
pub(crate) struct LiveReader {
    client: Client,
    requests: ChildRequests,
    /// `None`: Strimzi is not installed.
    kafka_topics: Option<ApiResource>,
    served_metrics: ServedMetrics,
}

impl std::fmt::Debug for LiveReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LiveReader").finish_non_exhaustive()
    }
}

/// A group as it is in the cluster.
#[derive(Debug, Default)]
pub(crate) struct LiveGroup {
    /// `None`: there is no such group.
    pub(crate) uid: Option<String>,
    /// Its children and its topics.
    pub(crate) observed: Observed,
}

impl LiveReader {
    pub(crate) async fn connect(client: Client) -> Result<Self, RequestError> {
        let kafka_topics = topics::kind().find(&client).await?;
        let served = served_metrics::pod_metrics(&client).await?.unwrap_or_default();
        Ok(Self {
            requests: ChildRequests::new(client.clone()),
            client,
            kafka_topics,
            served_metrics: ServedMetrics::of(served),
        })
    }

    /// The namespace of the kubeconfig's context, or `default`.
    pub(crate) fn namespace(&self) -> &str {
        self.client.default_namespace()
    }

    pub(crate) async fn read(&self, key: &ObjectKey, topics: &[TopicRef]) -> Result<LiveGroup, RequestError> {
        let group = self.requests.get_group(key).await?;
        // A status that cannot be read is none, as for the controller.
        let status = group.as_ref().and_then(StoredGroup::status);
        let uid = group.map(|group| group.metadata.uid.into());
        let mut observed = Observed {
            served_metrics: self.served_metrics.clone(),
            recorded_defaults: status.as_ref().and_then(DefaultsVersion::recorded),
            ..Observed::default()
        };
        if uid.is_some() {
            for kind in ChildKind::ALL {
                let live = self.requests.get(kind, key).await?;
                observed.children[kind] = live.map(|live| project::child(kind, &live));
            }
        }
        observed.topics = self.topics(topics).await;
        Ok(LiveGroup { uid, observed })
    }

    async fn topics(&self, topics: &[TopicRef]) -> TopicLookups {
        let mut lookups = TopicLookups::new();
        for topic in topics {
            lookups.insert(topic.clone(), self.topic(topic).await);
        }
        lookups
    }

    /// Never fails: the user may not be allowed to read the topics of another namespace.
    async fn topic(&self, topic: &TopicRef) -> TopicLookup {
        let Some(resource) = &self.kafka_topics else { return TopicLookup::NotServed };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &topic.namespace, resource);
        let what = format!("get {} {topic}", topic::KIND);
        match with_deadline(what, api.get_opt(&topic.name)).await {
            Ok(Some(found)) => match serde_json::to_value(&found) {
                Ok(found) => TopicLookup::Found(TopicFacts::decode(&found)),
                Err(error) => TopicLookup::Unknown(error.to_string()),
            },
            Ok(None) => TopicLookup::NotFound,
            Err(error) => TopicLookup::Unknown(error.to_string()),
        }
    }
}
