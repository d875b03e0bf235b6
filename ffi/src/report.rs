//! malloc_stats and malloc_info: figures for people and for programs.
//!
//! References: malloc_stats(3), malloc_info(3).

use core::ffi::c_int;

use crate::inner::{self, Figures, SizeClass, Text};

/// Writes a table of figures over all threads to standard error.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_stats() {
    let figures = inner::figures();
    let mut text = Text::<1024>::new();
    text.text(concat!("bifold ", env!("CARGO_PKG_VERSION"), "\n"));
    for (name, bytes) in totals(&figures) {
        text.text("  ");
        text.text(name);
        for _ in name.len()..24 {
            text.text(" ");
        }
        text.column(bytes, 16);
        text.text("\n");
    }
    inner::write_stderr(text.bytes());
}

fn totals(figures: &Figures) -> [(&'static str, usize); 11] {
    [
        ("in use bytes", figures.in_use()),
        ("in slabs bytes", figures.slab_live),
        ("in runs bytes", figures.run_live),
        ("in mappings bytes", figures.large.live),
        ("mappings", figures.large.blocks),
        ("kept mappings bytes", figures.large.kept),
        ("mapped bytes", figures.zone.mapped),
        ("most mapped bytes", figures.zone.peak_mapped),
        ("free dirty bytes", figures.zone.free - figures.zone.clean),
        ("metadata bytes", figures.zone.metadata),
        ("heaps", figures.heaps),
    ]
}

/// Writes figures over all threads as XML to a stream. Returns 0, or -1 with
/// `errno` for options other than 0 or a stream that fails.
///
/// # Safety
///
/// `stream` is an open stdio stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_info(options: c_int, stream: *mut libc::FILE) -> c_int {
    if options != 0 {
        inner::set_errno(libc::EINVAL);
        return -1;
    }
    let figures = inner::figures();
    let mut done = true;
    // SAFETY: the text's bytes are valid, and the stream by the caller's
    // promise.
    let mut write = |text: &[u8]| unsafe {
        done &= libc::fwrite(text.as_ptr().cast(), 1, text.len(), stream) == text.len();
    };
    write(b"<malloc version=\"bifold-");
    write(env!("CARGO_PKG_VERSION").as_bytes());
    write(b"\">\n<sizes>\n");
    for class in SizeClass::all() {
        let (slabs, live) = (figures.slabs[class.index()], figures.live[class.index()]);
        if slabs > 0 {
            let mut line = Text::<160>::new();
            attribute(&mut line, "<size block", class.size());
            attribute(&mut line, "\" live", live);
            attribute(&mut line, "\" slabs", slabs);
            line.text("\"/>\n");
            write(line.bytes());
        }
    }
    write(b"</sizes>\n");
    for (name, figure) in totals(&figures) {
        let mut line = Text::<160>::new();
        line.text("<total type=\"");
        line.text(name);
        attribute(&mut line, "\" size", figure);
        line.text("\"/>\n");
        write(line.bytes());
    }
    write(b"</malloc>\n");
    if done { 0 } else { -1 }
}

fn attribute(line: &mut Text<160>, name: &str, value: usize) {
    line.text(name);
    line.text("=\"");
    line.decimal(value);
}
