//! Requests to the API server, from its audit log: how many the operator sends, and how fast it
//! follows a topic's change.

use anyhow::{Context, Result, ensure};
use k8s_openapi::jiff::Timestamp;
use kcg_devcluster::audit::AuditEvent;
use serde::Serialize;

use crate::settings::OPERATOR_NAMESPACE;

/// Numbers of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// Creations, changes and deletions, without the Lease's renewals.
    pub writes: u64,
    /// Renewals of the Lease.
    pub lease: u64,
    /// Gets and lists.
    pub reads: u64,
    /// Watches, counted when they start.
    pub watches: u64,
}

impl Requests {
    fn count(&mut self, event: &AuditEvent) {
        let counter = match event.verb.as_str() {
            "watch" => &mut self.watches,
            _ if event.object_ref.resource == "leases" => &mut self.lease,
            _ if event.is_write() => &mut self.writes,
            _ => &mut self.reads,
        };
        *counter += 1;
    }

    /// The number of all requests.
    pub fn all(&self) -> u64 {
        self.writes + self.lease + self.reads + self.watches
    }
}

/// The operator's requests, and those of all clients.
pub fn count(events: &[AuditEvent]) -> (Requests, Requests) {
    let (mut operator, mut all) = (Requests::default(), Requests::default());
    let accounts = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:");
    for event in events {
        all.count(event);
        if event.user.username.starts_with(&accounts) {
            operator.count(event);
        }
    }
    (operator, all)
}

/// The milliseconds from a user's last change of a KafkaTopic to the operator's last change of the
/// autoscaler, both as the API server received them. Fails if the autoscaler's change is not the
/// later one.
pub fn topic_to_ceiling(events: &[AuditEvent], topic: &str, group: &str) -> Result<f64> {
    let is = |event: &&AuditEvent, verb: &str, resource: &str, name: &str| {
        event.verb == verb
            && event.resource() == resource
            && event.object_ref.name == name
            && event.response_status.code < 300
    };
    let by_kubectl = |event: &&AuditEvent| event.user_agent.starts_with("kubectl");
    let change = events
        .iter()
        .rfind(|event| is(event, "patch", "kafkatopics", topic) && by_kubectl(event))
        .context("the audit log shows no change of the topic")?;
    let changed = received(change)?;
    let reaction = events.iter().rfind(|event| is(event, "patch", "horizontalpodautoscalers", group));
    let reacted = received(reaction.context("the audit log shows no change of the autoscaler")?)?;
    ensure!(reacted > changed, "the audit log shows no change of the autoscaler after that of the topic");
    Ok((reacted - changed).total(k8s_openapi::jiff::Unit::Millisecond)?)
}

fn received(event: &AuditEvent) -> Result<Timestamp> {
    event
        .request_received_timestamp
        .parse()
        .with_context(|| format!("read the time of {}", event.request_uri))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(verb: &str, resource: &str, name: &str, who: &str, at: &str) -> AuditEvent {
        serde_json::from_value(serde_json::json!({
            "verb": verb, "objectRef": {"resource": resource, "name": name},
            "user": {"username": format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{who}")}, "userAgent": who,
            "responseStatus": {"code": 200}, "requestReceivedTimestamp": format!("2026-01-01T00:00:0{at}Z"),
        }))
        .expect("an event as the log has them")
    }

    #[test]
    fn topic_to_ceiling_is_the_time_between_the_two_requests() -> Result<()> {
        let events = [
            event("patch", "horizontalpodautoscalers", "kconsumer", "controller", "0.900000"),
            event("patch", "kafkatopics", "fast-data-topic", "kubectl/v1", "1.000000"),
            event("patch", "horizontalpodautoscalers", "other", "controller", "1.010000"),
            event("patch", "horizontalpodautoscalers", "kconsumer", "controller", "1.020000"),
        ];
        assert!((topic_to_ceiling(&events, "fast-data-topic", "kconsumer")? - 20.0).abs() < 1e-6);
        assert!(topic_to_ceiling(&events[..2], "fast-data-topic", "kconsumer").is_err());
        Ok(())
    }

    #[test]
    fn renewals_of_the_lease_are_not_counted_as_writes() {
        let events = [
            event("patch", "leases", "l", "controller", "1"),
            event("patch", "deployments", "d", "controller", "1"),
            event("watch", "pods", "", "controller", "1"),
            event("list", "pods", "", "controller", "1"),
        ];
        assert_eq!(count(&events).0, Requests { writes: 1, lease: 1, reads: 1, watches: 1 });
    }
}
