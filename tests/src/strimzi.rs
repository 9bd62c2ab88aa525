//! What Strimzi's topic operator would report about a KafkaTopic.

use anyhow::Result;
use serde_json::{Value, json};

use crate::namespace::Namespace;
use crate::objects::TOPIC;

impl Namespace {
    /// Reports the topic's current generation as Ready under this topicId.
    pub async fn confirm_topic(&self, name: &str, topic_id: &str) -> Result<()> {
        let ready = json!({"type": "Ready", "status": "True"});
        self.report_topic(name, ready, &json!({"topicId": topic_id})).await
    }

    /// Reports Ready=False for the topic's current generation. Reason and message are Strimzi's.
    pub async fn fail_topic(&self, name: &str, reason: &str, message: &str) -> Result<()> {
        let failed = json!({"type": "Ready", "status": "False", "reason": reason, "message": message});
        self.report_topic(name, failed, &json!({})).await
    }

    /// Reports a condition for the topic's current generation, with further fields of the status.
    pub async fn report_topic(&self, name: &str, mut condition: Value, status: &Value) -> Result<()> {
        let topic = self.get(TOPIC, name).await?;
        condition["lastTransitionTime"] = json!("2026-01-01T00:00:00Z");
        let mut report =
            json!({"observedGeneration": topic["metadata"]["generation"], "conditions": [condition]});
        if topic["status"]["topicName"].is_null() {
            report["topicName"] =
                topic["spec"].get("topicName").unwrap_or(&topic["metadata"]["name"]).clone();
        }
        json_patch::merge(&mut report, status);
        self.patch_status(TOPIC, name, &report).await.map(drop)
    }
}
