//! Text from others, made fit for a condition, an Event or a log line.

use kcg_api::escape;

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
            character if escape::is_obeyed(character) => {
                line.extend(character.escape_unicode());
            }
            character => line.push(character),
        }
    }
    line
}

/// The most bytes of a message that is stored or logged: a condition, an Event, an error. It is the
/// bound of the API server on an Event's note.
pub const MAX_MESSAGE: usize = 1024;

/// Says that a message goes on.
pub(crate) const OTHERS: &str = " and others";

/// The message, cut to [`MAX_MESSAGE`] bytes behind a sentence or an item of a list. A message is
/// kept in memory and in etcd for each group, so its length may not depend on what it lists.
pub fn bounded(message: String) -> String {
    within(MAX_MESSAGE, message)
}

/// Like [`bounded`] with another bound, which is larger than [`OTHERS`].
pub(crate) fn within(most: usize, message: String) -> String {
    if message.len() <= most {
        return message;
    }
    let room = message.floor_char_boundary(most - OTHERS.len() - 1);
    let end = ["; ", ". ", ", "].iter().filter_map(|end| message[..room].rfind(end)).max();
    match end {
        // A message that begins with a very long item is cut in it.
        Some(end) if end > room / 2 => format!("{}{OTHERS}", &message[..=end]),
        _ => format!("{}…", &message[..room]),
    }
}

/// The most items that a message names.
pub const MAX_LISTED: usize = 3;

/// The first three items, and whether there are others. The number of the others is left out: it
/// changes each time that one of them comes or goes.
pub fn listed<T: AsRef<str>>(items: &[T]) -> String {
    let named: Vec<&str> = items.iter().take(MAX_LISTED).map(AsRef::as_ref).collect();
    let others = if items.len() > MAX_LISTED { OTHERS } else { "" };
    format!("{}{others}", named.join(", "))
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
    fn a_stored_message_is_cut_behind_an_item() {
        let short = "a".repeat(MAX_MESSAGE);
        assert_eq!(bounded(short.clone()), short);
        let items = vec!["x".repeat(99); 20].join("; ");
        let cut = bounded(items);
        assert!(cut.len() <= MAX_MESSAGE && cut.ends_with("x; and others"), "{cut}");
        let word = bounded("é".repeat(MAX_MESSAGE));
        assert!(word.len() <= MAX_MESSAGE + 2 && word.ends_with("é…"), "{}", word.len());
    }

    #[test]
    fn a_list_names_three() {
        assert_eq!(listed(&["a", "b", "c"]), "a, b, c");
        assert_eq!(listed(&["a", "b", "c", "d", "e"]), "a, b, c and others");
        assert_eq!(listed::<&str>(&[]), "");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(one_line(&"é".repeat(201), 200), format!("{}…", "é".repeat(100)));
        assert_eq!(one_line("éé", 3), "é…");
        assert_eq!(one_line("éé", 4), "éé");
    }
}
