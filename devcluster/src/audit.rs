//! The API server's audit log, read back: which requests were made between two moments, and by whom.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;

use crate::{Error, Result};

/// A moment in the log. A request answered before it was taken lies before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

impl Mark {
    /// Before the first request.
    pub const START: Self = Self(0);
}

/// The log of one cluster, also over restarts of its API server.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
}

impl AuditLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Now.
    pub fn mark(&self) -> Result<Mark> {
        Ok(Mark(self.text_from(Mark::START)?.len() as u64))
    }

    /// The requests answered since `mark`, each once: a watch when it begins, all others when they end.
    pub fn since(&self, mark: Mark) -> Result<Vec<AuditEvent>> {
        let text = self.text_from(mark)?;
        let mut events = Vec::new();
        for line in text.lines() {
            let event: AuditEvent = serde_json::from_str(line)
                .map_err(|error| Error::Parse { what: "the audit log".into(), reason: error.to_string() })?;
            if event.counts() {
                events.push(event);
            }
        }
        Ok(events)
    }

    /// All requests so far.
    pub fn all(&self) -> Result<Vec<AuditEvent>> {
        self.since(Mark::START)
    }

    /// The whole lines behind `mark`; one that is being written right now is left for later.
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

/// One request, at level Metadata. Field names as in audit.k8s.io/v1.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditEvent {
    /// ResponseStarted, ResponseComplete or Panic.
    pub stage: String,
    /// get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: String,
    /// The path with its query.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// Who asked.
    pub user: User,
    /// The program that asked.
    pub user_agent: String,
    /// What was asked for; empty for paths that are no resource.
    pub object_ref: ObjectRef,
    /// The answer.
    pub response_status: ResponseStatus,
    /// Among them `authorization.k8s.io/decision` and `.../reason`, which names the role that granted it.
    pub annotations: BTreeMap<String, String>,
    /// When the request came, RFC 3339 with microseconds.
    pub request_received_timestamp: String,
}

/// The user of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct User {
    /// For instance `system:serviceaccount:NAMESPACE:NAME`.
    pub username: String,
    /// Its groups.
    pub groups: Vec<String>,
}

/// The object of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    /// The API group, empty for the core one.
    pub api_group: String,
    /// Its version.
    pub api_version: String,
    /// The plural, as in `deployments`.
    pub resource: String,
    /// For instance `status` or `scale`.
    pub subresource: String,
    /// The namespace, empty for objects of the cluster and for requests over all namespaces.
    pub namespace: String,
    /// The object's name, empty for lists and for creations.
    pub name: String,
}

/// The outcome of a request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ResponseStatus {
    /// The HTTP status.
    pub code: u16,
    /// Kubernetes' reason where it failed.
    pub reason: String,
    /// Its message where it failed.
    pub message: String,
}

impl AuditEvent {
    /// Whether it changes anything.
    pub fn is_write(&self) -> bool {
        ["create", "update", "patch", "delete", "deletecollection"].contains(&self.verb.as_str())
    }

    /// Whether it was refused for want of a grant.
    pub fn is_denied(&self) -> bool {
        self.annotations.get("authorization.k8s.io/decision").is_some_and(|decision| decision == "forbid")
    }

    /// Whether this ServiceAccount asked.
    pub fn is_by(&self, namespace: &str, service_account: &str) -> bool {
        self.user.username == format!("system:serviceaccount:{namespace}:{service_account}")
    }

    /// The resource with its subresource, as RBAC writes it: `deployments/scale`.
    pub fn resource(&self) -> String {
        let object = &self.object_ref;
        if object.subresource.is_empty() {
            return object.resource.clone();
        }
        format!("{}/{}", object.resource, object.subresource)
    }

    /// A watch logs two lines, at its beginning and at its end.
    fn counts(&self) -> bool {
        (self.stage == "ResponseStarted") == (self.verb == "watch" && self.response_status.code == 200)
    }
}
