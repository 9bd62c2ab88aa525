//! Kubernetes quantities: parsed by value, and formatted as the API server stores them.

use std::cmp::Ordering;

use crate::names;

/// What the API server says of a text that is not a quantity.
pub const GRAMMAR: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// Whether the API server reads the text as a quantity.
pub(crate) fn is_quantity(text: &str) -> bool {
    names::QUANTITY.matches(text)
}

/// The sign of a quantity: whether it is less than zero, zero or more; `None` if the API server does not
/// read the text as a quantity.
pub(crate) fn sign(text: &str) -> Option<Ordering> {
    let number = text.split(|c: char| c.is_ascii_alphabetic()).next().unwrap_or_default();
    let is_zero = !number.contains(|c: char| matches!(c, '1'..='9'));
    let sign = if is_zero {
        Ordering::Equal
    } else if number.starts_with('-') {
        Ordering::Less
    } else {
        Ordering::Greater
    };
    is_quantity(text).then_some(sign)
}

/// A whole number as the API server prints it: `1000` is stored as `1k`.
pub fn canonical(mut number: i64) -> String {
    const SUFFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let mut suffix = 0;
    while number != 0 && number % 1000 == 0 && suffix + 1 < SUFFIXES.len() {
        number /= 1000;
        suffix += 1;
    }
    format!("{number}{}", SUFFIXES[suffix])
}

/// A whole number in at most two significant digits, as people read it: `1200` is `1.2k`. Further
/// digits are cut off.
pub fn short(number: i64) -> String {
    const SUFFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let (mut tenths, mut suffix) = (i128::from(number) * 10, 0);
    while tenths.abs() >= 10_000 && suffix + 1 < SUFFIXES.len() {
        tenths /= 1000;
        suffix += 1;
    }
    let (whole, tenth) = (tenths / 10, (tenths % 10).abs());
    if tenth == 0 || whole.abs() >= 10 {
        return format!("{whole}{}", SUFFIXES[suffix]);
    }
    format!("{whole}.{tenth}{}", SUFFIXES[suffix])
}

/// A Kubernetes quantity (`100m`, `1.5Gi`, `2e3`) in billionths; `None` if the text does not parse
/// or is too large.
pub fn billionths(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (factor, divisor): (i128, i128) = match suffix {
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (10_i128.pow(12), 1),
        "P" => (10_i128.pow(15), 1),
        "E" => (10_i128.pow(18), 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        exponent => (10_i128.checked_pow(exponent.strip_prefix(['e', 'E'])?.parse().ok()?)?, 1),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let negative = whole.starts_with('-');
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: i128 = if matches!(whole, "" | "+" | "-") { 0 } else { whole.parse().ok()? };
    let fraction = match fraction.len() {
        0 => 0,
        digits => i128::from(fraction.parse::<u32>().ok()?) * 10_i128.pow(9 - u32::try_from(digits).ok()?),
    };
    let billionths =
        whole.checked_mul(1_000_000_000)?.checked_add(if negative { -fraction } else { fraction })?;
    Some(billionths.checked_mul(factor)? / divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_a_number_with_a_suffix_of_kubernetes() {
        for good in
            ["1", "0.5", ".5", "1.", "-1", "+2", "100m", "1.5Gi", "2e3", "2E-3", "1E", "0.12345678901"]
        {
            assert!(is_quantity(good), "{good}");
        }
        for bad in ["", "256MB", "1 Gi", "1gi", "Gi", "1K", "1e", "1e3k", "0x1", "1..2", "1Mib"] {
            assert!(!is_quantity(bad), "{bad}");
        }
    }

    #[test]
    fn a_quantity_has_the_sign_of_its_number_whatever_its_suffix() {
        for (text, want) in [
            ("1", Some(Ordering::Greater)),
            ("+.5Gi", Some(Ordering::Greater)),
            ("0.0000000000001", Some(Ordering::Greater)),
            ("1e-9", Some(Ordering::Greater)),
            ("-1m", Some(Ordering::Less)),
            ("-1e99", Some(Ordering::Less)),
            ("-0", Some(Ordering::Equal)),
            ("0e5", Some(Ordering::Equal)),
            ("0.00Gi", Some(Ordering::Equal)),
            ("-", None),
            ("many", None),
        ] {
            assert_eq!(sign(text), want, "{text}");
        }
    }

    #[test]
    fn quantities_are_formatted_as_the_api_server_stores_them() {
        for (number, want) in
            [(1, "1"), (999, "999"), (1000, "1k"), (1500, "1500"), (2_000_000, "2M"), (0, "0")]
        {
            assert_eq!(canonical(number), want);
        }
    }
}
