//! Why a write failed, from the API server's response.

use std::time::Duration;

use kcg_core::child_error::ChildError;
use kcg_core::children::ChildKind;
use kcg_core::facts::project;
use kcg_core::refusal::Refusal;
use kcg_core::takeover::OtherManager;
use kcg_core::text::one_line;
use kcg_runtime::client::RequestError;
use kcg_runtime::watch::ObjectKey;
use serde_json::Value;

/// Why a write failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WriteError {
    /// The group's status reports it.
    Child {
        /// What went wrong.
        error: ChildError,
        /// The API server's Retry-After.
        retry_after: Option<Duration>,
    },
    /// Nothing is wrong, but nothing can be written yet: an object or a namespace is terminating, the watch
    /// has not brought the newest version of the group, or a list has overtaken the response to a write.
    Waiting,
    /// This process is no longer the leader.
    NotLeading,
}

impl From<ChildError> for WriteError {
    fn from(error: ChildError) -> Self {
        Self::Child { error, retry_after: None }
    }
}

/// The maximum length of the API server's message in bytes.
const MAX_MESSAGE: usize = 1000;

/// How many field managers a message names, and the maximum length of each name in bytes.
const MAX_MANAGERS: usize = 3;
const MAX_MANAGER: usize = 128;

impl WriteError {
    /// What a failed request means for its child.
    pub(super) fn of(kind: ChildKind, error: &RequestError) -> Self {
        let Some(status) = error.status() else {
            return Self::failed(error);
        };
        let causes = status.details.as_ref().map_or(&[][..], |details| &details.causes);
        let is_namespace = status.details.as_ref().is_some_and(|details| details.kind == "namespaces");
        match status.code {
            403 if causes.iter().any(|cause| cause.reason == "NamespaceTerminating") => Self::Waiting,
            404 if is_namespace => Self::Waiting,
            404 if kind.is_optional() => ChildError::NotServed.into(),
            403 => match Refusal::of_forbidden(&status.message) {
                Refusal::Quota => ChildError::QuotaExceeded { message: message(error) }.into(),
                Refusal::Passing => Self::failed(error),
                Refusal::Verdict => Self::rejected(error),
            },
            400 | 405 | 413 | 415 | 422 => Self::rejected(error),
            500 if is_about_the_object(&status.message) => Self::rejected(error),
            _ => Self::failed(error),
        }
    }

    /// A rejection that a person has to resolve.
    fn rejected(error: &RequestError) -> Self {
        ChildError::Refused { message: message(error) }.into()
    }

