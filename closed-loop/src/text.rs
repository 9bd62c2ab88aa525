//! Numbers as readers write them.

/// A number with as many digits as a reader needs, and a comma between thousands.
pub fn number(value: f64) -> String {
    // An empty sum is -0.
    let value = value + 0.0;
    let rounded = if value.abs() >= 100.0 || value.fract().abs() < 1e-9 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    };
    let (whole, rest) = rounded.split_once('.').map_or((rounded.as_str(), ""), |(whole, rest)| (whole, rest));
    let digits = whole.trim_start_matches('-');
    let mut text = if whole.starts_with('-') { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if rest.is_empty() { text } else { format!("{text}.{rest}") }
}

/// A count, with a comma between thousands.
#[allow(clippy::cast_precision_loss)] // Counts of records are far below 2^52.
pub fn count(value: u64) -> String {
    number(value as f64)
}
