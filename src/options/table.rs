//! The table itself.

use super::{Kind, Spec, value};

/// Words for the values of an option, as an enum with their places.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$word_doc])* $variant,)+
        }

        impl $name {
            /// The words of the environment variable.
            pub(super) const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl Value for $name {
            fn of(place: u64) -> Self {
                const ALL: &[$name] = &[$($name::$variant),+];
                ALL[(place as usize).min(ALL.len() - 1)]
            }
        }
    };
}

choice! {
    /// When free memory goes back to the kernel.
    Purge {
        /// When it has been free for the purge delay.
        Delayed = "delayed",
        /// At once.
        Now = "now",
        /// Only by `trim`.
        Never = "never",
    }
}

choice! {
    /// How free memory goes back to the kernel; see madvise(2).
    Advice {
        /// `MADV_DONTNEED`: at once, and reads as zero afterwards.
        DontNeed = "dontneed",
        /// `MADV_FREE`: when the kernel wants it. Cheaper, and counted as
        /// resident until then.
        Free = "free",
    }
}

choice! {
    /// Transparent huge pages.
    HugePages {
        /// For what a heap grows by once it is large and filled with slabs.
        Adaptive = "adaptive",
        /// For all that a heap grows by beyond its first 2 MiB, and for large blocks.
        Always = "always",
        /// As the system's setting says, without a word from bifold.
        System = "system",
        /// For none.
        Never = "never",
    }
}

choice! {
    /// Whether all of bifold's memory is locked; see mlock2(2).
    Lock {
        /// It is not.
        No = "0",
        /// It is resident, and stays so, from when it is mapped.
        Now = "1",
        /// Pages stay once they have been touched.
        OnFault = "on-fault",
    }
}

choice! {
    /// Figures at the end of the process.
    Figures {
        /// None.
        No = "0",
        /// A table.
        Table = "1",
        /// JSON.
        Json = "json",
    }
}

const K: u64 = 1 << 10;
const M: u64 = 1 << 20;
const G: u64 = 1 << 30;
const S: u64 = 1000;
const ANY: u64 = isize::MAX as u64;

/// Hands the table to a macro: name, kind, Rust type, default, range, help,
/// and the builder's name for it with its argument's.
macro_rules! for_each_option {
    ($consumer:ident) => {
        $consumer! {
            verbose: Flag, bool = 0, 0..=1, verbose(on),
                "Says at the start which options are in force, and what the kernel granted.";
            stats: Choice(Figures::WORDS), Figures = 0, 0..=2, stats(figures),
                "Figures on standard error at the end of the process: `1` a table, `json` JSON.";
            mmap_threshold: Size, usize = 128 * K, 0..=2 * M, mmap_threshold(bytes),
                "Requests above it get a mapping of their own. Unset, it adapts, up to 512K.";
            mmap_max: Count, usize = 65536, 0..=ANY, mmap_max(mappings),
                "The most such mappings; further requests up to 2M are runs.";
            growth: Size, usize = 0, 0..=4 * G, growth(bytes),
                "The least by which the heap grows.";
            spare: Size, usize = 512 * K, 0..=ANY, spare(bytes),
                "Free memory that stays resident in any case.";
            purge: Choice(Purge::WORDS), Purge = 0, 0..=2, purge(when),
                "When free memory goes back to the kernel: `delayed`, `now`, `never`.";
            purge_delay: Time, u64 = S, 10..=3600 * S, purge_delay_ms(milliseconds),
                "For how long a program's peak counts as what it may need again.";
            purge_advice: Choice(Advice::WORDS), Advice = 0, 0..=1, purge_advice(advice),
                "How it goes back: `dontneed` at once, `free` when the kernel wants it.";
            background: Flag, bool = 0, 0..=1, background(on),
                "A thread that gives memory back while the program is idle.";
            pressure: Time, u64 = 100, 0..=1900, pressure_ms(milliseconds),
                "Waits for memory within 2s, anywhere in the cgroup or system, at which that thread purges all; `0` never.";
            fault_around: Size, usize = 4 * K, 4 * K..=2 * M, fault_around(bytes),
                "How much is made resident at a time, where a page would be.";
            prefault: Flag, bool = 0, 0..=1, prefault(on),
                "All memory is resident from when it is mapped.";
            reserve: SizeOrShare, usize = 0, 0..=256 * G, reserve(bytes),
                "Mapped at the start; with it, requests up to 2M are runs unless `mmap_threshold` is set.";
            thp: Choice(HugePages::WORDS), HugePages = 0, 0..=3, thp(huge_pages),
                "Transparent huge pages: `adaptive`, `always`, `system`, `never`.";
            thp_from: Size, usize = 16 * M, 0..=ANY, thp_from(bytes),
                "With `adaptive`: from which size on a heap grows by huge pages.";
            hugetlb_2m: SizeOrShare, usize = 0, 0..=256 * G, hugetlb_2m(bytes),
                "A pool of 2 MiB pages (hugetlbfs), taken at the start and used first.";
            hugetlb_1g: SizeOrShare, usize = 0, 0..=256 * G, hugetlb_1g(bytes),
                "The same of 1 GiB pages.";
            lock: Choice(Lock::WORDS), Lock = 0, 0..=2, lock(lock),
                "Locks all memory: `1` at once, `on-fault` as it is touched.";
            limit: SizeOrShare, usize = ANY, M..=ANY, limit(bytes),
                "The most that bifold may have of memory; beyond it requests fail.";
            soft_limit: SizeOrShare, usize = ANY, M..=ANY, soft_limit(bytes),
                "Where everything free is purged before more is taken.";
            arena_max: Count, usize = 0, 0..=ANY, arena_max(heaps),
                "The most threads with a heap of their own; further ones share one. `0`: all have.";
            perturb: Count, u8 = 0, 0..=255, perturb(byte),
                "Fills freed blocks with this byte and fresh ones with its complement; slow.";
        }
    };
}
pub(crate) use for_each_option;

/// What an option's getter returns, from the number that is kept.
trait Value {
    fn of(number: u64) -> Self;
}

impl Value for bool {
    fn of(number: u64) -> Self {
        number != 0
    }
}

impl Value for u8 {
    fn of(number: u64) -> Self {
        number as Self
    }
}

impl Value for usize {
    fn of(number: u64) -> Self {
        number as Self
    }
}

impl Value for u64 {
    fn of(number: u64) -> Self {
        number
    }
}

macro_rules! generate {
    ($($name:ident: $kind:expr, $type:ty = $default:expr, $range:expr,
        $builder:ident($argument:ident), $help:literal;)+) => {
        /// An option, by its name.
        #[allow(non_camel_case_types, missing_docs)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Id {
            $($name,)+
        }

        /// All options, in the order of [`Id`].
        pub const TABLE: &[Spec] = &[$(Spec {
            id: Id::$name,
            name: stringify!($name),
            kind: {
                use Kind::*;
                $kind
            },
            default: $default,
            range: {
                let range: core::ops::RangeInclusive<u64> = $range;
                (*range.start(), *range.end())
            },
            help: $help,
        }),+];

        $(
            #[doc = $help]
            #[allow(dead_code, reason = "some are asked for by their id alone")]
            #[inline]
            pub fn $name() -> $type {
                <$type as Value>::of(value(Id::$name))
            }
        )+
    };
}

for_each_option!(generate);

/// How many options there are.
pub const COUNT: usize = TABLE.len();