    /// A rejection of an object of which other field managers own parts, too: one of their fields
    /// can be the cause. Names them, and the command that frees the fields of the first ones.
    pub(super) fn rejected_among_managers(
        error: &RequestError,
        kind: ChildKind,
        key: &ObjectKey,
        managers: &[OtherManager<'_>],
    ) -> Self {
        if managers.is_empty() {
            return Self::rejected(error);
        }
        let shown = || managers.iter().take(MAX_MANAGERS);
        let names = shown().map(|manager| manager.name).collect::<Vec<_>>().join(", ");
        let names = one_line(&names, MAX_MANAGERS * MAX_MANAGER);
        let cures: Vec<String> = shown().map(|manager| cure(kind, key, *manager)).collect();
        let message = format!(
            "{}; other field managers own parts of it, which may be the cause: {names}. {}",
            message(error),
            cures.join("; ")
        );
        ChildError::Refused { message }.into()
    }

    /// The live object of the child's name is not the group's.
    pub(super) fn name_conflict(live: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let owner = project::controller(live).map(|owner| {
            format!("{} {} of uid {}", text(&owner["kind"]), text(&owner["name"]), text(&owner["uid"]))
        });
        ChildError::NameConflict { owner }.into()
    }

    /// A failure that a retry may solve.
    pub(super) fn failed(error: &RequestError) -> Self {
        let retry_after = error.status().and_then(|_| error.retry_after());
        Self::Child { error: ChildError::Failed { message: message(error) }, retry_after }
    }

    /// What the group's status reports, if anything is wrong.
    pub(crate) fn child_error(&self) -> Option<&ChildError> {
        match self {
            Self::Child { error, .. } => Some(error),
            Self::Waiting | Self::NotLeading => None,
        }
    }
}

/// Whether the API server answers so to every apply of the object: a list has a key twice, or this
/// version of Kubernetes does not know a field.
fn is_about_the_object(message: &str) -> bool {
    ["duplicate entries for key", "field not declared in schema"].iter().any(|words| message.contains(words))
}

/// How a person removes the fields of a manager. A name that a shell could misread is in no command.
fn cure(kind: ChildKind, key: &ObjectKey, manager: OtherManager<'_>) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let OtherManager { name, applies } = manager;
    let (object, namespace) = (key.name(), key.namespace());
    if applies && name.len() <= MAX_MANAGER && name.chars().all(is_word) {
        let (version, kind) = (kind.api_version(), kind.kind());
        let empty = format!(
            r#"{{"apiVersion":"{version}","kind":"{kind}","metadata":{{"name":"{object}","namespace":"{namespace}"}}}}"#
        );
        return format!(
            "To remove the fields of {name}: echo '{empty}' | kubectl apply --server-side --field-manager={name} -f -"
        );
    }
    let kind = kind.kind().to_lowercase();
    let name = one_line(name, MAX_MANAGER);
    format!(
        "Remove the fields of {name} by hand: kubectl edit {kind} {object} -n {namespace} --show-managed-fields"
    )
}

fn message(error: &RequestError) -> String {
    one_line(&error.to_string(), MAX_MESSAGE)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::json;

    use super::*;

    /// A request that the API server rejected.
    fn rejection(code: u16, details: &Value) -> RequestError {
        rejection_with(code, "no", details)
    }

    fn rejection_with(code: u16, message: &str, details: &Value) -> RequestError {
        let status: Status = serde_json::from_value(
            json!({"status": "Failure", "code": code, "message": message, "details": details}),
        )
        .unwrap();
        RequestError::Api { what: "apply Service a/b".into(), status: Box::new(status) }
    }

    #[test]
    fn a_rejection_names_some_of_the_other_field_managers() {
        let named = |managers: &[(&'static str, bool)]| {
            let managers: Vec<_> =
                managers.iter().map(|(name, applies)| OtherManager { name, applies: *applies }).collect();
            let key = ObjectKey::new("a", "b");
            let rejection = rejection(422, &json!({}));
            match WriteError::rejected_among_managers(&rejection, ChildKind::Service, &key, &managers) {
                WriteError::Child { error: ChildError::Refused { message }, .. } => message,
                error => panic!("{error:?}"),
            }
        };
        assert_eq!(named(&[]), "apply Service a/b: no (HTTP 422)");
        let message = named(&[("a", true), ("b", false), ("$(c)", true), ("d", true)]);
        let want = r#"which may be the cause: a, b, $(c). To remove the fields of a: echo '{"apiVersion":"v1","kind":"Service","metadata":{"name":"b","namespace":"a"}}' | kubectl apply --server-side --field-manager=a -f -; Remove the fields of b by hand: kubectl edit service b -n a --show-managed-fields; Remove the fields of $(c) by hand: kubectl edit service b -n a --show-managed-fields"#;
        assert!(message.ends_with(want), "{message}");
    }

    #[test]
    fn a_failed_request_is_classified_by_its_status() {
        let refused = ChildError::Refused { message: "apply Service a/b: no (HTTP 422)".into() };
        let of = |kind, code, details: Value| WriteError::of(kind, &rejection(code, &details));
        let kind = ChildKind::Service;
        assert_eq!(of(kind, 422, json!({})), refused.into());
        let terminating = json!({"causes": [{"reason": "NamespaceTerminating"}]});
        assert_eq!(of(kind, 403, terminating), WriteError::Waiting);
        assert_eq!(of(kind, 404, json!({"kind": "namespaces"})), WriteError::Waiting);
        assert_eq!(of(ChildKind::PrometheusRule, 404, json!({})), ChildError::NotServed.into());
        for code in [409, 429, 500, 503, 504] {
            let error = of(kind, code, json!({"retryAfterSeconds": 2}));
            let WriteError::Child { error: ChildError::Failed { .. }, retry_after } = error else {
                panic!("{code}: {error:?}")
            };
            assert_eq!(retry_after, Some(Duration::from_secs(2)), "{code}");
        }
        for message in [
            "errors:\n  .spec.template.spec.containers[name=\"a\"].env: duplicate entries for key [name=\"B\"]",
            "failed to create typed patch object (ns/a; apps/v1, Kind=Deployment): .spec.template.spec.hostnameOverride: field not declared in schema",
        ] {
            let error = WriteError::of(kind, &rejection_with(500, message, &json!({})));
            assert!(matches!(error.child_error(), Some(ChildError::Refused { .. })), "{error:?}");
        }
        let error = of(kind, 400, json!({}));
        assert!(matches!(error.child_error(), Some(ChildError::Refused { .. })), "{error:?}");
    }

    #[test]
    fn what_is_forbidden_is_a_verdict_or_a_full_quota_or_passes() {
        let of = |message| WriteError::of(ChildKind::Service, &rejection_with(403, message, &json!({})));
        let error = of("services \"a\" is forbidden: User \"u\" cannot patch resource \"services\"");
        assert!(matches!(error.child_error(), Some(ChildError::Refused { .. })), "{error:?}");
        let error = of("services \"a\" is forbidden: exceeded quota: q, requested: count/services=1");
        assert!(matches!(error.child_error(), Some(ChildError::QuotaExceeded { .. })), "{error:?}");
        let error = of("services \"a\" is forbidden: status unknown for quota: q, resources: services");
        assert!(matches!(error.child_error(), Some(ChildError::Failed { .. })), "{error:?}");
    }
}
