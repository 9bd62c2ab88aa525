//! AdmissionReviews, from bytes to bytes: the only module that knows their JSON.
//!
//! The webhook speaks admission.k8s.io/v1 only. Objects stay text until a rule needs them: a body
//! of 7 MiB costs no more memory than itself, and an object that cannot be read still gets a
//! response with the review's uid.

mod nesting;
mod request;
mod response;

use kcg_api::violation::Violation;
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
    /// The message that the user gets.
    pub message: String,
}

/// Answers one AdmissionReview.
pub fn respond(stage: Stage, body: &[u8], admission: &impl Admission) -> Result<ReviewResponse, ReviewError> {
    let review = request::parse(stage, body)?;
    let verdict = admission.admit(&review.request);
    let (bytes, message) = response::write(&review, &verdict).map_err(ReviewError::Serialize)?;
    let (decision, reason) = match &verdict {
        Verdict::Allowed { warnings, .. } if warnings.is_empty() => (Decision::Allowed, "None"),
        Verdict::Allowed { .. } => (Decision::Allowed, "Warned"),
        Verdict::Refused { violations, .. } => (Decision::Denied, first_rule(violations)),
        Verdict::Unreadable(_) => (Decision::Denied, "Unreadable"),
    };
    let request = &review.request;
    let denial = message.map(|message| Denial {
        namespace: request.namespace.to_string(),
        name: request.name.to_string(),
        message,
    });
    let outcome = ReviewOutcome { operation: request.operation, decision, reason };
    Ok(ReviewResponse { bytes, outcome, denial })
}

fn first_rule(violations: &[Violation]) -> &'static str {
    violations.first().map_or("None", |violation| violation.rule.as_str())
}
