//! Namespaces as flags name them. A name that no namespace can have would be asked for in vain, or change the path of
//! the question.

use kcg_api::names;

/// What stands for every namespace where a flag takes that.
const EVERY: &str = "*";

/// One namespace.
pub fn one(text: &str) -> Result<String, String> {
    if names::DNS_LABEL.matches(text) { Ok(text.to_owned()) } else { Err(malformed("")) }
}

/// One of a list. Nothing is taken, too: a manifest can leave the flag in place, and a list may end in a comma.
pub fn listed(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { one(text) }
}

/// One of a list that may name every namespace.
pub fn listed_or_every(text: &str) -> Result<String, String> {
    if text == EVERY { Ok(text.to_owned()) } else { listed(text).map_err(|_| malformed(", or * for all")) }
}

/// Those of a list that name something.
pub fn named(list: &[String]) -> Vec<String> {
    list.iter().filter(|name| !name.is_empty()).cloned().collect()
}

fn malformed(or_else: &str) -> String {
    format!("a namespace is a lower-case DNS label of at most 63 characters{or_else}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_a_label_and_only_a_list_may_hold_nothing_or_every_one() {
        let taken = |text: &str| [one(text), listed(text), listed_or_every(text)].map(|taken| taken.is_ok());
        assert_eq!(taken("team-a"), [true, true, true]);
        assert_eq!(taken(""), [false, true, true]);
        assert_eq!(taken("*"), [false, false, true]);
        for text in ["Team_A", "a/b", "a b", "-a", "a.b", &"a".repeat(64)] {
            assert_eq!(taken(text), [false, false, false], "{text}");
        }
    }

    #[test]
    fn what_names_nothing_is_left_out() {
        assert_eq!(named(&["a".to_owned(), String::new()]), ["a"]);
        assert_eq!(named(&[String::new()]), [""; 0]);
    }
}
