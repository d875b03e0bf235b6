//! What the fuzz targets share: how bytes become calls, what blocks hold, and
//! a driver for where there is no libFuzzer.

mod driver;
mod input;
#[path = "../../../tests/all/shadow/pattern.rs"]
pub mod pattern;

pub use driver::{OPTIONS_OF_EACH_KIND, Target, count, drive};
pub use input::Input;

/// Beyond this a request may fail: the machine need not have so much.
pub const MODEST: usize = 64 << 20;

/// Longer blocks hold their pattern at both ends alone.
const WHOLE: usize = 32 << 20;

/// The offsets at which a block of that length holds its pattern.
pub fn offsets(size: usize) -> impl Iterator<Item = usize> {
    let looked_at = if size <= WHOLE { size } else { 128 };
    let left_out = size - looked_at;
    pattern::offsets(looked_at).map(move |at| if at < 64 { at } else { at + left_out })
}

/// Whether a request may fail although it is modest: the environment limits
/// what bifold may have.
pub fn is_limited() -> bool {
    static LIMITED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *LIMITED.get_or_init(|| std::env::var_os("BIFOLD_LIMIT").is_some())
}
