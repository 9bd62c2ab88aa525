//! What was written, by whom and when: read from the API server's audit log.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::jiff::Timestamp;
use kcg_devcluster::audit::{AuditEvent, Mark};

use crate::objects::Kind;
use crate::place::{LIMIT, Place};

/// One namespace's page of the audit log, from a moment on.
#[derive(Debug)]
pub struct Ledger {
    place: Place,
    since: Mark,
}

impl Ledger {
    pub fn open(place: &Place) -> Result<Self> {
        let since = place.world.audit.mark()?;
        Ok(Self { place: place.clone(), since })
    }

    /// All that the controller wrote here, statuses and Events included.
    pub fn by_operator(&self) -> Result<Vec<AuditEvent>> {
        let operator = &self.place.world.operator;
        let (namespace, account) = (operator.namespace(), operator.controller_account());
        Ok(self.writes()?.into_iter().filter(|event| event.is_by(namespace, account)).collect())
    }

    /// What the controller wrote of one child.
    pub fn of_child(&self, kind: Kind, name: &str) -> Result<Vec<AuditEvent>> {
        Ok(self
            .by_operator()?
            .into_iter()
            .filter(|event| event.object_ref.resource == kind.plural && event.object_ref.name == name)
            .collect())
    }

    /// The same once there are that many: who sees a change may see it before the log has its line.
    pub async fn awaited(&self, kind: Kind, name: &str, count: usize) -> Result<Vec<AuditEvent>> {
        let what = format!("{count} writes of {} {name}", kind.name);
        let written = kcg_devcluster::wait::until(&what, LIMIT, async || {
            let written = self.of_child(kind, name).unwrap_or_default();
            Ok(if written.len() >= count { Ok(written) } else { Err(format!("{} were", written.len())) })
        });
        Ok(written.await?)
    }

    /// The kinds of child that the controller wrote, a word for each write, sorted.
    pub fn children(&self) -> Result<Vec<String>> {
        let mut written: Vec<String> = self
            .by_operator()?
            .iter()
            .filter(|event| {
                event.object_ref.resource != "kconsumergroups" && event.object_ref.resource != "events"
            })
            .map(AuditEvent::resource)
            .collect();
        written.sort();
        Ok(written)
    }

    /// The writes of a group's status.
    pub fn statuses(&self, name: &str) -> Result<Vec<AuditEvent>> {
        Ok(self
            .by_operator()?
            .into_iter()
            .filter(|event| event.resource() == "kconsumergroups/status" && event.object_ref.name == name)
            .collect())
    }

    /// What somebody who is not the controller wrote of this object.
    pub fn by_others(&self, kind: Kind, name: &str) -> Result<Vec<AuditEvent>> {
        Ok(self
            .writes()?
            .into_iter()
            .filter(|event| {
                event.user.username == ADMINISTRATOR
                    && event.object_ref.resource == kind.plural
                    && event.object_ref.name == name
            })
            .collect())
    }

    /// How often anybody wrote an object of this kind.
    pub fn all_writes(&self, kind: Kind) -> Result<usize> {
        Ok(self.writes()?.iter().filter(|event| event.object_ref.resource == kind.plural).count())
    }

    fn writes(&self) -> Result<Vec<AuditEvent>> {
        let events = self.place.world.audit.since(self.since)?;
        Ok(events
            .into_iter()
            .filter(|event| {
                event.is_write()
                    && event.object_ref.namespace == self.place.namespace
                    && event.response_status.code < 300
            })
            .collect())
    }
}

/// Who the tests are.
const ADMINISTRATOR: &str = "devcluster-admin";

/// When a request came.
pub fn time(event: &AuditEvent) -> Result<Timestamp> {
    event
        .request_received_timestamp
        .parse()
        .with_context(|| format!("the time {}", event.request_received_timestamp))
}

/// From one request to another.
pub fn between(earlier: &AuditEvent, later: &AuditEvent) -> Result<Duration> {
    let span = time(later)?.duration_since(time(earlier)?);
    Ok(Duration::try_from(span).unwrap_or_default())
}
