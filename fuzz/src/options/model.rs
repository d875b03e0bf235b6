//! The options as the README describes them, in wide numbers and without a
//! thought for speed.

use std::ffi::CString;
use std::fmt::Write;

/// What is no limit.
const ANY: u128 = isize::MAX as u128;

/// What glibc's parameters are called in `MALLOC_*`, among its tunables, and
/// here.
const GLIBC: [(&str, &str, &str); 6] = [
    ("MALLOC_MMAP_THRESHOLD_", "mmap_threshold", "MMAP_THRESHOLD"),
    ("MALLOC_MMAP_MAX_", "mmap_max", "MMAP_MAX"),
    ("MALLOC_TOP_PAD_", "top_pad", "GROWTH"),
    ("MALLOC_TRIM_THRESHOLD_", "trim_threshold", "SPARE"),
    ("MALLOC_PERTURB_", "perturb", "PERTURB"),
    ("MALLOC_ARENA_MAX", "arena_max", "ARENA_MAX"),
];

/// One option, and what must be in force.
#[derive(Debug)]
struct Row {
    /// Without `BIFOLD_`.
    name: String,
    kind: &'static str,
    /// The least and the most, of what is a number.
    range: (u128, u128),
    /// All words, of what is a word.
    words: Vec<String>,
    value: Value,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Number(u128),
    Word(String),
    /// A share was asked for: it depends on the machine whether that is in
    /// the range, and at most this many per cent of its memory.
    Share {
        percent: u128,
        before: Option<u128>,
    },
}

#[derive(Debug)]
pub struct Options(Vec<Row>);

/// How many lines there must be, and may be.
#[derive(Debug, Default)]
pub struct Complaints {
    certain: usize,
    possible: usize,
}

impl Complaints {
    pub fn are_met_by(&self, lines: &[&[u8]]) -> bool {
        (self.certain..=self.certain + self.possible).contains(&lines.len())
    }
}

fn unit_of_size(unit: &str) -> Option<u128> {
    let (first, tail) = match unit.chars().next() {
        None => return Some(1),
        Some(first) => (first, &unit[first.len_utf8()..]),
    };
    let exponent = ["K", "M", "G", "T"]
        .iter()
        .position(|name| name.eq_ignore_ascii_case(first.encode_utf8(&mut [0; 4])))?;
    ["", "B", "iB"]
        .contains(&tail)
        .then(|| 1 << (10 * (exponent + 1)))
}

fn unit_of_time(unit: &str) -> Option<u128> {
    match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "min" => Some(60_000),
        _ => None,
    }
}

/// Digits, and what is behind them. More digits than a word has count as a
/// number that is out of every range.
fn split(text: &str) -> Option<(u128, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    let number = match digits.len() {
        0 => 0,
        1..=20 => digits.parse().expect("20 digits are a number"),
        _ => u128::from(u64::MAX) + 1,
    };
    // What overflows is no number, whatever the unit.
    (number <= u128::from(u64::MAX)).then_some((number, unit))
}

impl Row {
    fn of(option: &bifold::OptionInfo) -> Self {
        let name = option.variable().to_string();
        let range = option.range().to_string();
        let mut row = Self {
            name: name
                .strip_prefix("BIFOLD_")
                .expect("all start so")
                .to_owned(),
            kind: option.kind(),
            range: (0, 1),
            words: Vec::new(),
            value: Value::Number(0),
        };
        match row.kind {
            "word" => {
                let words = range.replace(" or ", ", ");
                row.words = words.split(", ").map(str::to_owned).collect();
            }
            "flag" => {}
            _ => {
                let (least, most) = range.split_once(" to ").expect("a range of numbers");
                row.range = (row.shown(least), row.shown(most));
            }
        }
        row.value = row.in_force(&option.value().to_string());
        row
    }

    /// A number as bifold shows it.
    fn shown(&self, text: &str) -> u128 {
        if text == "any" {
            return ANY;
        }
        let (number, unit) = split(text).expect("a number is shown");
        let unit = match self.kind {
            "time" if unit.is_empty() => Some(1).filter(|_| number == 0),
            "time" => unit_of_time(unit),
            "size" | "size or share" => unit_of_size(unit),
            _ => Some(1).filter(|_| unit.is_empty()),
        };
        number * unit.unwrap_or_else(|| panic!("{text:?} is shown"))
    }

    fn in_force(&self, text: &str) -> Value {
        match self.kind {
            "word" => Value::Word(text.to_owned()),
            _ => Value::Number(self.shown(text)),
        }
    }

