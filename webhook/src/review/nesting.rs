//! How deeply a JSON text is nested, before any parser recurses into it.

/// Whether the arrays and objects of `text` are nested more than `max` levels deep.
///
/// The answer may be wrong if `text` is not JSON; the parser reports that later.
pub(super) fn is_nested_deeper_than(max: usize, text: &str) -> bool {
    // Counting all brackets takes a tenth of the time, and hardly any text has more than `max`.
    let brackets = text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    brackets > max && depth_exceeds(max, text)
}

fn depth_exceeds(max: usize, text: &str) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
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
