//! Values as text, both ways.

use super::{Kind, Spec};
use crate::os::limits;
use crate::text::Text;

const SIZES: [(&str, u64); 4] = [
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
];
const TIMES: [(&str, u64); 3] = [("min", 60_000), ("s", 1000), ("ms", 1)];

/// Reads an option's value; `None` if it is none, or out of range.
pub fn parse(spec: &Spec, text: &str) -> Option<u64> {
    let value = match spec.kind {
        Kind::Flag => flag(text),
        Kind::Size => with_unit(text, &SIZES, true),
        Kind::SizeOrShare => share(text).or_else(|| with_unit(text, &SIZES, true)),
        Kind::Time => with_unit(text, &TIMES, false),
        Kind::Count => with_unit(text, &[], true),
        Kind::Choice(words) => choice(text, words),
    }?;
    (spec.range.0 <= value && value <= spec.range.1).then_some(value)
}

fn flag(text: &str) -> Option<u64> {
    match text {
        "0" | "no" | "off" | "false" => Some(0),
        "1" | "yes" | "on" | "true" => Some(1),
        _ => None,
    }
}

fn choice(text: &str, words: &[&str]) -> Option<u64> {
    let place = words
        .iter()
        .position(|word| word.eq_ignore_ascii_case(text))?;
    Some(place as u64)
}

/// Digits at the start, and the rest.
fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(digits);
    if digits.is_empty() {
        return None;
    }
    let number = digits.bytes().try_fold(0u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })?;
    Some((number, rest))
}

/// A number with a unit: of sizes in either case, with `B` or `iB` behind it,
/// and bytes if there is none; times must have one, but for 0.
fn with_unit(text: &str, units: &[(&str, u64)], plain: bool) -> Option<u64> {
    let (number, rest) = number(text)?;
    if rest.is_empty() {
        return (plain || number == 0).then_some(number);
    }
    let (_, unit) = units.iter().find(|(name, _)| {
        if plain {
            let tail = rest.get(name.len()..).unwrap_or("?");
            rest.len() >= name.len()
                && rest.as_bytes()[..name.len()].eq_ignore_ascii_case(name.as_bytes())
                && ["", "B", "iB"].contains(&tail)
        } else {
            rest == *name
        }
    })?;
    number.checked_mul(*unit)
}

/// `50%`, of what memory the process may have.
fn share(text: &str) -> Option<u64> {
    let (number, rest) = number(text)?;
    if rest != "%" || number > 100 {
        return None;
    }
    let available = limits::memory_available();
    Some((u128::from(available) * u128::from(number) / 100) as u64)
}

/// What an option's value may look like, for a complaint.
pub fn expected(spec: &Spec, line: &mut Text<256>) {
    match spec.kind {
        Kind::Flag => line.text("0 or 1"),
        Kind::Choice(words) => {
            for (i, word) in words.iter().enumerate() {
                if i > 0 {
                    line.text(if i + 1 == words.len() { " or " } else { ", " });
                }
                line.text(word);
            }
        }
        _ => {
            line.text(match spec.kind {
                Kind::Time => "a time like 500ms or 2s, ",
                Kind::SizeOrShare => "a size like 512K, 64M or 50%, ",
                Kind::Size => "a size like 512K or 64M, ",
                _ => "a number, ",
            });
            show(spec.kind, spec.range.0, line);
            line.text(" to ");
            show(spec.kind, spec.range.1, line);
        }
    }
}

/// Appends a value as it would be written in the environment, in the largest
/// unit that it is a whole number of.
pub fn show<const N: usize>(kind: Kind, value: u64, line: &mut Text<N>) {
    let units: &[(&str, u64)] = match kind {
        Kind::Choice(words) => {
            return line.text(words.get(value as usize).unwrap_or(&"?"));
        }
        Kind::Flag | Kind::Count => &[],
        Kind::Size | Kind::SizeOrShare => &SIZES,
        Kind::Time => &TIMES,
    };
    if value >= isize::MAX as u64 {
        return line.text("any");
    }
    let unit = units
        .iter()
        .find(|(_, unit)| value > 0 && value.is_multiple_of(*unit));
    let (name, unit) = unit.unwrap_or(&("", 1));
    line.decimal((value / unit) as usize);
    line.text(name);
}
