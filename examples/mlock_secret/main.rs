//! Keys in a locked heap: what becomes of them, how many there is room for, and
//! what they cost.
//!
//! ```text
//! cargo run --release --example mlock_secret
//! ```
//!
//! A child puts a key of 32 bytes in a locked heap and another in an ordinary
//! one: what the kernel says of its page (`lo`: locked; `dd`: not in core dumps;
//! `wf`: wiped in forked children), what lies before it, what a forked child reads
//! there, and what is left when it is freed, read by way of /proc/self/mem as a
//! debugger would.
//!
//! Further children allocate keys until they are refused, in a heap that locks
//! at once and in one that locks on fault, under limits on locked memory
//! (`ulimit -l`, `RLIMIT_MEMLOCK`). Each sets its limit itself, and gives up the
//! right to exceed it, which root has. A key of 32 bytes has a block of that
//! length or a longer one, of which nothing else is touched. Then one key is
//! freed, and another asked for.
//!
//! The plot: what is locked (`VmLck`) and what of that is resident over the
//! number of keys, up to the refusal. Pages are locked one by one as blocks are
//! carved from them, and so short keys use up the limit to the last page. Locked
//! on fault, a page counts from the start and is resident once it is touched,
//! which shows in blocks that are longer than a page.
//!
//! The time of a key is that of one that is allocated and freed again and again,
//! and that of making a heap, filling it, emptying it and dropping it, for each
//! key in it: there the system calls are, for slabs and for pages.
//!
//! Manual pages: mlock(2), madvise(2) (`MADV_DONTDUMP`, `MADV_WIPEONFORK`),
//! getrlimit(2), capabilities(7), proc_pid_smaps(5).

#[path = "../common/mod.rs"]
mod common;
mod fill;
mod look;
mod time;

use std::alloc::Layout;
use std::process::ExitCode;
use std::ptr::NonNull;

use bifold::{AllocError, Heap};
use clap::{Parser, Subcommand, ValueEnum};

use common::{Options, Outcome, children, machine, plot};

#[global_allocator]
static ALLOCATOR: bifold::Bifold = bifold::Bifold::new();

/// Shows what becomes of keys in a locked heap, how many it has room for, and
/// what they cost.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    child: Option<Child>,
}

#[derive(Subcommand)]
enum Child {
    #[command(hide = true)]
    Look { way: Way },
    #[command(hide = true)]
    Fill {
        way: Way,
        /// The length of a block, and the limit, in bytes
        block: usize,
        limit: usize,
    },
    #[command(hide = true)]
    Time { way: Way, rounds: u32 },
}

/// What a heap does to its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    Ordinary,
    AtOnce,
    OnFault,
}

impl Way {
    fn name(self) -> String {
        self.argument().replace('-', " ")
    }

    /// What a child takes for it.
    fn argument(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::AtOnce => "at-once",
            Self::OnFault => "on-fault",
        }
    }

    fn heap(self) -> Result<Heap, AllocError> {
        let builder = Heap::builder();
        match self {
            Self::Ordinary => builder,
            Self::AtOnce => builder.locked(),
            Self::OnFault => builder.locked_on_fault(),
        }
        .build()
    }
}

const KEY: &[u8; 32] = b"correct horse battery staple 42!";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    common::end(match arguments.child {
        Some(Child::Look { way }) => look::child(way),
        Some(Child::Fill { way, block, limit }) => fill::child(way, block, limit),
        Some(Child::Time { way, rounds }) => time::child(way, rounds),
        None => experiment(&arguments.options),
    })
}

/// A block with a key at its start.
fn put(heap: &Heap, layout: Layout) -> Result<NonNull<u8>, AllocError> {
    let block = heap.allocate(layout)?;
    // SAFETY: the block is at least as long as a key, and nobody else has it.
    unsafe { NonNull::from(KEY).cast::<u8>().copy_to(block, KEY.len()) };
    Ok(block)
}

fn layout(bytes: usize) -> Outcome<Layout> {
    Layout::from_size_align(bytes.max(KEY.len()), 16).map_err(|error| error.to_string())
}

fn no_heap(_: AllocError) -> String {
    "no memory for a heap".to_owned()
}

fn experiment(options: &Options) -> Outcome<()> {
    println!("{}", machine::line());
    look::experiment()?;
    let panels = fill::experiment(options)?;
    time::experiment(options.or_quick(1_000_000, 10_000))?;
    let title = "Keys in a locked heap, up to the limit";
    plot::write(options, "mlock_secret", title, &panels)
}

/// Runs a child. Returns what it wrote, and the lines on its standard error.
fn run(arguments: &[&str]) -> Outcome<(String, String)> {
    let finished = children::finished_of(children::again(arguments, &[], None)?)?;
    let lines: Vec<_> = finished.stderr.lines().collect();
    Ok((finished.text(), lines.join(" | ")))
}
