//! Reads the API server's audit log: which requests were made between two marks, and by which user.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;

use crate::{Error, Result};

/// A position in the log. Every request that was answered before the mark was taken precedes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

impl Mark {
    /// The beginning of the log.
    pub const START: Self = Self(0);
}

/// The audit log of one cluster. It continues across restarts of the API server.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
}

impl AuditLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The current end of the log.
    pub fn mark(&self) -> Result<Mark> {
        Ok(Mark(self.text_from(Mark::START)?.len() as u64))
    }

    /// The requests that were answered since `mark`, each once: a watch when it starts, any other
    /// request when it ends.
    pub fn since(&self, mark: Mark) -> Result<Vec<AuditEvent>> {
        self.next(&mut { mark })
    }

    /// The same, and moves `mark` to the end of what was read.
    pub fn next(&self, mark: &mut Mark) -> Result<Vec<AuditEvent>> {
        let text = self.text_from(*mark)?;
        mark.0 += text.len() as u64;
        let mut events = Vec::new();
        for line in text.lines() {
            let event: AuditEvent = serde_json::from_str(line)
                .map_err(|error| Error::Parse { what: "the audit log".into(), reason: error.to_string() })?;
            if event.is_counted() {
                events.push(event);
            }
        }
        Ok(events)
    }

    /// All requests since the cluster started.
    pub fn all(&self) -> Result<Vec<AuditEvent>> {
        self.since(Mark::START)
    }

    /// The complete lines after `mark`, without a last line that is still being written.
    fn text_from(&self, mark: Mark) -> Result<String> {
        let mut text = String::new();
        File::open(&self.path)
            .and_then(|mut file| {
                file.seek(SeekFrom::Start(mark.0))?;
                file.read_to_string(&mut text)
            })
            .map_err(Error::file("read", &self.path))?;
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        Ok(text)
    }
}

/// One request at level Metadata. The fields are those of audit.k8s.io/v1.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditEvent {
    /// ResponseStarted, ResponseComplete or Panic.
    pub stage: String,
    /// get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: String,
    /// The path and the query.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// The authenticated user.
    pub user: User,
    /// The client's User-Agent header.
    pub user_agent: String,
    /// The requested object. Empty if the path is not a resource.
    pub object_ref: ObjectRef,
    /// The response.
    pub response_status: ResponseStatus,
    /// Includes `authorization.k8s.io/decision` and `authorization.k8s.io/reason`, which names the
    /// role.
    pub annotations: BTreeMap<String, String>,
    /// When the request was received, in RFC 3339 with microseconds.
    pub request_received_timestamp: String,
}

/// The user of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct User {
    /// For example `system:serviceaccount:NAMESPACE:NAME`.
    pub username: String,
    /// The groups that the user belongs to.
    pub groups: Vec<String>,
}

/// The object of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    /// The API group. Empty for the core group.
    pub api_group: String,
    /// The version of the API group.
    pub api_version: String,
    /// The plural, for example `deployments`.
    pub resource: String,
    /// For example `status` or `scale`.
    pub subresource: String,
    /// The namespace. Empty for cluster-scoped objects and for requests across all namespaces.
    pub namespace: String,
    /// The object's name. Empty for `list` and `create`.
    pub name: String,
}

/// The result of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ResponseStatus {
    /// The HTTP status code.
    pub code: u16,
    /// The Kubernetes reason, if the request failed.
    pub reason: String,
    /// The message, if the request failed.
    pub message: String,
}

impl AuditEvent {
    /// Whether the verb modifies objects.
    pub fn is_write(&self) -> bool {
        ["create", "update", "patch", "delete", "deletecollection"].contains(&self.verb.as_str())
    }

    /// Whether authorization denied the request.
    pub fn is_denied(&self) -> bool {
        self.annotations.get("authorization.k8s.io/decision").is_some_and(|decision| decision == "forbid")
    }

    /// Whether this ServiceAccount made the request.
    pub fn is_by(&self, namespace: &str, service_account: &str) -> bool {
        self.user.username == format!("system:serviceaccount:{namespace}:{service_account}")
    }

    /// The resource and its subresource in RBAC notation: `deployments/scale`.
    pub fn resource(&self) -> String {
        let object = &self.object_ref;
        if object.subresource.is_empty() {
            return object.resource.clone();
        }
        format!("{}/{}", object.resource, object.subresource)
    }

    /// A watch logs two events, one when it starts and one when it ends. Only the first is counted.
    fn is_counted(&self) -> bool {
        (self.stage == "ResponseStarted") == (self.verb == "watch" && self.response_status.code == 200)
    }
}
