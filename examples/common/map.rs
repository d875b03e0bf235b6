//! A process's mappings, and whose they are.

use std::fs;
use std::ops::Range;

use super::Outcome;
use super::figures::bytes_of;

const GIB: usize = 1 << 30;
/// How far bifold's window reaches from its base, and its metadata below it:
/// see ARCHITECTURE.md, "Where memory lies".
const WINDOW: usize = 1 << 40;
const MAP_BELOW: usize = GIB;
const METADATA_BELOW: usize = 2 * GIB;

/// Whose a mapping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Program,
    Stack,
    Other,
    PageMap,
    Descriptors,
    Blocks,
    Large,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Program,
        Self::Stack,
        Self::Other,
        Self::PageMap,
        Self::Descriptors,
        Self::Blocks,
        Self::Large,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Program => "program and libraries",
            Self::Stack => "stack",
            Self::Other => "other",
            Self::PageMap => "bifold: page map",
            Self::Descriptors => "bifold: descriptors, bits",
            Self::Blocks => "bifold: window",
            Self::Large => "bifold: large mappings",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A mapping: an entry of /proc/self/smaps.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    pub range: Range<usize>,
    pub permissions: String,
    /// The file, or a name in brackets, or nothing.
    pub name: String,
    pub resident: usize,
    pub huge: usize,
    pub locked: usize,
    /// The kernel's marks, of two letters each: `rd wr dd lo`.
    pub flags: String,
}

impl Mapping {
    /// Whether the kernel has this mark on it.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.split(' ').any(|other| other == flag)
    }
}

/// This process's mappings.
pub fn read() -> Outcome<Vec<Mapping>> {
    const PATH: &str = "/proc/self/smaps";
    let text = fs::read_to_string(PATH).map_err(|error| format!("{PATH}: {error}"))?;
    let mut mappings: Vec<Mapping> = Vec::new();
    for line in text.lines() {
        if let Some(mapping) = head(line) {
            mappings.push(mapping);
        } else if let Some(mapping) = mappings.last_mut() {
            mapping.resident += bytes_of(line, "Rss");
            mapping.huge += bytes_of(line, "AnonHugePages");
            mapping.locked += bytes_of(line, "Locked");
            if let Some(flags) = line.strip_prefix("VmFlags:") {
                flags.trim().clone_into(&mut mapping.flags);
            }
        }
    }
    Ok(mappings)
}

/// The first line of an entry: `START-END PERMISSIONS OFFSET DEVICE INODE NAME`.
fn head(line: &str) -> Option<Mapping> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let address = |hex| usize::from_str_radix(hex, 16).ok();
    Some(Mapping {
        range: address(start)?..address(end)?,
        permissions: words.next()?.to_owned(),
        name: words.skip(3).collect::<Vec<_>>().join(" "),
        ..Mapping::default()
    })
}

/// Where bifold's window starts, told from the address of a short block. The
/// window starts at a whole GiB, and a young heap has not left the first one.
pub fn window_of(block: *const u8) -> usize {
    block as usize / GIB * GIB
}

/// Whether an address is in the window.
pub fn is_in_window(base: usize, address: usize) -> bool {
    (base..base + WINDOW).contains(&address)
}

/// Whose a mapping is, of a process whose window starts at `base` and that has
/// or had large blocks in `large`.
pub fn kind_of(mapping: &Mapping, base: usize, large: &[Range<usize>]) -> Kind {
    let start = mapping.range.start;
    let overlaps = |other: &Range<usize>| start < other.end && other.start < mapping.range.end;
    if is_in_window(base, start) {
        Kind::Blocks
    } else if (base - MAP_BELOW..base).contains(&start) {
        Kind::PageMap
    } else if (base - METADATA_BELOW..base).contains(&start) {
        Kind::Descriptors
    } else if mapping.name == "[stack]" {
        Kind::Stack
    } else if mapping.name.starts_with('/') {
        Kind::Program
    } else if large.iter().any(overlaps) {
        Kind::Large
    } else {
        Kind::Other
    }
}
