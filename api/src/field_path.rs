//! Paths of fields, such as `spec.consumerSpec.topics[1]`.

/// The path with the index of every list item removed: `topics[1]` becomes `topics[]`.
pub(crate) fn without_indices(path: &str) -> String {
    let mut in_brackets = false;
    let keep = |c: &char| {
        in_brackets = (in_brackets || *c == '[') && *c != ']';
        !(in_brackets && c.is_ascii_digit())
    };
    path.chars().filter(keep).collect()
}
