//! Changes of YAML as text: what a value does not have, such as anchors, tags and several documents.

use fastrand::Rng;
use serde_json::Value;

use super::bytes;

/// Pieces of YAML.
const PIECES: [&str; 31] = [
    "---\n",
    "...\n",
    "%YAML 1.2\n---\n",
    "%TAG ! a\n---\n",
    "&a ",
    "*a",
    "&a [*a]",
    "<<: *a\n",
    "<<: [*a, *a]\n",
    "- ",
    "? ",
    ": ",
    "|\n",
    "|2-\n",
    ">+\n",
    "!!str ",
    "!!binary ",
    "!!int ",
    "!<a> ",
    "# ",
    "{",
    "}",
    "[",
    "]",
    "\t",
    "'",
    "\"\\u0041\\x00",
    "{{ .Values.a }}",
    ".inf",
    "0o17",
    "kind: List\nitems:\n",
];

/// The most bytes that one change adds.
const MAX_ADDED: usize = 1 << 20;

/// The value of a YAML text, if its aliases repeat little.
pub fn parse(text: &str) -> Option<Value> {
    let options = serde_saphyr::options! { alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100 } };
    serde_saphyr::from_str_with_options(text, options).ok()
}

/// The value as YAML in blocks; `None` if it cannot be written.
pub fn yaml(value: &Value) -> Option<String> {
    serde_saphyr::to_string(value).ok()
}

pub fn change(input: &[u8], random: &mut Rng) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(input) else { return bytes::change(input.to_vec(), &[], random) };
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    if lines.is_empty() {
        lines.push(String::new());
    }
    for _ in 0..random.usize(1..=3) {
        let at = random.usize(..lines.len());
        let to = random.usize(at..lines.len().min(at + 40)) + 1;
        match random.u8(..7) {
            0 => {
                let copied = lines[at..to].to_vec();
                let bytes: usize = copied.iter().map(String::len).sum();
                let many = copied.len() * (1 << random.u8(..9)).min(MAX_ADDED / (bytes + 1));
                lines.splice(at..at, copied.into_iter().cycle().take(many));
            }
            1 => lines[at..to].iter_mut().for_each(|line| line.insert_str(0, "  ")),
            2 => drop(lines.drain(at..to - 1)),
            3 => lines[at].insert_str(0, &PIECES[random.usize(..PIECES.len())].repeat(1 << random.u8(..10))),
            4 => lines.push(bomb(random)),
            5 => deepen(&mut lines, at, random),
            _ => {
                let line = &mut lines[at];
                let place = random.usize(..=line.len());
                if line.is_char_boundary(place) {
                    line.insert_str(place, PIECES[random.usize(..PIECES.len())]);
                }
            }
        }
    }
    lines.concat().into_bytes()
}

/// Aliases that repeat each other.
fn bomb(random: &mut Rng) -> String {
    let (levels, width) = (random.usize(1..12), random.usize(1..12));
    let level = |level: usize| {
        let below = if level == 0 { "x".to_owned() } else { format!("*b{}", level - 1) };
        format!("b{level}: &b{level} [{}]\n", vec![below; width].join(","))
    };
    (0..levels).map(level).collect()
}

/// Lists or mappings in each other, each on a line of its own.
fn deepen(lines: &mut Vec<String>, at: usize, random: &mut Rng) {
    let marker = if random.bool() { "-" } else { "a:" };
    let deep = (0..1_usize << random.u8(..9)).map(|level| format!("{}{marker}\n", " ".repeat(level)));
    lines.splice(at..at, deep.collect::<Vec<_>>());
}
