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
/// What is no limit.
const ANY: &str = "any";
const TIMES: [(&str, u64); 3] = [("min", 60_000), ("s", 1000), ("ms", 1)];

/// Reads an option's value; `None` if it is none, or out of range.
pub fn parse(spec: &Spec, text: &str) -> Option<u64> {
    let value = match spec.kind {
        Kind::Size | Kind::SizeOrShare | Kind::Count if text == ANY => Some(isize::MAX as u64),
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
    line.text(match spec.kind {
        Kind::Flag | Kind::Choice(_) => "",
        Kind::Time => "a time like 500ms or 2s, ",
        Kind::SizeOrShare => "a size like 512K, 64M or 50%, ",
        Kind::Size => "a size like 512K or 64M, ",
        Kind::Count => "a number, ",
    });
    show_range(spec, line);
}

/// Appends which values an option can have.
pub fn show_range<const N: usize>(spec: &Spec, line: &mut Text<N>) {
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
        Kind::Size | Kind::SizeOrShare | Kind::Time | Kind::Count => {
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
        return line.text(ANY);
    }
    let unit = units
        .iter()
        .find(|(_, unit)| value > 0 && value.is_multiple_of(*unit));
    let (name, unit) = unit.unwrap_or(&("", 1));
    line.decimal((value / unit) as usize);
    line.text(name);
}

#[cfg(test)]
mod tests {
    use super::super::{Id, TABLE};
    use super::{Kind, Spec, Text, expected, parse, show};
    use proptest::prelude::*;
    use std::string::String;

    fn spec(id: Id) -> &'static Spec {
        &TABLE[id as usize]
    }

    fn shown(kind: Kind, value: u64) -> String {
        let mut line = Text::<64>::new();
        show(kind, value, &mut line);
        line.as_str().into()
    }

    #[test]
    fn values_of_each_kind() {
        for (id, text, value) in [
            (Id::verbose, "1", Some(1)),
            (Id::verbose, "yes", Some(1)),
            (Id::verbose, "off", Some(0)),
            (Id::verbose, "2", None),
            (Id::verbose, "Yes", None),
            (Id::verbose, "", None),
            (Id::growth, "0", Some(0)),
            (Id::growth, "512K", Some(512 << 10)),
            (Id::growth, "512k", Some(512 << 10)),
            (Id::growth, "2MB", Some(2 << 20)),
            (Id::growth, "2MiB", Some(2 << 20)),
            (Id::growth, "2mib", None),
            (Id::growth, "2Mi", None),
            (Id::growth, "4G", Some(4 << 30)),
            (Id::growth, "5G", None),
            (Id::growth, "1T", None),
            (Id::growth, "any", None),
            (Id::growth, "50%", None),
            (Id::growth, "-1", None),
            (Id::growth, "+1", None),
            (Id::growth, " 1", None),
            (Id::growth, "1 ", None),
            (Id::growth, "1 K", None),
            (Id::growth, "K", None),
            (Id::growth, "1.5M", None),
            (Id::growth, "0x1000", None),
            (Id::growth, "18446744073709551616", None),
            (Id::spare, "16777216T", None),
            (Id::spare, "8388607T", Some(8_388_607 << 40)),
            (Id::spare, "any", Some(isize::MAX as u64)),
            (Id::limit, "1048575", None),
            (Id::limit, "101%", None),
            (Id::limit, "%", None),
            (Id::limit, "-5%", None),
            (Id::purge_delay, "250ms", Some(250)),
            (Id::purge_delay, "2s", Some(2000)),
            (Id::purge_delay, "60min", Some(3_600_000)),
            (Id::purge_delay, "61min", None),
            (Id::purge_delay, "9ms", None),
            (Id::purge_delay, "2S", None),
            (Id::purge_delay, "250", None),
            (Id::purge_delay, "any", None),
            (Id::pressure, "0", Some(0)),
            (Id::mmap_max, "7", Some(7)),
            (Id::mmap_max, "7K", None),
            (Id::perturb, "255", Some(255)),
            (Id::perturb, "256", None),
            (Id::purge, "never", Some(2)),
            (Id::purge, "NEVER", Some(2)),
            (Id::purge, "nev", None),
            (Id::lock, "on-fault", Some(2)),
            (Id::lock, "2", None),
        ] {
            assert_eq!(parse(spec(id), text), value, "{id:?}={text:?}");
        }
    }

    #[test]
    fn a_share_is_of_what_there_is() {
        let share = |text| parse(spec(Id::limit), text).expect(text);
        let whole = share("100%");
        assert!(whole >= 1 << 20, "{whole}");
        let half = share("50%");
        assert!(half.abs_diff(whole / 2) <= whole / 50, "{half} of {whole}");
        assert_eq!(parse(spec(Id::reserve), "0%"), Some(0));
    }

    #[test]
    fn defaults_are_in_range_and_can_be_written_as_they_are_shown() {
        for spec in TABLE {
            let (least, most) = spec.range;
            assert!(least <= spec.default && spec.default <= most, "{spec:?}");
            for value in [least, spec.default, most] {
                let text = shown(spec.kind, value);
                assert_eq!(parse(spec, &text), Some(value), "{}={text}", spec.name);
            }
            let mut line = Text::<256>::new();
            expected(spec, &mut line);
            assert!(!line.bytes().is_empty());
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_means_the_same(value: u64, shift in 0u32..64, which in 0..TABLE.len()) {
            let spec = &TABLE[which];
            let (least, most) = spec.range;
            let value = (value >> shift).clamp(least, most);
            prop_assert_eq!(parse(spec, &shown(spec.kind, value)), Some(value));
        }

        #[test]
        fn any_text_is_a_value_in_range_or_none(text: String, which in 0..TABLE.len()) {
            let (least, most) = TABLE[which].range;
            if let Some(value) = parse(&TABLE[which], &text) {
                prop_assert!(least <= value && value <= most);
            }
        }

        #[test]
        fn so_is_what_looks_like_one(
            text in "[-+ ]?[0-9]{0,22}[ ]?(|K|M|G|T|ms|s|min|%|KiB|é|any)",
            which in 0..TABLE.len(),
        ) {
            let (least, most) = TABLE[which].range;
            if let Some(value) = parse(&TABLE[which], &text) {
                prop_assert!(least <= value && value <= most);
            }
        }
    }
}
