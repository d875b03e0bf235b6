//! What the program asks for when it is built: a constant beside its
//! `#[global_allocator]`.

use super::table::for_each_option;
use super::{Advice, COUNT, Figures, HugePages, Id, Lock, Purge, Source, TABLE, set};

/// Values for some of the options.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    values: [u64; COUNT],
    /// Which of them count.
    given: u32,
}

const _: () = assert!(COUNT <= u32::BITS as usize);

impl Default for Settings {
    fn default() -> Self {
        Self::none()
    }
}

impl Settings {
    /// Nothing is asked for.
    pub const fn none() -> Self {
        Self {
            values: [0; COUNT],
            given: 0,
        }
    }

    /// With a value for one option. Outside the option's range it panics,
    /// while the constant is computed.
    const fn with(mut self, id: Id, value: u64) -> Self {
        let (least, most) = TABLE[id as usize].range;
        assert!(
            least <= value && value <= most,
            "a value outside the option's range"
        );
        self.values[id as usize] = value;
        self.given |= 1 << id as u32;
        self
    }

    /// Puts the values in force, but for those that the environment has set.
    pub fn apply(&self) {
        for spec in TABLE {
            if self.given >> spec.id as u32 & 1 != 0 {
                set(spec.id, self.values[spec.id as usize], Source::Program);
            }
        }
    }
}

macro_rules! builders {
    ($($name:ident: $kind:expr, $type:ty = $default:expr, $range:expr,
        $builder:ident($argument:ident), $help:literal;)+) => {
        impl Settings {
            $(
                #[doc = $help]
                pub const fn $builder(self, $argument: $type) -> Self {
                    self.with(Id::$name, $argument as u64)
                }
            )+
        }
    };
}

for_each_option!(builders);
