//! `BIFOLD_HARDEN`: which measures of a hardened build are in force.
//!
//! All are, unless the variable takes some away: `-quarantine,-zero`, or all
//! with `-all`; `+guard` behind that gives one back. Blocks from before the
//! environment is read have all of them, which does no harm.

use core::sync::atomic::{AtomicU8, Ordering};

/// A measure that can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Measure {
    /// Blocks of a slab are handed out in random order.
    Order,
    /// A canary and the exact size behind each block, checked on free.
    Canary,
    /// Blocks are zeroed on free, and must be zero when they are handed out.
    Zero,
    /// Freed blocks wait before they can be handed out again.
    Quarantine,
    /// Inaccessible pages behind slabs, runs and mappings.
    Guard,
}

const NAMES: [(&str, Measure); 5] = [
    ("order", Measure::Order),
    ("canary", Measure::Canary),
    ("zero", Measure::Zero),
    ("quarantine", Measure::Quarantine),
    ("guard", Measure::Guard),
];

/// What the variable is called after `BIFOLD_`.
pub(super) const VARIABLE: &[u8] = b"HARDEN";

/// What its values look like, for a complaint.
pub(super) const EXPECTED: &str =
    "`-` or `+` and order, canary, zero, quarantine, guard or all, with commas between";

const ALL: u8 = (1 << NAMES.len()) - 1;

static MEASURES: AtomicU8 = AtomicU8::new(ALL);

/// The measures in force, for who asks for several.
#[derive(Clone, Copy)]
pub struct Measures(u8);

impl Measures {
    /// Whether a measure is among them.
    #[inline(always)]
    pub fn has(self, measure: Measure) -> bool {
        self.0 >> measure as u8 & 1 != 0
    }
}

/// Which measures are in force.
#[inline(always)]
pub fn measures() -> Measures {
    // Relaxed: they are set once, at the start.
    Measures(MEASURES.load(Ordering::Relaxed))
}

/// Whether a measure is in force.
#[inline(always)]
pub fn has(measure: Measure) -> bool {
    measures().has(measure)
}

/// Puts a value in force. Returns `false`, and does nothing, where it is none.
pub(super) fn set(value: &str) -> bool {
    let measures = value.split(',').try_fold(ALL, change);
    if let Some(measures) = measures {
        MEASURES.store(measures, Ordering::Relaxed);
    }
    measures.is_some()
}

/// Switches what one word says.
fn change(measures: u8, word: &str) -> Option<u8> {
    let (off, name) = match word.split_at_checked(1)? {
        ("-", name) => (true, name),
        ("+", name) => (false, name),
        _ => return None,
    };
    let bits = if name == "all" {
        ALL
    } else {
        let (_, measure) = NAMES.iter().find(|row| row.0 == name)?;
        1 << *measure as u8
    };
    Some(if off {
        measures & !bits
    } else {
        measures | bits
    })
}

/// The measures in force, by their names.
pub fn in_force() -> impl Iterator<Item = &'static str> {
    let measures = NAMES.iter().filter(|row| has(row.1));
    measures.map(|row| row.0)
}

#[cfg(test)]
mod tests {
    use super::{ALL, change};

    fn measures(value: &str) -> Option<u8> {
        value.split(',').try_fold(ALL, change)
    }

    #[test]
    fn words_switch_one_after_the_other() {
        for (value, measures_of) in [
            ("-all", Some(0)),
            ("-all,+zero", Some(0b100)),
            ("-zero", Some(0b11011)),
            ("-zero,+zero", Some(ALL)),
            ("-order,-canary", Some(0b11100)),
            ("+all", Some(ALL)),
            ("", None),
            ("zero", None),
            ("-", None),
            ("-zero,", None),
            ("-zeros", None),
            ("- zero", None),
            ("é", None),
        ] {
            assert_eq!(measures(value), measures_of, "{value:?}");
        }
    }
}
