//! Maintenance of the etcd of a running control plane, through its JSON API.

use std::time::Duration;

use serde_json::{Value, json};

use super::ControlPlane;
use crate::{Error, Result, plain_http};

const LIMIT: Duration = Duration::from_secs(10);

impl ControlPlane {
    /// Whether etcd's database has reached its quota: etcd then refuses every write that takes space.
    pub async fn etcd_is_full(&self) -> Result<bool> {
        let alarms = self.etcd("alarm", &json!({"action": "GET"})).await?;
        Ok(alarms["alarms"].as_array().is_some_and(|alarms| !alarms.is_empty()))
    }

    /// Removes old revisions, gives their space back and ends the alarm, as an administrator does whose
    /// etcd is full.
    pub async fn free_etcd(&self) -> Result<()> {
        let found = self.etcd_at("kv/range", &json!({"key": "AA=="})).await?;
        let compacted = json!({"revision": found["header"]["revision"], "physical": true});
        self.etcd_at("kv/compaction", &compacted).await?;
        self.etcd("defragment", &json!({})).await?;
        let alarms = self.etcd("alarm", &json!({"action": "GET"})).await?;
        for alarm in alarms["alarms"].as_array().into_iter().flatten() {
            let end = json!({"action": "DEACTIVATE", "memberID": alarm["memberID"], "alarm": alarm["alarm"]});
            self.etcd("alarm", &end).await?;
        }
        Ok(())
    }

    async fn etcd(&self, name: &str, body: &Value) -> Result<Value> {
        self.etcd_at(&format!("maintenance/{name}"), body).await
    }

    async fn etcd_at(&self, path: &str, body: &Value) -> Result<Value> {
        let (path, address) = (format!("/v3/{path}"), self.etcd_port.address());
        let action = format!("post to etcd {path}");
        let sent = plain_http::post(address, &path, &body.to_string(), LIMIT).await;
        let (status, text) = sent.map_err(Error::client(action.clone()))?;
        let answer = serde_json::from_str(&text).ok().filter(|_| status == 200);
        answer.ok_or_else(|| Error::Command { command: action, output: format!("HTTP {status}: {text}") })
    }
}
