//! Text from others, made fit for a condition, an Event or a log line.

/// The text in one line of at most `max` bytes and an ellipsis. Line breaks and tabs become spaces.
/// Other control characters, and those that reorder the text around them on a terminal, are
/// escaped.
pub fn one_line(text: &str, max: usize) -> String {
    let mut line = String::new();
    for character in text.chars() {
        if line.len() + character.len_utf8() > max {
            line.push('…');
            break;
        }
        match character {
            '\n' | '\t' => line.push(' '),
            character if character.is_control() || reorders(character) => {
                line.extend(character.escape_unicode());
            }
            character => line.push(character),
        }
    }
    line
}

const fn reorders(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_can_neither_begin_a_line_nor_colour_nor_reorder_it() {
        assert_eq!(one_line("a\nb\u{1b}[31mc", 100), "a b\\u{1b}[31mc");
        assert_eq!(one_line("\u{202e}evil", 100), "\\u{202e}evil");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(one_line(&"é".repeat(201), 200), format!("{}…", "é".repeat(100)));
        assert_eq!(one_line("éé", 3), "é…");
        assert_eq!(one_line("éé", 4), "éé");
    }
}
