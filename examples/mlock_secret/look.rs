//! What becomes of a key.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr;

use crate::common::figures::{self, Status};
use crate::common::map::{self, Mapping};
use crate::common::table::Table;
use crate::common::{Outcome, size, skip};
use crate::{KEY, Way, layout, no_heap, put, run};

/// The child that looks at a key: lines of a name, a tab, and what it saw; none
/// where the kernel locks nothing, of which the allocator says why.
pub fn child(way: Way) -> Outcome<()> {
    let start = Status::read()?.locked;
    let heap = way.heap().map_err(no_heap)?;
    let layout = layout(KEY.len())?;
    let Ok(key) = put(&heap, layout) else {
        return Ok(());
    };
    let address = key.addr().get();
    let tell = |name: &str, saw: String| println!("{name}\t{saw}");
    tell("VmLck at the start", size(start));
    tell("VmLck with a key", size(Status::read()?.locked));
    let page = mapping_of(address)?;
    tell("its mapping: resident", size(page.resident));
    tell("its mapping: locked", size(page.locked));
    tell("its mapping: VmFlags", page.flags.clone());
    let before = mapping_of(address / figures::page() * figures::page() - 1);
    // With nothing mapped there, the page is as good as a guard.
    let before = before.map_or("unmapped".to_owned(), |guard| guard.permissions);
    tell("the page before", before);
    tell("this process reads", show(&peek(address)?));
    tell("a forked child reads", show(&child_reads(address)?));
    let dumped = if page.has("dd") { "no" } else { "yes" };
    tell("in a core dump", dumped.to_owned());
    // SAFETY: the block is the heap's, with that layout.
    unsafe { heap.deallocate(key, layout) };
    // The start of a free block is the heap's, for its list.
    tell("freed: bytes 16 to 31", show(&peek(address)?[16..]));
    drop(heap);
    tell("VmLck without the heap", size(Status::read()?.locked));
    Ok(())
}

/// The mapping in which an address lies.
fn mapping_of(address: usize) -> Outcome<Mapping> {
    let mut mappings = map::read()?.into_iter();
    mappings
        .find(|mapping| mapping.range.contains(&address))
        .ok_or_else(|| format!("nothing is mapped at {address:#x}"))
}

/// Reads a key by way of /proc/self/mem.
fn peek(address: usize) -> Outcome<[u8; 32]> {
    const PATH: &str = "/proc/self/mem";
    let mut bytes = [0; 32];
    File::open(PATH)
        .and_then(|memory| memory.read_exact_at(&mut bytes, address as u64))
        .map_err(|error| format!("{PATH}: {error}"))?;
    Ok(bytes)
}

fn show(bytes: &[u8]) -> String {
    let shown = |&byte: &u8| match byte {
        b' '..=b'~' => byte as char,
        _ => '.',
    };
    bytes.iter().map(shown).collect()
}

/// Forks; the child reports what it reads at the address.
fn child_reads(address: usize) -> Outcome<Vec<u8>> {
    let failed = |error: io::Error| format!("a forked child: {error}");
    let (mut reader, writer) = io::pipe().map_err(failed)?;
    // SAFETY: the child only reads its memory, writes to a pipe, and ends.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(failed(io::Error::last_os_error())),
        // SAFETY: the block is there in the child, too.
        0 => unsafe {
            libc::write(
                writer.as_raw_fd(),
                ptr::with_exposed_provenance(address),
                32,
            );
            libc::_exit(0)
        },
        child => child,
    };
    drop(writer);
    let mut bytes = Vec::new();
    let read = reader.read_to_end(&mut bytes);
    // SAFETY: null is nowhere to store the status.
    unsafe { libc::waitpid(child, ptr::null_mut(), 0) };
    read.map_err(failed)?;
    Ok(bytes)
}

/// Looks at a key in a locked heap, and at one in an ordinary heap.
pub fn experiment() -> Outcome<()> {
    let (locked, complaint) = run(&["look", Way::AtOnce.argument()])?;
    if locked.is_empty() {
        skip("VmLck with a key", &complaint);
        return Ok(());
    }
    let (ordinary, _) = run(&["look", Way::Ordinary.argument()])?;
    let mut table = Table::new(["", "locked heap", "ordinary heap"]);
    for (locked, ordinary) in locked.lines().zip(ordinary.lines()) {
        let cells = locked.split('\t').chain(ordinary.split('\t').skip(1));
        table.row(cells.map(str::to_owned).collect());
    }
    table.print("A key in a heap");
    println!("\nlo: locked; dd: not in core dumps; wf: wiped in forked children");
    Ok(())
}
