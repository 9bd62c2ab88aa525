//! Writes the AdmissionReview that a verdict becomes.
//!
//! A denial has the form that apimachinery gives to the validation errors of built-in types:
//! kubectl then prints the resource, its name and one bullet for each cause.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use json_patch::Patch;
use kcg_api::escape;
use kcg_api::spec_bounds::json_bytes;
use kcg_api::violation::{self, Violation};
use serde::Serialize;

use super::request::{API_VERSION, KIND, ReviewRequest};
use crate::admit::{AdmissionRequest, Verdict};

/// Characters of one warning; kubectl and the API server may cut longer ones.
const MAX_WARNING: usize = 120;
/// Warnings in one response; the API server has 4096 characters for all of them.
const MAX_WARNINGS: usize = 8;
/// Characters of one cause: it repeats the invalid value, which may be a whole pod template.
const MAX_CAUSE: usize = 1000;

/// Bytes of the path of a field: it may have keys of the user's.
const MAX_FIELD: usize = 500;
/// Bytes of a response. It waits in memory for its reader.
const MAX_RESPONSE: usize = 64 << 10;
/// Of these, what is kept for anything but causes.
const RESERVED: usize = 16 << 10;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutgoingReview<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: OutgoingResponse<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutgoingResponse<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<DenialStatus<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct DenialStatus<'a> {
    #[serde(rename = "status")]
    outcome: &'static str,
    message: String,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<StatusDetails<'a>>,
    code: u16,
}

#[derive(Serialize)]
struct StatusDetails<'a> {
    name: &'a str,
    group: &'a str,
    kind: &'a str,
    causes: Vec<StatusCause<'a>>,
}

#[derive(Serialize)]
struct StatusCause<'a> {
    reason: &'static str,
    message: String,
    field: Cow<'a, str>,
}

impl StatusCause<'_> {
    /// The most bytes of a response for it: the list of causes and the message both contain it.
    fn bytes(&self) -> usize {
        2 * (json_bytes(&self.message) + json_bytes(&self.field)) + 100
    }
}

/// Writes the response to `review` as JSON.
pub(super) fn write(review: &ReviewRequest<'_>, verdict: &Verdict) -> Result<Vec<u8>, serde_json::Error> {
    let (patch, status, warnings) = match verdict {
        Verdict::Allowed { patch, warnings } => (encode(patch)?, None, warnings.as_slice()),
        Verdict::Refused { violations, warnings } => {
            (None, Some(invalid(&review.request, violations)), warnings.as_slice())
        }
        Verdict::Unreadable(message) => (None, Some(bad_request(message)), [].as_slice()),
    };
    let response = OutgoingReview {
        api_version: API_VERSION,
        kind: KIND,
        response: OutgoingResponse {
            uid: &review.uid,
            allowed: status.is_none(),
            status,
            patch_type: patch.as_ref().map(|_| "JSONPatch"),
            patch,
            warnings: format_warnings(warnings),
        },
    };
    serde_json::to_vec(&response)
}

/// Base64, as the API documents it. Even an empty patch is forbidden in the response of a
/// validating webhook.
fn encode(patch: &Patch) -> Result<Option<String>, serde_json::Error> {
    if patch.0.is_empty() {
        return Ok(None);
    }
    serde_json::to_vec(patch).map(|json| Some(BASE64_STANDARD.encode(json)))
}

fn invalid<'a>(request: &'a AdmissionRequest<'_>, violations: &'a [Violation]) -> DenialStatus<'a> {
    let (shown, mut more) = violation::capped(violations);
    let mut room = MAX_RESPONSE - RESERVED;
    let mut causes: Vec<StatusCause<'a>> = Vec::new();
    for (index, cause) in shown.iter().map(cause).enumerate() {
        let Some(left) = room.checked_sub(cause.bytes()) else {
            more += shown.len() - index;
            break;
        };
        room = left;
        causes.push(cause);
    }
    if more > 0 {
        let message = format!("and {more} more");
        causes.push(StatusCause { reason: "FieldValueInvalid", message, field: "spec".into() });
    }
    DenialStatus {
        outcome: "Failure",
        message: format!(
            "{}.{} {:?} is invalid: {}",
            request.kind,
            request.group,
            request.name,
            join(&causes)
        ),
        reason: "Invalid",
        details: Some(StatusDetails {
            name: &request.name,
            group: &request.group,
            kind: &request.kind,
            causes,
        }),
        code: 422,
    }
}

fn cause(violation: &Violation) -> StatusCause<'_> {
    StatusCause {
        reason: violation.error_type.reason(),
        message: truncate(&violation.message(), MAX_CAUSE),
        field: bounded(violation.shown_field()),
    }
}

/// At most [`MAX_FIELD`] bytes and an ellipsis.
fn bounded(field: Cow<'_, str>) -> Cow<'_, str> {
    match field.floor_char_boundary(MAX_FIELD) {
        end if end < field.len() => format!("{}…", &field[..end]).into(),
        _ => field,
    }
}

/// One cause as it is, several in brackets: apimachinery prints an aggregated error like this.
fn join(causes: &[StatusCause<'_>]) -> String {
    let lines: Vec<String> =
        causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    match lines.as_slice() {
        [only] => only.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

fn bad_request(message: &str) -> DenialStatus<'static> {
    let message = truncate(&escape::line(message), MAX_CAUSE);
    DenialStatus { outcome: "Failure", message, reason: "BadRequest", details: None, code: 400 }
}

fn format_warnings(warnings: &[String]) -> Vec<String> {
    let mut shown: Vec<String> =
        warnings.iter().take(MAX_WARNINGS).map(|warning| header_value(warning)).collect();
    if warnings.len() > MAX_WARNINGS {
        shown.push(format!("and {} more warnings", warnings.len() - MAX_WARNINGS));
    }
    shown
}

/// At most `max` characters, with an ellipsis at the end if some are missing.
fn truncate(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(max - 1).chain(['…']).collect(),
    }
}

/// A warning travels in an HTTP header: the API server drops it if it contains a control character.
fn header_value(warning: &str) -> String {
    truncate(&escape::line(warning), MAX_WARNING)
}
