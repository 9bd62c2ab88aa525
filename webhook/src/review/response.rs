//! Verdict to bytes. Floor 3.
//!
//! A refusal has the form that apimachinery gives to a built-in type's: kubectl then prints the resource, its name
//! and one bullet for each cause.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use json_patch::Patch;
use kcg_api::violation::{self, Violation};
use serde::Serialize;

use super::request::{API_VERSION, Asked, KIND};
use crate::admit::{Request, Stage, Verdict};

/// What kubectl and the API server show of a warning; beyond it they may cut.
const LONGEST_WARNING: usize = 120;
/// The API server has 4096 characters for all warnings of a request.
const MOST_WARNINGS: usize = 8;
/// A cause repeats the value that is wrong, and a value may be a whole pod template.
const LONGEST_CAUSE: usize = 1000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Status<'a> {
    #[serde(rename = "status")]
    outcome: &'static str,
    message: String,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
    code: u16,
}

#[derive(Serialize)]
struct Details<'a> {
    name: &'a str,
    group: &'a str,
    kind: &'a str,
    causes: Vec<Cause<'a>>,
}

#[derive(Serialize)]
struct Cause<'a> {
    reason: &'static str,
    message: String,
    field: &'a str,
}

/// The AdmissionReview that says `verdict`, and the refusal's message where it is one.
pub(super) fn write(
    asked: &Asked<'_>,
    verdict: &Verdict,
) -> Result<(Vec<u8>, Option<String>), serde_json::Error> {
    let (patch, status, warnings) = match verdict {
        Verdict::Allowed { patch, warnings } => {
            (encoded(patch, asked.request.stage)?, None, warnings.as_slice())
        }
        Verdict::Refused { violations, warnings } => {
            (None, Some(invalid(&asked.request, violations)), warnings.as_slice())
        }
        Verdict::Unreadable(message) => (None, Some(bad_request(message)), [].as_slice()),
    };
    let message = status.as_ref().map(|status| status.message.clone());
    let review = Review {
        api_version: API_VERSION,
        kind: KIND,
        response: Response {
            uid: &asked.uid,
            allowed: status.is_none(),
            status,
            patch_type: patch.as_ref().map(|_| "JSONPatch"),
            patch,
            warnings: said(warnings),
        },
    };
    Ok((serde_json::to_vec(&review)?, message))
}

/// Base64 as the API documents it. A validating webhook must not answer with a patch at all.
fn encoded(patch: &Patch, stage: Stage) -> Result<Option<String>, serde_json::Error> {
    if patch.0.is_empty() || stage == Stage::Validate {
        return Ok(None);
    }
    serde_json::to_vec(patch).map(|json| Some(BASE64_STANDARD.encode(json)))
}

fn invalid<'a>(request: &'a Request<'_>, violations: &'a [Violation]) -> Status<'a> {
    let (shown, more) = violation::capped(violations);
    let mut causes: Vec<Cause<'a>> = shown.iter().map(cause).collect();
    if more > 0 {
        let message = format!("and {more} more");
        causes.push(Cause { reason: "FieldValueInvalid", message, field: "spec" });
    }
    Status {
        outcome: "Failure",
        message: format!(
            "{}.{} {:?} is invalid: {}",
            request.kind,
            request.group,
            request.name,
            listed(&causes)
        ),
        reason: "Invalid",
        details: Some(Details { name: &request.name, group: &request.group, kind: &request.kind, causes }),
        code: 422,
    }
}

fn cause(violation: &Violation) -> Cause<'_> {
    Cause {
        reason: violation.error_type.reason(),
        message: cut(&violation.message(), LONGEST_CAUSE),
        field: &violation.field,
    }
}

/// One error as it is, several in brackets: apimachinery's way to print an aggregate.
fn listed(causes: &[Cause<'_>]) -> String {
    let lines: Vec<String> =
        causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    match lines.as_slice() {
        [only] => only.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

fn bad_request(message: &str) -> Status<'static> {
    let message = cut(message, LONGEST_CAUSE);
    Status { outcome: "Failure", message, reason: "BadRequest", details: None, code: 400 }
}

fn said(warnings: &[String]) -> Vec<String> {
    let mut said: Vec<String> =
        warnings.iter().take(MOST_WARNINGS).map(|warning| one_line(warning)).collect();
    if warnings.len() > MOST_WARNINGS {
        said.push(format!("and {} more warnings", warnings.len() - MOST_WARNINGS));
    }
    said
}

/// At most `longest` characters, an ellipsis where something is missing.
fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some(_) => text.chars().take(longest - 1).chain(['…']).collect(),
    }
}

/// A warning travels in an HTTP header, where a control character would make the API server drop it.
fn one_line(text: &str) -> String {
    cut(text, LONGEST_WARNING).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
