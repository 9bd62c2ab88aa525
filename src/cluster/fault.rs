//! Why a write did not come about, read from the API server's answer.

use kcg_runtime::client::RequestError;
use std::time::Duration;

use kcg_core::children::ChildKind;
use kcg_core::observed::Trouble;

/// Why a write did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The object belongs to somebody else.
    Conflict { owner: String },
    /// The object is ours and its selector, which cannot change, is another.
    SelectorImmutable,
    /// The cluster does not serve the kind.
    NotServed,
    /// The API server refused: the same write will be refused again.
    Refused { message: String },
    /// It may pass.
    Failed { message: String, retry_after: Option<Duration> },
    /// Nothing is wrong, and nothing can be done yet: an object or a namespace is on its way out.
    Waiting,
    /// The right to write was lost.
    NotLeading,
}

impl Fault {
    /// What the group's status says of it.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Conflict { owner } => Some(Trouble::NameConflict { owner: owner.clone() }),
            Self::SelectorImmutable => Some(Trouble::SelectorImmutable),
            Self::NotServed => Some(Trouble::NotServed),
            Self::Refused { message } => Some(Trouble::Refused { message: message.clone() }),
            Self::Failed { message, .. } => Some(Trouble::Failed { message: message.clone() }),
            Self::Waiting | Self::NotLeading => None,
        }
    }
}

impl Fault {
    /// What a failed request means for its child.
    pub(super) fn of(kind: ChildKind, error: &RequestError) -> Self {
        let message = in_one_line(&error.to_string());
        let Some(status) = error.status() else {
            return Self::Failed { message, retry_after: None };
        };
        let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
        let is_namespace = status.details.as_ref().is_some_and(|details| details.kind == "namespaces");
        match status.code {
            403 if causes.iter().any(|cause| cause.reason == "NamespaceTerminating") => Self::Waiting,
            404 if is_namespace => Self::Waiting,
            404 if kind.is_optional() => Self::NotServed,
            400 | 403 | 405 | 413 | 415 | 422 => Self::Refused { message },
            _ => Self::Failed { message, retry_after: error.retry_after() },
        }
    }
}

/// The most of a server's message that is kept, in bytes; an Event's note has room for 1024.
const LONGEST: usize = 1000;

/// A message that others wrote, fit for a condition and a log: no control characters, and not without end.
pub(super) fn in_one_line(message: &str) -> String {
    let mut line = String::new();
    for character in message.chars() {
        if line.len() >= LONGEST {
            line.push('…');
            break;
        }
        match character {
            '\n' | '\t' => line.push(' '),
            character if character.is_control() => line.extend(character.escape_default()),
            character => line.push(character),
        }
    }
    line
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use kube::core::Status;
    use serde_json::{Value, json};

    /// A call that the API server refused.
    pub fn refusal(code: u16, details: &Value) -> RequestError {
        let status: Status = serde_json::from_value(
            json!({"status": "Failure", "code": code, "message": "no", "details": details}),
        )
        .unwrap();
        RequestError::Api { what: "apply Service a/b".into(), status: Box::new(status) }
    }

    #[test]
    fn a_failed_request_is_told_by_its_kind() {
        let refused = Fault::Refused { message: "apply Service a/b: no (HTTP 422)".into() };
        let kind = ChildKind::Service;
        assert_eq!(Fault::of(kind, &refusal(422, &json!({}))), refused);
        assert_eq!(
            Fault::of(kind, &refusal(403, &json!({"causes": [{"reason": "NamespaceTerminating"}]}))),
            Fault::Waiting
        );
        assert_eq!(Fault::of(kind, &refusal(404, &json!({"kind": "namespaces"}))), Fault::Waiting);
        assert_eq!(Fault::of(ChildKind::PrometheusRule, &refusal(404, &json!({}))), Fault::NotServed);
        for code in [409, 429, 500, 503, 504] {
            assert!(
                matches!(Fault::of(kind, &refusal(code, &json!({"retryAfterSeconds": 2}))),
                Fault::Failed { retry_after: Some(after), .. } if after == Duration::from_secs(2)),
                "{code}"
            );
        }
        for code in [400, 403] {
            assert!(matches!(Fault::of(kind, &refusal(code, &json!({}))), Fault::Refused { .. }), "{code}");
        }
    }

    #[test]
    fn what_a_server_says_fits_one_line() {
        assert_eq!(in_one_line("a\nb\u{1b}[31mc"), "a b\\u{1b}[31mc");
        let long = in_one_line(&"é".repeat(2000));
        assert!(long.len() <= LONGEST + 8 && long.ends_with('…'), "{}", long.len());
    }
}
