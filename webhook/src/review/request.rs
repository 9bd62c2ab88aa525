//! Reads the AdmissionReview of a request body.

use std::borrow::Cow;

use kcg_api::names;
use kcg_api::strict_object::StrictObject;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::admit::{AdmissionRequest, Manifest, Operation, ReviewObject, Stage};

/// The one API version that the webhook accepts and returns.
pub(super) const API_VERSION: &str = "admission.k8s.io/v1";
/// The kind of requests and responses.
pub(super) const KIND: &str = "AdmissionReview";

/// The most bytes of a review's uid; the API server sends 36.
const MAX_UID: usize = 128;

/// A review's request with the uid that the response has to repeat.
#[derive(Debug)]
pub(super) struct ReviewRequest<'a> {
    pub(super) uid: Cow<'a, str>,
    pub(super) request: AdmissionRequest<'a>,
}

/// Why a body cannot be answered with an AdmissionReview.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The body has no bytes.
    #[error("the body is empty: send an AdmissionReview")]
    Empty,
    /// The body is not UTF-8, as JSON has to be.
    #[error("the body is not UTF-8: {0}")]
    NotUtf8(#[from] std::str::Utf8Error),
    /// The body begins with a byte order mark, which is not JSON.
    #[error("the body begins with a byte order mark: send plain UTF-8")]
    ByteOrderMark,
    /// The body is not JSON, or does not have the shape of an AdmissionReview.
    #[error("the body is not an AdmissionReview: {0}")]
    Shape(#[from] serde_json::Error),
    /// The body is of another kind, or of another version.
    #[error("only {KIND} of {API_VERSION} is supported")]
    Unsupported,
    /// The review has no request; a response has none.
    #[error("the AdmissionReview has no request")]
    NoRequest,
    /// Without a uid, the API server cannot match the response to its request.
    #[error("the request has no uid")]
    NoUid,
    /// The API server sends no such text: names have bounds.
    #[error("the request's {field} is longer than {most} bytes")]
    TooLong {
        /// The field of the request.
        field: &'static str,
        /// The most bytes that it may have.
        most: usize,
    },
    /// The response cannot be written. Input from outside cannot cause this.
    #[error("the response cannot be written: {0}")]
    Serialize(#[source] serde_json::Error),
}

/// An AdmissionReview; `O` is the type in which its object is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IncomingReview<'a, O> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, bound(deserialize = "O: Deserialize<'de>"))]
    request: Option<StrictObject<RequestFields<'a, O>>>,
}

/// The fields of a request that decide. The user and the options do not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestFields<'a, O> {
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    kind: StrictObject<GroupVersionKind<'a>>,
    #[serde(borrow, default)]
    sub_resource: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    operation: Operation,
    object: Option<O>,
    #[serde(borrow)]
    old_object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct GroupVersionKind<'a> {
    #[serde(borrow, default)]
    group: Cow<'a, str>,
    #[serde(borrow, default)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

/// Reads a body. The result borrows from it wherever JSON allows. What is skipped may have any depth:
/// serde_json skips without recursion, and recurses into at most 128 levels of what it reads.
pub(super) fn parse(stage: Stage, body: &[u8]) -> Result<ReviewRequest<'_>, ReviewError> {
    if body.is_empty() {
        return Err(ReviewError::Empty);
    }
    let text = std::str::from_utf8(body)?;
    if text.starts_with('\u{feff}') {
        return Err(ReviewError::ByteOrderMark);
    }
    let fields = read_fields(text)?;
    let StrictObject(kind) = fields.kind;
    Ok(ReviewRequest {
        uid: fields.uid,
        request: AdmissionRequest {
            stage,
            operation: fields.operation,
            group: kind.group,
            version: kind.version,
            kind: kind.kind,
            sub_resource: fields.sub_resource,
            name: fields.name,
            namespace: fields.namespace,
            object: fields.object,
            old_object: fields.old_object.map(RawValue::get),
        },
    })
}

/// Reads the request together with its object. If that fails, reads the object apart from it: a bad
/// object in a good review gets a response of its own.
fn read_fields(text: &str) -> Result<RequestFields<'_, ReviewObject<'_>>, ReviewError> {
    type WithManifest<'a> = StrictObject<IncomingReview<'a, StrictObject<Manifest<'a>>>>;
    if let Ok(StrictObject(review)) = serde_json::from_str::<WithManifest<'_>>(text) {
        return check_review(review, |StrictObject(manifest)| ReviewObject::Manifest(manifest));
    }
    let StrictObject(review) = serde_json::from_str::<StrictObject<IncomingReview<'_, &RawValue>>>(text)?;
    check_review(review, |object| ReviewObject::read(object.get()))
}

fn check_review<'a, O>(
    review: IncomingReview<'a, O>,
    to_object: impl FnOnce(O) -> ReviewObject<'a>,
) -> Result<RequestFields<'a, ReviewObject<'a>>, ReviewError> {
    if review.api_version != API_VERSION || review.kind != KIND {
        return Err(ReviewError::Unsupported);
    }
    let StrictObject(fields) = review.request.ok_or(ReviewError::NoRequest)?;
    if fields.uid.is_empty() {
        return Err(ReviewError::NoUid);
    }
    let texts = [
        ("uid", &fields.uid, MAX_UID),
        ("name", &fields.name, names::SUBDOMAIN_LENGTH),
        ("namespace", &fields.namespace, names::LABEL_LENGTH),
    ];
    for (field, text, most) in texts {
        if text.len() > most {
            return Err(ReviewError::TooLong { field, most });
        }
    }
    let RequestFields { uid, kind, sub_resource, name, namespace, operation, object, old_object } = fields;
    let object = object.map(to_object);
    Ok(RequestFields { uid, kind, sub_resource, name, namespace, operation, object, old_object })
}
