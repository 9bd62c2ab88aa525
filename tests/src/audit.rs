//! Who wrote what and when, from the API server's audit log.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::jiff::Timestamp;
use kcg_api::names;
use kcg_devcluster::audit::{AuditEvent, AuditLog, Mark};

use crate::env::LIMIT;
use crate::eventually;
use crate::objects::Kind;

/// The administrator, as whom the tests write.
const ADMINISTRATOR: &str = "devcluster-admin";

/// The successful writes in one namespace since a moment.
#[derive(Debug)]
pub struct NamespaceAudit {
    namespace: String,
    log: AuditLog,
    since: Mark,
}

impl NamespaceAudit {
    pub(crate) fn from_now(namespace: &str, log: AuditLog) -> Result<Self> {
        let since = log.mark()?;
        Ok(Self { namespace: namespace.to_owned(), log, since })
    }

    /// All writes of the controller, statuses and Events included.
    pub fn by_operator(&self) -> Result<Vec<AuditEvent>> {
        let by_controller = |event: &AuditEvent| event.is_by(names::NAMESPACE, names::CONTROLLER);
        Ok(self.writes()?.into_iter().filter(by_controller).collect())
    }

    /// The controller's writes of one object.
    pub fn of_child(&self, kind: Kind, name: &str) -> Result<Vec<AuditEvent>> {
        Ok(self
            .by_operator()?
            .into_iter()
            .filter(|event| event.object_ref.resource == kind.plural && event.object_ref.name == name)
            .collect())
    }

    /// The same as soon as there are that many: a change can be visible before the log has its
    /// line.
    pub async fn eventually_of_child(&self, kind: Kind, name: &str, count: usize) -> Result<Vec<AuditEvent>> {
        let what = format!("{count} writes of {} {name}", kind.name);
        let written = eventually(&what, LIMIT, async || {
            let written = self.of_child(kind, name).unwrap_or_default();
            Ok(if written.len() >= count { Ok(written) } else { Err(format!("{} writes", written.len())) })
        });
        written.await
    }

    /// The plurals of the children that the controller wrote, one for each write, sorted. The patches
    /// of [`Self::ended_creations`] are not among them.
    pub fn children(&self) -> Result<Vec<String>> {
        self.children_where(|event| !ends_a_creation(event))
    }

    /// The plurals of the children whose first apply that left out a field was preceded by a patch of
    /// managedFields alone, one for each patch, sorted.
    pub fn ended_creations(&self) -> Result<Vec<String>> {
        self.children_where(ends_a_creation)
    }

    fn children_where(&self, counts: impl Fn(&AuditEvent) -> bool) -> Result<Vec<String>> {
        let is_child = |event: &&AuditEvent| {
            event.object_ref.resource != "kconsumergroups" && event.object_ref.resource != "events"
        };
        let events = self.by_operator()?;
        let counted = events.iter().filter(is_child).filter(|event| counts(event));
        let mut written: Vec<String> = counted.map(AuditEvent::resource).collect();
        written.sort();
        Ok(written)
    }

    /// How often the controller read a single object in this namespace, whatever the answer.
    pub fn reads(&self) -> Result<usize> {
        let is_read = |event: &&AuditEvent| {
            event.verb == "get"
                && event.object_ref.namespace == self.namespace
                && event.is_by(names::NAMESPACE, names::CONTROLLER)
        };
        Ok(self.log.since(self.since)?.iter().filter(is_read).count())
    }

    /// The controller's writes of a group's status.
    pub fn statuses(&self, name: &str) -> Result<Vec<AuditEvent>> {
        Ok(self
            .by_operator()?
            .into_iter()
            .filter(|event| event.resource() == "kconsumergroups/status" && event.object_ref.name == name)
            .collect())
    }

    /// The tests' own writes of an object.
    pub fn by_administrator(&self, kind: Kind, name: &str) -> Result<Vec<AuditEvent>> {
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

    /// The number of writes of objects of this kind, by any user.
    pub fn all_writes(&self, kind: Kind) -> Result<usize> {
        Ok(self.writes()?.iter().filter(|event| event.object_ref.resource == kind.plural).count())
    }

    fn writes(&self) -> Result<Vec<AuditEvent>> {
        let events = self.log.since(self.since)?;
        Ok(events
            .into_iter()
            .filter(|event| {
                event.is_write()
                    && event.object_ref.namespace == self.namespace
                    && event.response_status.code < 300
            })
            .collect())
    }
}

fn ends_a_creation(event: &AuditEvent) -> bool {
    event.request_uri.contains("fieldManager=kconsumer-group-operator-end-creation")
}

/// When the API server received a request.
pub fn received(event: &AuditEvent) -> Result<Timestamp> {
    event
        .request_received_timestamp
        .parse()
        .with_context(|| format!("the time {}", event.request_received_timestamp))
}

/// The time from one request to another.
pub fn between(earlier: &AuditEvent, later: &AuditEvent) -> Result<Duration> {
    let span = received(later)?.duration_since(received(earlier)?);
    Ok(Duration::try_from(span).unwrap_or_default())
}
