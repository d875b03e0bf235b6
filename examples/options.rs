//! Which options are in force, and who has set them.
//!
//! ```text
//! cargo run --release --example options
//! BIFOLD_PURGE_DELAY=5s cargo run --release --example options
//! ```
//!
//! The program asks for some; the environment wins over it.

use bifold::{Bifold, HugePages, Source};

#[global_allocator]
static ALLOCATOR: Bifold = Bifold::new()
    .purge_delay_ms(250)
    .mmap_max(1000)
    .thp(HugePages::Never);

fn main() {
    // The program's options come with its first request.
    let options: Vec<_> = bifold::options().collect();
    for option in options {
        let by = match option.source() {
            Source::Default => "default",
            Source::Program => "program",
            Source::Environment => "environment",
            Source::Call => "mallopt",
        };
        println!("{}={} ({by})", option.variable(), option.value());
    }
}
