//! What the API server's rejection of a write says about its cause.

use kcg_core::takeover::Cause;
use kcg_runtime::client::RequestError;

/// Whether a test of a JSON patch failed, or a path of it does not exist. The rejection of an object
/// names the object.
pub(super) fn is_failed_test(error: &RequestError) -> bool {
    let details = error.status().and_then(|status| status.details.as_ref());
    error.code() == Some(422) && details.is_none_or(|details| details.name.is_empty())
}

/// Why the API server rejected a request.
pub(super) fn causes(rejection: &RequestError) -> Vec<Cause<'_>> {
    let details = rejection.status().and_then(|status| status.details.as_ref());
    let causes = details.map_or(&[][..], |details| &details.causes).iter();
    causes
        .map(|cause| Cause { field: &cause.field, is_duplicate: cause.reason == "FieldValueDuplicate" })
        .collect()
}
