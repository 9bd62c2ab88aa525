//! Changes of bytes without regard to what they mean.

use fastrand::Rng;

use super::words;

pub fn change(mut bytes: Vec<u8>, other: &[u8], random: &mut Rng) -> Vec<u8> {
    if bytes.is_empty() {
        return vec![random.u8(..)];
    }
    let at = random.usize(..bytes.len());
    let most = 1 << random.u8(..14);
    let to = random.usize(at..=bytes.len().min(at + most));
    match random.u8(..8) {
        0 => bytes[at] = random.u8(..),
        1 => bytes[at] ^= 1 << random.u8(..8),
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..to)),
        4 => {
            let piece = bytes[at..to].repeat(1 << random.u8(..10));
            bytes.splice(at..at, piece);
        }
        5 if !other.is_empty() => {
            let from = random.usize(..other.len());
            let end = random.usize(from..=other.len().min(from + 4096));
            bytes.splice(at..to, other[from..end].iter().copied());
        }
        6 => {
            // A byte many times: brackets, digits, spaces.
            let byte = if random.bool() { bytes[at] } else { b"[{(\"\\0 -\n"[random.usize(..9)] };
            bytes.splice(at..at, std::iter::repeat_n(byte, 1 << random.u8(..18)));
        }
        _ => {
            bytes.splice(at..at, words::text(random).into_bytes());
        }
    }
    bytes
}
