//! What a block holds: bytes that tell whose they are, and where in the block.

/// The byte at an offset of the pattern with this id.
pub fn byte(id: u64, offset: usize) -> u8 {
    let word = (id ^ (offset as u64 >> 3)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word.to_be_bytes()[offset % 8]
}

/// The offsets that are looked at: all of a short block; of a long one both
/// ends, and several in each page.
pub fn offsets(size: usize) -> impl Iterator<Item = usize> {
    let stride = if size <= 4096 { 1 } else { 509 };
    (0..size.min(64))
        .chain((64..size).step_by(stride))
        .chain(size.saturating_sub(64)..size)
}
