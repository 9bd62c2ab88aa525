//! Which reviews are not worth a thread of their own.

/// The most bytes of a review that is decided quickly whatever is in it, but for [`SLOW`].
const MAX_QUICK: usize = 16 << 10;
/// What a review must not contain to be decided quickly: regular expressions, which are compiled, a pod
/// template, whose types are large, and the escape by which the names of these fields could be written
/// in another way.
const SLOW: [&str; 3] = ["regex", "podTemplate", "\\u"];

/// Whether the review of this body takes a millisecond at most, whatever is in it: see
/// [`Admission::is_quick`](super::Admission::is_quick).
pub fn is_quick(body: &[u8]) -> bool {
    let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= MAX_QUICK);
    text.is_some_and(|text| SLOW.iter().all(|slow| !text.contains(slow)))
}
