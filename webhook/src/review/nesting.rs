//! How deeply a JSON text is nested, before any parser recurses into it.

/// Whether the arrays and objects of `text` are nested more than `max` levels deep.
///
/// The answer may be wrong if `text` is not JSON; the parser reports that later.
pub(super) fn is_nested_deeper_than(max: usize, text: &str) -> bool {
    // Counting all brackets takes a tenth of the time, and hardly any text has more than `max`.
    brackets(text) > max && depth_exceeds(max, text.as_bytes())
}

/// How many brackets are opened, those in strings included.
fn brackets(text: &str) -> usize {
    // The two differ in one bit. Sums of bytes are many times as fast as a sum of words.
    let opened = |byte: &u8| u8::from(byte | (b'{' ^ b'[') == b'{');
    let in_part = |part: &[u8]| usize::from(part.iter().map(opened).sum::<u8>());
    text.as_bytes().chunks(usize::from(u8::MAX)).map(in_part).sum()
}

fn depth_exceeds(max: usize, mut text: &[u8]) -> bool {
    let mut depth = 0_usize;
    while let Some((&byte, rest)) = text.split_first() {
        text = rest;
        match byte {
            b'"' => text = behind_string(text),
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// What follows the end of the string that `text` begins in.
fn behind_string(mut text: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', text) {
        if text[at] == b'"' {
            return &text[at + 1..];
        }
        // An escaped byte ends no string.
        text = text.get(at + 2..).unwrap_or_default();
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_inside_strings_do_not_count_as_depth() {
        assert!(!is_nested_deeper_than(3, r#"[{"a":[]},{"b":"[[[[\"[[[["}]"#));
        assert!(is_nested_deeper_than(2, r#"[{"a":[]}]"#));
        assert!(!is_nested_deeper_than(2, r#"[{"a\\":1},{}]"#));
    }
}
