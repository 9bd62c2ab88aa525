//! Paths of fields, such as `spec.consumerSpec.topics[1]`.

/// Whether a path is that of `parent` or of something in it.
pub(crate) fn is_within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The path with the index of every list item removed: `topics[1]` becomes `topics[]`.
pub(crate) fn without_indices(path: &str) -> String {
    let mut in_brackets = false;
    let keep = |c: &char| {
        in_brackets = (in_brackets || *c == '[') && *c != ']';
        !(in_brackets && c.is_ascii_digit())
    };
    path.chars().filter(keep).collect()
}
