//! AdmissionReviews, from bytes to bytes: the only module that knows their JSON.
//!
//! The webhook speaks admission.k8s.io/v1 only. Objects stay text until a rule needs them: a body
//! of 7 MiB costs no more memory than itself, and an object that cannot be read still gets a
//! response with the review's uid.

mod request;
mod response;

use kcg_api::violation::Violation;
use kcg_core::text::{MAX_LISTED, listed};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};

use crate::admit::{Admission, Operation, Stage, Verdict};

pub use self::request::ReviewError;

/// The response to a review.
#[derive(Debug)]
pub struct ReviewResponse {
    /// The AdmissionReview to send back, as JSON.
    pub bytes: Vec<u8>,
    /// The labels for the metrics.
    pub outcome: ReviewOutcome,
    /// The denied request, for the log.
    pub denial: Option<Denial>,
}

/// A review and its result as metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReviewOutcome {
    /// The requested operation.
    pub operation: Operation,
    /// Whether the webhook allowed it.
    pub decision: Decision,
    /// The first violated rule; `None` (as text) if there was nothing to object to.
    pub reason: &'static str,
}

/// Whether a review was allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Decision {
    /// Allowed as it is, or with a patch.
    Allowed,
    /// Denied with a status.
    Denied,
}

/// The log record of a denial. It names no user: the API server's audit log does.
#[derive(Debug)]
pub struct Denial {
    /// The object's namespace.
    pub namespace: String,
    /// The object's name; empty if generateName has not made one yet.
    pub name: String,
    /// The fields at fault and the rules that they break. The values and the words are the user's alone:
    /// a value may be a secret, also in the words of a type error.
    pub faults: String,
}

/// Answers one AdmissionReview.
pub fn respond(stage: Stage, body: &[u8], admission: &impl Admission) -> Result<ReviewResponse, ReviewError> {
    let review = request::parse(stage, body)?;
    let verdict = admission.admit(&review.request);
    let bytes = response::write(&review, &verdict).map_err(ReviewError::Serialize)?;
    let (decision, reason) = match &verdict {
        Verdict::Allowed { warnings, .. } if warnings.is_empty() => (Decision::Allowed, "None"),
        Verdict::Allowed { .. } => (Decision::Allowed, "Warned"),
        Verdict::Refused { violations, .. } => (Decision::Denied, first_rule(violations)),
        Verdict::Unreadable(_) => (Decision::Denied, "Unreadable"),
    };
    let request = &review.request;
    let denial = faults(&verdict).map(|faults| Denial {
        namespace: request.namespace.to_string(),
        name: request.name.to_string(),
        faults,
    });
    let outcome = ReviewOutcome { operation: request.operation, decision, reason };
    Ok(ReviewResponse { bytes, outcome, denial })
}

/// What is at fault, if the verdict is a denial.
fn faults(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Allowed { .. } => None,
        Verdict::Refused { violations, .. } => {
            let named = violations.iter().take(MAX_LISTED + 1);
            let named: Vec<String> =
                named.map(|violation| format!("{} ({})", violation.field, violation.rule.as_str())).collect();
            Some(listed(&named))
        }
        // The parser's words, which can have a value, follow a colon.
        Verdict::Unreadable(why) => Some(why.split(':').next().unwrap_or_default().to_owned()),
    }
}

fn first_rule(violations: &[Violation]) -> &'static str {
    violations.first().map_or("None", |violation| violation.rule.as_str())
}

#[cfg(test)]
mod tests {
    use kcg_api::GroupDefaults;
    use kcg_api::topic::TopicLookup;
    use serde_json::{Value, json};

    use super::*;
    use crate::admit::{AdmissionPolicy, AdmissionRequest, admit};

    struct Rules;

    impl Admission for Rules {
        fn admit(&self, request: &AdmissionRequest<'_>) -> Verdict {
            admit(request, &AdmissionPolicy::default(), &GroupDefaults::default(), |_| TopicLookup::NotFound)
        }
    }

    /// What is logged of the creation of a group with this spec.
    fn faults_of(spec: &Value) -> String {
        let group = json!({"apiVersion": "thenextapps.com/v1alpha1", "kind": "KconsumerGroup",
            "metadata": {"name": "g"}, "spec": spec});
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "operation": "CREATE", "name": "g", "namespace": "shop",
            "kind": {"group": "thenextapps.com", "version": "v1alpha1", "kind": "KconsumerGroup"},
            "object": group}});
        let response = respond(Stage::Mutate, review.to_string().as_bytes(), &Rules).unwrap();
        response.denial.expect("it is denied").faults
    }

    #[test]
    fn nesting_of_any_depth_is_skipped_where_nothing_is_read_and_refused_in_a_spec() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        let answer = |spec: &str, rest: &str| {
            let kind = r#"{"group":"thenextapps.com","version":"v1alpha1","kind":"KconsumerGroup"}"#;
            let group = format!(
                r#"{{"apiVersion":"thenextapps.com/v1alpha1","kind":"KconsumerGroup","metadata":{{"name":"g","annotations":{rest}}},"spec":{spec}}}"#
            );
            let body = format!(
                r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","operation":"CREATE","kind":{kind},"userInfo":{rest},"object":{group},"oldObject":{rest}}}}}"#
            );
            String::from_utf8(respond(Stage::Validate, body.as_bytes(), &Rules).unwrap().bytes).unwrap()
        };
        let spec = r#"{"minReplicas":1,"averageRecordsLagLimit":1,"consumerSpec":{"image":"a","topic":"t"}}"#;
        assert!(answer(spec, &deep).contains(r#""allowed":true"#));
        let denied = answer(&format!(r#"{{"consumerSpec":{deep}}}"#), "{}");
        assert!(denied.contains("must be nested at most 64 levels deep"), "{denied}");
    }

    #[test]
    fn the_log_of_a_denial_names_fields_and_rules_and_no_value() {
        let consumer = |field: &str, value: Value| {
            let mut consumer = json!({"image": "a", "topic": "t"});
            consumer[field] = value;
            json!({"consumerSpec": consumer})
        };
        let secret = 918_273_645;
        let text = format!("{secret} ");
        for (spec, want) in [
            (
                consumer("env", json!([{"name": "A", "value": secret}])),
                "spec.consumerSpec.env[0].value (Type)",
            ),
            (
                consumer("bootstrapServers", json!(text)),
                "spec.consumerSpec.bootstrapServers (BootstrapServers)",
            ),
            (
                consumer(
                    "podTemplate",
                    json!({"spec": {"containers": [{"name": "g", "env": [{"name": "A", "value": secret}]}]}}),
                ),
                "spec.consumerSpec.podTemplate.spec.containers[0].env[0].value (PodTemplate)",
            ),
            (
                consumer("podTemplate", json!({"spec": {"restartPolicy": text}})),
                "spec.consumerSpec.podTemplate.spec.restartPolicy (Deployment)",
            ),
            (json!({"consumerSpec": text}), "spec.consumerSpec (Type)"),
            (json!(text), "spec (Type)"),
        ] {
            let faults = faults_of(&spec);
            assert_eq!(faults, want, "{spec}");
        }
        let many =
            json!({"minReplicas": 0, "maxReplicas": 0, "averageRecordsLagLimit": 0, "consumerSpec": {}});
        assert_eq!(
            faults_of(&many),
            "spec.minReplicas (MinReplicas), spec.maxReplicas (MaxReplicas), spec.averageRecordsLagLimit (LagLimit) and others"
        );
    }
}
