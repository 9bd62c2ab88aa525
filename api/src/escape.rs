//! Text from outside, made fit for a terminal, a log line or a message: no character in it can
//! move the cursor, begin a line, or change the order in which the text around it is shown.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a terminal obeys the character instead of showing it: a control character, a line or
/// paragraph separator, or one that is invisible or reorders the text around it.
pub fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

/// The text with such characters as `\u{202e}`.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed, |character, escaped| escaped.extend(character.escape_unicode()))
}

/// Like [`line()`], for a text of several lines: line breaks and tabs stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    let is_escaped = |character| is_obeyed(character) && !matches!(character, '\n' | '\t');
    escaped(text, is_escaped, |character, escaped| escaped.extend(character.escape_unicode()))
}

/// Like [`lines`], for a JSON document: such characters are in its strings only, and stay the same
/// for a program.
pub fn json(text: &str) -> Cow<'_, str> {
    let is_escaped = |character| is_obeyed(character) && !matches!(character, '\n' | '\t' | '\r');
    escaped(text, is_escaped, |character, escaped| {
        // Writing to a String cannot fail.
        let _ = write!(escaped, "\\u{:04x}", u32::from(character));
    })
}

fn escaped(
    text: &str,
    is_escaped: impl Fn(char) -> bool,
    escape: impl Fn(char, &mut String),
) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_escaped(character) { escape(character, &mut escaped) } else { escaped.push(character) }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREIGN: &str = "a\u{1b}[31m\u{202e}b\u{200b}\u{9b}\u{7f}é日本";

    #[test]
    fn a_text_keeps_its_letters_and_loses_what_a_terminal_obeys() {
        let shown = "a\\u{1b}[31m\\u{202e}b\\u{200b}\\u{9b}\\u{7f}é日本";
        assert_eq!(line(FOREIGN), shown);
        assert_eq!(lines(FOREIGN), shown);
        assert!(matches!(line("plain: é \"日本\""), Cow::Borrowed(_)));
    }

    #[test]
    fn only_a_text_of_several_lines_keeps_its_line_breaks() {
        assert_eq!(line("a\n\tb\r"), "a\\u{a}\\u{9}b\\u{d}");
        assert_eq!(lines("a\n\tb\r"), "a\n\tb\\u{d}");
    }

    #[test]
    fn a_json_document_means_the_same() {
        let document = serde_json::json!({"a\u{202e}": FOREIGN, "b": "x\ny"});
        for text in [document.to_string(), format!("{document:#}")] {
            let escaped = json(&text);
            assert!(!escaped.contains(|c| is_obeyed(c) && c != '\n'), "{escaped}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), document);
        }
    }
}