    fn parse(&self, text: &str) -> Option<Value> {
        let number = match self.kind {
            "word" => {
                let word = self
                    .words
                    .iter()
                    .find(|word| word.eq_ignore_ascii_case(text))?;
                return Some(Value::Word(word.clone()));
            }
            "flag" => match text {
                "0" | "no" | "off" | "false" => 0,
                "1" | "yes" | "on" | "true" => 1,
                _ => return None,
            },
            "time" => match split(text)? {
                (0, "") => 0,
                (number, unit) => number * unit_of_time(unit)?,
            },
            _ if text == "any" => ANY,
            "number" => match split(text)? {
                (number, "") => number,
                _ => return None,
            },
            "size or share" if text.ends_with('%') => {
                let (percent, unit) = split(text)?;
                let before = match self.value {
                    Value::Number(number) => Some(number),
                    _ => None,
                };
                return (unit == "%" && percent <= 100).then_some(Value::Share { percent, before });
            }
            _ => {
                let (number, unit) = split(text)?;
                number * unit_of_size(unit)?
            }
        };
        (self.range.0 <= number && number <= self.range.1).then_some(Value::Number(number))
    }
}

/// A number as strtoul(3) reads it, with a sign.
fn strtoul(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (digits, base) = if digits.starts_with("0x") || digits.starts_with("0X") {
        (&digits[2..], 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (&digits[1..], 8)
    } else {
        (digits, 10)
    };
    if digits.is_empty() {
        return None;
    }
    let mut number: u128 = 0;
    for digit in digits.chars() {
        let digit = digit.to_digit(base)?;
        number = (number * u128::from(base) + u128::from(digit)).min(1 << 64);
    }
    let number = u64::try_from(number).ok()?.cast_signed();
    Some(match text.starts_with('-') {
        true => number.wrapping_neg(),
        false => number,
    })
}

impl Options {
    pub fn in_force() -> Self {
        Self(bifold::options().map(|option| Row::of(&option)).collect())
    }

    fn row(&mut self, name: &str) -> Option<&mut Row> {
        self.0.iter_mut().find(|row| row.name == name)
    }

    /// Reads an environment; returns what there is to complain about.
    pub fn read(&mut self, variables: &[CString]) -> Complaints {
        for variable in variables {
            self.read_glibc(variable.as_bytes());
        }
        let mut complaints = Complaints::default();
        for variable in variables {
            let bytes = variable.as_bytes();
            let Some(at) = bytes.iter().position(|&byte| byte == b'=') else {
                continue;
            };
            let (name, value) = (&bytes[..at], &bytes[at + 1..]);
            let Some(name) = name.strip_prefix(b"BIFOLD_") else {
                continue;
            };
            if name.starts_with(b"TEST_") {
                continue;
            }
            let row = std::str::from_utf8(name)
                .ok()
                .and_then(|name| self.row(name));
            let parsed = row.and_then(|row| {
                let value = std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| row.parse(text))?;
                row.value = value.clone();
                Some(value)
            });
            match parsed {
                None => complaints.certain += 1,
                Some(Value::Share { .. }) => complaints.possible += 1,
                Some(_) => {}
            }
        }
        complaints
    }

    fn read_glibc(&mut self, variable: &[u8]) {
        let Some(at) = variable.iter().position(|&byte| byte == b'=') else {
            return;
        };
        let (name, value) = (&variable[..at], &variable[at + 1..]);
        for (own, _, option) in GLIBC {
            if name == own.as_bytes() {
                self.set_glibc(option, value);
            }
        }
        if name != b"GLIBC_TUNABLES" {
            return;
        }
        for setting in value.split(|&byte| byte == b':') {
            for (_, tunable, option) in GLIBC {
                let prefix = format!("glibc.malloc.{tunable}=");
                if let Some(value) = setting.strip_prefix(prefix.as_bytes()) {
                    self.set_glibc(option, value);
                }
            }
        }
    }

    fn set_glibc(&mut self, option: &str, value: &[u8]) {
        let Some(number) = std::str::from_utf8(value).ok().and_then(strtoul) else {
            return;
        };
        if option == "SPARE" && number < 0 {
            let row = self.row("PURGE").expect("the option is there");
            row.value = Value::Word("never".to_owned());
            return;
        }
        let row = self.row(option).expect("the option is there");
        let (least, most) = row.range;
        row.value = Value::Number(match option {
            "PERTURB" => u128::from(number as u8),
            "MMAP_THRESHOLD" if number < 0 => most,
            _ => u128::try_from(number).unwrap_or(0).clamp(least, most),
        });
    }

    pub fn assert_in_force(&self) {
        let mut wrong = String::new();
        for (row, option) in self.0.iter().zip(bifold::options()) {
            let shown = option.value().to_string();
            let now = row.in_force(&shown);
            if let Value::Share { percent, before } = row.value {
                let Value::Number(number) = now else {
                    unreachable!("a share is of a number");
                };
                let is_share = number <= memory() * percent / 100
                    && row.range.0 <= number
                    && number <= row.range.1;
                // Several shares may follow one another.
                let stays = before.is_none_or(|before| before == number);
                if is_share || stays {
                    continue;
                }
            }
            if now != row.value {
                writeln!(wrong, "{}: {shown}, not {:?}", row.name, row.value)
                    .expect("text can grow");
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    }
}

/// The machine's memory in bytes.
fn memory() -> u128 {
    let text = std::fs::read_to_string("/proc/meminfo").expect("/proc is there");
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u128>().ok());
    kib.expect("MemTotal has a figure") << 10
}
