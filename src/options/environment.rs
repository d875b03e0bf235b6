//! What the environment says: `BIFOLD_*`, and what glibc reads, `MALLOC_*_`
//! and `GLIBC_TUNABLES`.
//!
//! References: mallopt(3), environment variables; glibc's manual, "Memory
//! Allocation Tunables".

#[cfg(feature = "hardened")]
use super::harden;
use super::{Id, Source, Spec, TABLE, parse, set};
use crate::os::process;
use crate::text::Text;

/// glibc's parameters, by the names of their variables, those of their tunables, and the
/// option that each sets here.
const GLIBC: [(&str, &str, Id); 6] = [
    ("MMAP_THRESHOLD_", "mmap_threshold", Id::mmap_threshold),
    ("MMAP_MAX_", "mmap_max", Id::mmap_max),
    ("TOP_PAD_", "top_pad", Id::growth),
    ("TRIM_THRESHOLD_", "trim_threshold", Id::spare),
    ("PERTURB_", "perturb", Id::perturb),
    ("ARENA_MAX", "arena_max", Id::arena_max),
];

/// Whether the environment can be read yet: it is the C library that finds
/// it, and others may allocate before.
pub fn is_ready() -> bool {
    process::environment().is_some()
}

/// Puts what the environment says in force. A value that is none is told on
/// standard error, and what was in force stays. bifold's own variables win
/// over glibc's.
pub fn read_environment() {
    for variable in process::environment().into_iter().flatten() {
        let Some((name, value)) = split_at(variable, b'=') else {
            continue;
        };
        if let Some(name) = after(name, "MALLOC_") {
            read_glibc(name, value, |row| row.0);
        } else if name == b"GLIBC_TUNABLES" {
            for tunable in value.split(|&byte| byte == b':') {
                if let Some((name, value)) = split_at(tunable, b'=')
                    && let Some(name) = after(name, "glibc.malloc.")
                {
                    read_glibc(name, value, |row| row.1);
                }
            }
        }
    }
    for variable in process::environment().into_iter().flatten() {
        if let Some(rest) = after(variable, "BIFOLD_")
            && let Some((name, value)) = split_at(rest, b'=')
            // The test suite's own are not options.
            && after(name, "TEST_").is_none()
        {
            read_own(name, value);
        }
    }
}

fn split_at(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == separator)?;
    Some((&text[..at], &text[at + 1..]))
}

fn after<'a>(text: &'a [u8], start: &str) -> Option<&'a [u8]> {
    text.strip_prefix(start.as_bytes())
}

fn read_own(name: &[u8], value: &[u8]) {
    #[cfg(feature = "hardened")]
    if name == harden::VARIABLE {
        return read_measures(value);
    }
    let Some(spec) = TABLE.iter().find(|spec| is_variable_of(spec, name)) else {
        return complain(name, value, None);
    };
    match core::str::from_utf8(value)
        .ok()
        .and_then(|text| parse::parse(spec, text))
    {
        Some(value) => set(spec.id, value, Source::Environment),
        None => complain(name, value, Some(spec)),
    }
}

#[cfg(feature = "hardened")]
fn read_measures(value: &[u8]) {
    if core::str::from_utf8(value).is_ok_and(harden::set) {
        return;
    }
    let mut line = Text::<256>::new();
    line.text("bifold: BIFOLD_HARDEN=");
    line.printable(&value[..value.len().min(60)]);
    line.text(": not ");
    line.text(harden::EXPECTED);
    line.text("; using all\n");
    process::write_stderr(line.bytes());
}

fn is_variable_of(spec: &Spec, name: &[u8]) -> bool {
    let same = |(&a, &b): (&u8, &u8)| a == b.to_ascii_uppercase();
    name.len() == spec.name.len() && name.iter().zip(spec.name.as_bytes()).all(same)
}

/// glibc takes no notice of a value that it can't read, and so does this.
fn read_glibc(
    name: &[u8],
    value: &[u8],
    column: impl Fn(&(&'static str, &'static str, Id)) -> &'static str,
) {
    let Some(&(.., id)) = GLIBC.iter().find(|row| column(row).as_bytes() == name) else {
        return;
    };
    let Some(value) = number(value) else {
        return;
    };
    set_glibc(id, value, Source::Environment);
}

/// Sets what one of glibc's parameters means here: its values go further than
/// the option's, as -1 for a trim threshold does, which is never to trim.
pub fn set_glibc(id: Id, value: i64, source: Source) {
    if id == Id::spare && value < 0 {
        return set(Id::purge, super::Purge::Never as u64, source);
    }
    if id == Id::perturb {
        return set(id, value as u64 & 0xff, source);
    }
    let (least, most) = TABLE[id as usize].range;
    let value = if value < 0 && id == Id::mmap_threshold {
        // To glibc a negative threshold is a very high one.
        most
    } else {
        value.max(0) as u64
    };
    set(id, value.clamp(least, most), source);
}

/// A number as strtoul(3) takes it with base 0: one above the largest signed
/// one is negative.
fn number(text: &[u8]) -> Option<i64> {
    let text = core::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (digits, base) = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    // The library takes a sign here, too.
    if digits.starts_with('+') {
        return None;
    }
    let number = u64::from_str_radix(digits, base).ok()? as i64;
    Some(if text.starts_with('-') {
        number.wrapping_neg()
    } else {
        number
    })
}

/// `bifold: BIFOLD_NAME=VALUE: not ..., using ...`.
fn complain(name: &[u8], value: &[u8], spec: Option<&Spec>) {
    let mut line = Text::<256>::new();
    line.text("bifold: BIFOLD_");
    line.printable(&name[..name.len().min(40)]);
    line.text("=");
    line.printable(&value[..value.len().min(60)]);
    match spec {
        None => line.text(": no such option"),
        Some(spec) => {
            line.text(": not ");
            parse::expected(spec, &mut line);
            line.text("; using ");
            parse::show(spec.kind, super::value(spec.id), &mut line);
        }
    }
    line.text("\n");
    process::write_stderr(line.bytes());
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_those_of_strtoul() {
        for (text, value) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("+12", Some(12)),
            ("-12", Some(-12)),
            ("010", Some(8)),
            ("0x10", Some(16)),
            ("-0X1f", Some(-31)),
            ("18446744073709551615", Some(-1)),
            ("18446744073709551616", None),
            ("0x+10", None),
            ("0+7", None),
            ("-+7", None),
            ("+-7", None),
            ("--7", None),
            ("0x", None),
            ("08", None),
            ("-", None),
            ("", None),
            ("7 ", None),
        ] {
            assert_eq!(number(text.as_bytes()), value, "{text:?}");
        }
    }
}
