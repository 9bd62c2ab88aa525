//! The life of the groups that every plan goes through: what users, Strimzi, the Deployment's
//! controller and third parties do to them, step by step.

use std::time::Duration;

use anyhow::Result;
use kcg_tests::namespace::Namespace;
use kcg_tests::objects::{
    AUTOSCALER, CHILDREN, DEPLOYMENT, GROUP, Kind, RULE, SERVICE, TOPIC, condition, group, topic,
};
use serde_json::{Value, json};

use crate::recorder::{Objects, Recorder, Trace};

/// What a third party writes to maxReplicas.
pub const DRIFTED_MAX: i64 = 1;
/// How long a watch of the recorder may lag.
const LIMIT: Duration = Duration::from_mins(1);
pub const TOPIC_NAME: &str = "fast-data-topic";
/// An object that has the operator's label and belongs to no group.
pub const BYSTANDER: &str = "bystander";

/// A step. The next one begins when the objects are as they were in the clean run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Create,
    RollOut,
    ChangeSpec,
    RollOutAgain,
    GrowTopic,
    Drift,
    DeleteChildren,
    Pause,
    Resume,
    Delete,
}

impl Step {
    pub const ALL: [Self; 10] = [
        Self::Create,
        Self::RollOut,
        Self::ChangeSpec,
        Self::RollOutAgain,
        Self::GrowTopic,
        Self::Drift,
        Self::DeleteChildren,
        Self::Pause,
        Self::Resume,
        Self::Delete,
    ];

    /// Acts on all groups, and waits until the recorder has seen all of it: the objects may look alike
    /// before and after.
    pub async fn act(self, namespace: &Namespace, groups: &[String], recorder: &Recorder) -> Result<()> {
        if self == Self::GrowTopic {
            let grown = json!({"spec": {"partitions": 6}});
            return namespace.patch(TOPIC, TOPIC_NAME, &grown).await.map(drop);
        }
        let mut traces = Vec::new();
        for name in groups {
            traces.extend(self.act_on(namespace, name).await?);
        }
        recorder.until_seen(&namespace.name, &traces, LIMIT).await
    }

    async fn act_on(self, namespace: &Namespace, name: &str) -> Result<Vec<Trace>> {
        let written = |kind, object: &Value| vec![Trace::written(kind, object)];
        Ok(match self {
            Self::Create => written(GROUP, &namespace.create_object(GROUP, &group(name, &json!({}))).await?),
            Self::RollOut | Self::RollOutAgain => written(DEPLOYMENT, &roll_out(namespace, name).await?),
            Self::ChangeSpec => {
                let changed = json!({"minReplicas": 2, "consumerSpec": {"image": "example.com/consumer:2"}});
                written(GROUP, &namespace.patch(GROUP, name, &json!({"spec": changed})).await?)
            }
            Self::GrowTopic => Vec::new(),
            Self::Drift => {
                let port = json!([{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 1}]);
                let service = namespace.json_patch(SERVICE, name, &port).await?;
                let bounds = json!({"spec": {"minReplicas": DRIFTED_MAX, "maxReplicas": DRIFTED_MAX}});
                let autoscaler = namespace.patch(AUTOSCALER, name, &bounds).await?;
                vec![Trace::written(SERVICE, &service), Trace::written(AUTOSCALER, &autoscaler)]
            }
            Self::DeleteChildren => {
                vec![delete(namespace, SERVICE, name).await?, delete(namespace, RULE, name).await?]
            }
            Self::Pause | Self::Resume => {
                let paused = json!({"spec": {"paused": self == Self::Pause}});
                written(GROUP, &namespace.patch(GROUP, name, &paused).await?)
            }
            Self::Delete => vec![delete(namespace, GROUP, name).await?],
        })
    }

    /// Whether the objects of a group are as the step leaves them: what the clean run has to show.
    pub fn holds(self, objects: &Objects, name: &str) -> bool {
        let get =
            |kind: &'static str| objects.get(&(kind, name.to_owned())).map_or(&Value::Null, |object| object);
        let ready = condition(get(GROUP.name), "Ready");
        let max = &get(AUTOSCALER.name)["spec"]["maxReplicas"];
        let exist = CHILDREN.iter().all(|kind| !get(kind.name).is_null());
        match self {
            Self::Create => exist && ready[1] == "RollingOut" && *max == 3,
            Self::RollOut => exist && ready[0] == "True" && *max == 3,
            Self::ChangeSpec => ready[1] == "RollingOut" && get(AUTOSCALER.name)["spec"]["minReplicas"] == 2,
            Self::RollOutAgain => ready[0] == "True" && *max == 3,
            Self::GrowTopic | Self::Drift | Self::DeleteChildren => exist && ready[0] == "True" && *max == 6,
            Self::Pause => exist && condition(get(GROUP.name), "Paused")[0] == "True",
            Self::Resume => exist && ready[0] == "True" && condition(get(GROUP.name), "Paused")[0] == "False",
            Self::Delete => get(GROUP.name).is_null() && !exist,
        }
    }
}

/// The names of a life's groups.
pub fn names(groups: usize) -> Vec<String> {
    (0..groups).map(|number| format!("consumer-{number}")).collect()
}

/// What is there before the operator starts: the topic, and bystanders.
pub async fn prepare(namespace: &Namespace) -> Result<()> {
    let topic = topic(TOPIC_NAME, &json!({"partitions": 3, "replicas": 1}));
    namespace.create_object(TOPIC, &topic).await?;
    let metadata = json!({
        "name": BYSTANDER,
        "labels": {"app.kubernetes.io/managed-by": "kconsumer-group-operator"},
    });
    let service = json!({
        "apiVersion": SERVICE.api_version(), "kind": SERVICE.name, "metadata": metadata,
        "spec": {"selector": {"app": "other"}, "ports": [{"port": 80}]},
    });
    namespace.create_object(SERVICE, &service).await.map(drop)
}

async fn delete(namespace: &Namespace, kind: Kind, name: &str) -> Result<Trace> {
    let trace = Trace::deleted(kind, &namespace.get(kind, name).await?);
    namespace.delete(kind, name).await?;
    Ok(trace)
}

/// A stand-in for the Deployment's controller: all pods of the current template are available. The pods
/// that an autoscaler would add are there, too.
async fn roll_out(namespace: &Namespace, name: &str) -> Result<Value> {
    let scaled = json!({"spec": {"replicas": 2}});
    let live = namespace.patch(DEPLOYMENT, name, &scaled).await?;
    let status = json!({
        "observedGeneration": live["metadata"]["generation"],
        "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
    });
    namespace.patch_status(DEPLOYMENT, name, &status).await
}
