//! Bytes to question. Floor 3.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::admit::{Manifest, Operation, Request, Stage, Written};
use crate::mapping::{Mapping, is_nested_deeper_than};

/// The one kind of question that is understood, and of which the answers are.
pub(super) const API_VERSION: &str = "admission.k8s.io/v1";
pub(super) const KIND: &str = "AdmissionReview";

/// An object of the API server is ten or twenty levels deep; a parser that follows ten thousand is an attack's.
const DEEPEST: usize = 500;

/// A question with the id that its answer has to carry.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) uid: Cow<'a, str>,
    pub(super) request: Request<'a>,
}

/// Why a body is no AdmissionReview that can be answered as one.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Nothing at all.
    #[error("the body is empty: an AdmissionReview is expected")]
    Empty,
    /// JSON is UTF-8.
    #[error("the body is not UTF-8: {0}")]
    NotUtf8(#[from] std::str::Utf8Error),
    /// A byte order mark, which JSON does not have.
    #[error("the body begins with a byte order mark: send plain UTF-8")]
    ByteOrderMark,
    /// More levels than any object has.
    #[error("the body is nested more than {DEEPEST} levels deep")]
    TooDeep,
    /// Not JSON, or not of an AdmissionReview's shape.
    #[error("the body is no AdmissionReview: {0}")]
    Shape(#[from] serde_json::Error),
    /// Another kind, or another version of it.
    #[error("only {KIND} of {API_VERSION} is understood")]
    Foreign,
    /// A response without a request, as an API server would take it.
    #[error("the AdmissionReview carries no request")]
    NoRequest,
    /// Without it no answer can be matched to its question.
    #[error("the request carries no uid")]
    NoUid,
    /// Our own answer could not be written.
    #[error("the answer could not be written: {0}")]
    Answer(#[source] serde_json::Error),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a, O> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, bound(deserialize = "O: Deserialize<'de>"))]
    request: Option<Mapping<Question<'a, O>>>,
}

/// Of a request only what decides: who asks and how does not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a, O> {
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    kind: Mapping<GroupVersionKind<'a>>,
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

/// Reads a body. Borrows from it wherever JSON allows.
pub(super) fn parse(stage: Stage, body: &[u8]) -> Result<Asked<'_>, Malformed> {
    if body.is_empty() {
        return Err(Malformed::Empty);
    }
    let text = std::str::from_utf8(body)?;
    if text.starts_with('\u{feff}') {
        return Err(Malformed::ByteOrderMark);
    }
    if is_nested_deeper_than(DEEPEST, text) {
        return Err(Malformed::TooDeep);
    }
    let question = question(text)?;
    let Mapping(kind) = question.kind;
    Ok(Asked {
        uid: question.uid,
        request: Request {
            stage,
            operation: question.operation,
            group: kind.group,
            version: kind.version,
            kind: kind.kind,
            sub_resource: question.sub_resource,
            name: question.name,
            namespace: question.namespace,
            object: question.object,
            old: question.old_object.map(RawValue::get),
        },
    })
}

/// The request of a review. Its object is read on the way, and once more by itself where that fails: a bad object in
/// a good review is answered as one.
fn question(text: &str) -> Result<Question<'_, Written<'_>>, Malformed> {
    if let Ok(Mapping(review)) = serde_json::from_str::<Mapping<Review<'_, Mapping<Manifest<'_>>>>>(text) {
        return question_of(review, |Mapping(object)| Written::Manifest(object));
    }
    let Mapping(review) = serde_json::from_str::<Mapping<Review<'_, &RawValue>>>(text)?;
    question_of(review, |object| Written::read(object.get()))
}

fn question_of<'a, O>(
    review: Review<'a, O>,
    written: impl FnOnce(O) -> Written<'a>,
) -> Result<Question<'a, Written<'a>>, Malformed> {
    if review.api_version != API_VERSION || review.kind != KIND {
        return Err(Malformed::Foreign);
    }
    let Mapping(question) = review.request.ok_or(Malformed::NoRequest)?;
    if question.uid.is_empty() {
        return Err(Malformed::NoUid);
    }
    let Question { uid, kind, sub_resource, name, namespace, operation, object, old_object } = question;
    let object = object.map(written);
    Ok(Question { uid, kind, sub_resource, name, namespace, operation, object, old_object })
}
