//! Bytes to verdict and back: the one module that knows what an AdmissionReview looks like. Floor 3.
//!
//! Only admission.k8s.io/v1 is spoken. The objects inside stay text until somebody looks at them: a body of 7 MiB
//! costs no more memory than itself, and a bad object still gets an answer with the review's uid.

mod request;
mod response;

use kcg_api::violation::Violation;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};

use crate::admit::{Admission, Operation, Stage, Verdict};

pub use self::request::Malformed;

/// An answered review.
#[derive(Debug)]
pub struct Answer {
    /// The AdmissionReview to send back.
    pub bytes: Vec<u8>,
    /// What the metrics count.
    pub outcome: Outcome,
    /// What was refused, for the log.
    pub refusal: Option<Refusal>,
}

/// A review in three words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// What was to be done.
    pub operation: Operation,
    /// Whether it may be.
    pub decision: Decision,
    /// The first rule that decided; `None` where there was nothing to object to.
    pub reason: &'static str,
}

/// Allowed or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Decision {
    /// As it is, or with a patch.
    Allowed,
    /// With the violations.
    Refused,
}

/// What a log says of a refusal. No user: who asked is in the API server's audit log.
#[derive(Debug)]
pub struct Refusal {
    /// The object's namespace.
    pub namespace: String,
    /// The object's name; empty where there is none yet.
    pub name: String,
    /// What the person was told.
    pub message: String,
}

/// Answers one AdmissionReview.
pub fn answer(stage: Stage, body: &[u8], admission: &impl Admission) -> Result<Answer, Malformed> {
    let review = request::parse(stage, body)?;
    let verdict = admission.judge(&review.request);
    let (bytes, message) = response::write(&review, &verdict).map_err(Malformed::Answer)?;
    let (decision, reason) = match &verdict {
        Verdict::Allowed { warnings, .. } if warnings.is_empty() => (Decision::Allowed, "None"),
        Verdict::Allowed { .. } => (Decision::Allowed, "Warned"),
        Verdict::Refused { violations, .. } => (Decision::Refused, first_rule(violations)),
        Verdict::Unreadable(_) => (Decision::Refused, "Unreadable"),
    };
    let request = &review.request;
    let refusal = message.map(|message| Refusal {
        namespace: request.namespace.to_string(),
        name: request.name.to_string(),
        message,
    });
    Ok(Answer { bytes, outcome: Outcome { operation: request.operation, decision, reason }, refusal })
}

fn first_rule(violations: &[Violation]) -> &'static str {
    violations.first().map_or("None", |violation| violation.rule.as_str())
}
