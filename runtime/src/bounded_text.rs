//! Text from files and streams, with a bound.

use std::io::{self, Read};

/// Reads a source of at most `max` bytes to its end, which blocks. A longer source is an error, of
/// which no more than one byte beyond the bound is read; so is one that is not UTF-8.
pub fn read_text(source: impl Read, max: usize) -> io::Result<String> {
    let mut bytes = Vec::new();
    source.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(io::Error::other(format!("it has more than {max} bytes: shorten it")));
    }
    let is_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let found = if is_utf16 { "it is UTF-16" } else { "it is not UTF-8" };
    String::from_utf8(bytes).map_err(|_| io::Error::other(format!("{found}: save it as UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_cut_inside_a_character_is_too_long_and_not_another_encoding() {
        for (bytes, read) in [
            ("aé".as_bytes(), Ok("aé")),
            ("aaé".as_bytes(), Err("it has more than 3 bytes: shorten it")),
            (b"a\xe9", Err("it is not UTF-8: save it as UTF-8")),
            (b"\xff\xfea", Err("it is UTF-16: save it as UTF-8")),
        ] {
            let text = read_text(bytes, 3).map_err(|error| error.to_string());
            assert_eq!(text.as_deref().map_err(|error| &**error), read);
        }
    }
}
