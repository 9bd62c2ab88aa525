//! Image references as the kubelet reads them. It refuses others with InvalidImageName, before it
//! asks a registry: the API server accepts them.

use std::borrow::Cow;

use crate::messages;
use crate::names;

/// The hexadecimal digits of a digest, by its algorithm.
const DIGESTS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];
/// The longest name of a repository, without the registry.
const MAX_REPOSITORY: usize = 255;

/// What is wrong with an image reference; `None` if a kubelet accepts it.
pub(crate) fn problem(image: &str) -> Option<Cow<'static, str>> {
    const SCHEME: &str =
        "must not begin with a scheme such as https://: write registry.example.com/team/consumer:1.0";
    const ID: &str = "must be the name of an image and not its ID: write name@sha256:ID for a digest";
    const LOWERCASE: &str = "must have a repository in lowercase letters";
    if image.contains("://") {
        return Some(SCHEME.into());
    }
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    if is_digits(image, 64) {
        return Some(ID.into());
    }
    let repository = repository(name);
    if repository.contains(|c: char| c.is_ascii_uppercase()) {
        return Some(LOWERCASE.into());
    }
    if repository.len() > MAX_REPOSITORY {
        return Some(format!("must have a repository of at most {MAX_REPOSITORY} characters").into());
    }
    if let Some(problem) = digest.and_then(digest_problem) {
        return Some(problem.into());
    }
    (!names::IMAGE.matches(image)).then_some(messages::IMAGE.into())
}

fn digest_problem(digest: &str) -> Option<String> {
    let (algorithm, digits) = digest.split_once(':').unwrap_or((digest, ""));
    let Some((_, length)) = DIGESTS.iter().find(|(known, _)| *known == algorithm) else {
        return Some("must have a digest that begins with sha256:, sha384: or sha512:".to_owned());
    };
    let wanted = format!("must have a digest of {length} lowercase hexadecimal digits after {algorithm}:");
    let count = digits.chars().count();
    if is_digits(digits, *length) {
        None
    } else if count == *length {
        Some(wanted)
    } else {
        Some(format!("{wanted}, not {count}"))
    }
}

fn is_digits(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The name without the registry and the tag. The first part is a registry if it has a dot, a port or
/// a capital letter.
fn repository(name: &str) -> &str {
    let is_registry = |first: &str| {
        first == "localhost" || first.contains(|c: char| matches!(c, '.' | ':') || c.is_ascii_uppercase())
    };
    let rest = match name.split_once('/') {
        Some((first, rest)) if is_registry(first) => rest,
        _ => name,
    };
    rest.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kubelet_pulls_has_no_problem() {
        let digest = "a1".repeat(32);
        for image in [
            "nginx".to_owned(),
            "shop/orders:1.4".to_owned(),
            "localhost/orders".to_owned(),
            "localhost:5000/shop/orders:V1.4".to_owned(),
            "Registry.example.com:443/shop/orders".to_owned(),
            "Registry/orders".to_owned(),
            "[2001:db8::1]:5000/shop/orders:1".to_owned(),
            format!("shop/orders@sha256:{digest}"),
            format!("shop/orders:1@sha512:{digest}{digest}"),
            format!("r.example.com/{}", "a".repeat(255)),
        ] {
            assert_eq!(problem(&image), None, "{image}");
        }
    }

    #[test]
    fn what_a_kubelet_refuses_is_told_with_the_part_that_is_wrong() {
        let digest = "a1".repeat(32);
        for (image, words) in [
            ("https://r.example.com/orders:1".to_owned(), "scheme such as https://"),
            ("Orders:1".to_owned(), "lowercase letters"),
            ("shop/Orders".to_owned(), "lowercase letters"),
            ("r.example.com/Shop/orders".to_owned(), "lowercase letters"),
            ("orders@sha256:abc".to_owned(), "64 lowercase hexadecimal digits after sha256:, not 3"),
            (
                format!("orders@sha256:{}", "a1".repeat(16)),
                "64 lowercase hexadecimal digits after sha256:, not 32",
            ),
            (
                format!("orders@sha256:{}", digest.to_uppercase()),
                "64 lowercase hexadecimal digits after sha256:",
            ),
            (format!("orders@sha512:{digest}"), "128 lowercase hexadecimal digits after sha512:, not 64"),
            (format!("orders@md5:{digest}"), "begins with sha256:"),
            ("orders@".to_owned(), "begins with sha256:"),
            (digest, "not its ID"),
            (format!("r.example.com/{}", "a".repeat(256)), "at most 255 characters"),
            ("not an image".to_owned(), "such as registry.example.com"),
            ("orders:".to_owned(), "such as registry.example.com"),
            (String::new(), "such as registry.example.com"),
        ] {
            let problem = problem(&image).unwrap_or_else(|| panic!("{image}"));
            assert!(problem.contains(words), "{image}: {problem}");
        }
    }
}
