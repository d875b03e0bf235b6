//! What `BIFOLD_VERBOSE=1` says at the start: who runs on bifold, with which
//! options, and what the kernel has granted.

use crate::options::{self, HugePages, Id, Lock, Source, Spec, TABLE};
use crate::os::{file, limits, process};
use crate::pages::{fresh, zone};
use crate::text::Text;

type Line = Text<256>;

fn say(fill: impl FnOnce(&mut Line)) {
    let mut line = Line::new();
    fill(&mut line);
    line.text("\n");
    process::write_stderr(line.bytes());
}

/// Says it all. The caller holds no lock.
pub(super) fn announce() {
    say(|line| {
        line.text(concat!(
            "bifold ",
            env!("CARGO_PKG_VERSION"),
            ": in use by "
        ));
        line.text(process::program_name());
    });
    for spec in TABLE {
        say(|line| option(line, spec));
    }
    #[cfg(feature = "hardened")]
    measures();
    granted();
}

/// `bifold: hardened: order canary zero`.
#[cfg(feature = "hardened")]
fn measures() {
    say(|line| {
        line.text("bifold: hardened:");
        for name in options::harden::in_force() {
            line.text(" ");
            line.text(name);
        }
    });
}

/// `bifold: BIFOLD_PURGE_DELAY=1s (default)`.
fn option(line: &mut Line, spec: &Spec) {
    line.text("bifold: BIFOLD_");
    line.capitals(spec.name);
    line.text("=");
    options::show(spec.kind, options::value(spec.id), line);
    line.text(match options::source(spec.id) {
        Source::Default => " (default)",
        Source::Program => " (program)",
        Source::Environment => "",
        Source::Call => " (mallopt)",
    });
}

fn granted() {
    let figures = zone::lock().figures();
    say(|line| {
        line.text("bifold: mapped ");
        line.size(figures.mapped);
        line.text(" for blocks and ");
        line.size(figures.metadata);
        line.text(" for metadata");
        if options::prefault() {
            line.text(", resident");
        }
    });
    for id in [Id::hugetlb_2m, Id::hugetlb_1g] {
        if options::value(id) > 0 {
            say(|line| {
                line.text("bifold: ");
                line.text(TABLE[id as usize].name);
                line.text(": got ");
                line.size(figures.pools[usize::from(id == Id::hugetlb_1g)]);
            });
        }
    }
    if options::lock() != Lock::No {
        say(|line| {
            line.text("bifold: RLIMIT_MEMLOCK is ");
            match limits::resource(libc::RLIMIT_MEMLOCK) {
                u64::MAX => line.text("unlimited"),
                limit => line.size(limit as usize),
            }
        });
    }
    if matches!(options::thp(), HugePages::Adaptive | HugePages::Always) {
        let mut buffer = [0; 64];
        let mode = file::read(fresh::HUGE_PAGE_MODE, &mut buffer).unwrap_or(b"unknown");
        say(|line| {
            line.text("bifold: the system's transparent huge pages: ");
            line.printable(mode.trim_ascii());
        });
    }
}
