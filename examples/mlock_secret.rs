//! A key in a locked heap: what the kernel says of its page, what a forked child
//! reads there, what a core dump has of it, and what is left when it is freed.
//!
//! ```text
//! cargo run --release --example mlock_secret
//! ```

use std::alloc::Layout;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::{error, fs};

use bifold::Heap;

const KEY: &[u8; 32] = b"correct horse battery staple 42!";

/// The KiB that the process has locked, from /proc/self/status.
fn locked() -> io::Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    Ok(line.unwrap_or("?").trim().to_owned())
}

/// What /proc/self/smaps has of the mapping in which an address lies: a line of
/// its figures for each name.
fn mapping(address: usize, names: &[&str]) -> io::Result<Vec<String>> {
    let smaps = fs::read_to_string("/proc/self/smaps")?;
    let range = |line: &str| {
        let (from, rest) = line.split_once('-')?;
        let to = rest.split(' ').next()?;
        let number = |hex| usize::from_str_radix(hex, 16).ok();
        Some(number(from)?..number(to)?)
    };
    let mut lines = Vec::new();
    let mut is_inside = false;
    for line in smaps.lines() {
        if let Some(range) = range(line) {
            is_inside = range.contains(&address);
            if is_inside {
                lines.push(line.trim_end().to_owned());
            }
        } else if is_inside && names.iter().any(|name| line.starts_with(name)) {
            lines.push(line.trim_end().to_owned());
        }
    }
    Ok(lines)
}

/// Reads a key by way of /proc/self/mem, as a debugger would.
fn peek(address: usize) -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    fs::File::open("/proc/self/mem")?.read_exact_at(&mut bytes, address as u64)?;
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
fn child_reads(address: usize) -> io::Result<Vec<u8>> {
    let (mut reader, writer) = io::pipe()?;
    // SAFETY: the child only reads its memory, writes to a pipe, and ends.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            use std::os::fd::AsRawFd;
            // SAFETY: the block is there in the child, too.
            unsafe {
                libc::write(writer.as_raw_fd(), address as *const libc::c_void, 32);
                libc::_exit(0)
            }
        }
        _ => drop(writer),
    }
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    // SAFETY: null is nowhere to store the status.
    unsafe { libc::wait(std::ptr::null_mut()) };
    Ok(bytes)
}

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("VmLck at the start:        {}", locked()?);
    let heap = Heap::builder().locked().build()?;
    let layout = Layout::new::<[u8; 32]>();
    let key = heap.allocate(layout)?;
    // SAFETY: the block is that long.
    unsafe { NonNull::from(KEY).cast::<u8>().copy_to(key, KEY.len()) };
    let address = key.addr().get();
    println!("VmLck with a key:          {}", locked()?);
    println!("its page, by /proc/self/smaps:");
    for line in mapping(address, &["Rss:", "Locked:", "VmFlags:"])? {
        println!("    {line}");
    }
    println!("    (lo: locked; dd: not in core dumps; wf: wiped in forked children)");
    println!("the page before it is a guard:");
    for line in mapping(address / 4096 * 4096 - 1, &[])? {
        println!("    {line}");
    }
    println!("this process reads:        {}", show(&peek(address)?));
    println!(
        "a forked child reads:      {}",
        show(&child_reads(address)?)
    );
    let flags = mapping(address, &["VmFlags:"])?.concat();
    let is_dumped = !flags.contains(" dd");
    println!(
        "a core dump would have it: {}",
        if is_dumped { "yes" } else { "no" }
    );

    // SAFETY: the block is the heap's, with that layout.
    unsafe { heap.deallocate(key, layout) };
    let rest = &peek(address)?[16..];
    println!("freed, behind the links:   {}", show(rest));
    drop(heap);
    println!("VmLck without the heap:    {}", locked()?);
    Ok(())
}
