//! The library exports what `tests/golden/symbols.txt` lists, no less and no
//! more: a missing function would be served by another malloc, and one too many
//! would get in the way of the program's own.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::Command;

use crate::support::{self, Program};

const GOLDEN: &str = include_str!("../golden/symbols.txt");

#[test]
fn the_library_exports_what_is_listed() {
    let Some(library) = support::library() else {
        println!("skipped: the list is bifold's");
        return;
    };
    if support::skips_on_long_pages("a door for tests is exported, too") {
        return;
    }
    let output = Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(library)
        .output()
        .expect("nm starts");
    assert!(output.status.success(), "nm: {}", output.status);
    let names = String::from_utf8(output.stdout).expect("names are ASCII");
    let found: BTreeSet<&str> = names
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    let differences = compare(&found, &GOLDEN.lines().collect());
    assert!(
        differences.is_empty(),
        "{} against tests/golden/symbols.txt:\n{differences}",
        library.display()
    );
}

/// A line for each name that only one side has.
fn compare(found: &BTreeSet<&str>, listed: &BTreeSet<&str>) -> String {
    let mut lines = String::new();
    for name in listed.difference(found) {
        writeln!(lines, "- {name} is listed, but not exported").expect("a string takes all");
    }
    for name in found.difference(listed) {
        writeln!(lines, "+ {name} is exported, but not listed").expect("a string takes all");
    }
    lines
}

/// The file's pages in a process: what the loader and the library write to is its own,
/// two pages of relocated addresses and one of data. Of the rest most is read at the
/// start or lies in the one window with what all programs run (`ffi/layout.ld`).
#[test]
fn a_process_has_few_of_the_library_s_pages() {
    let Some(library) = support::library() else {
        println!("skipped: the figures are bifold's");
        return;
    };
    let output = Program::new("/bin/cat").arg("/proc/self/smaps").run();
    output.assert_success();
    let name = library.file_name().and_then(|name| name.to_str());
    let name = name.expect("a name in ASCII");
    let (mut is_ours, mut found, mut own, mut all) = (false, false, 0, 0);
    for line in output.stdout.lines() {
        let mut words = line.split_whitespace();
        let word = words.next().unwrap_or("");
        if !word.ends_with(':') {
            is_ours = line.ends_with(name);
            found |= is_ours;
        } else if is_ours {
            let mut kib = || words.next().and_then(|word| word.parse::<u32>().ok());
            match word {
                "Anonymous:" => own += kib().expect("a number"),
                "Rss:" => all += kib().expect("a number"),
                _ => {}
            }
        }
    }
    assert!(found, "{name} is not mapped:\n{}", output.stdout);
    // What makes it hardened, all programs run too, beyond one window.
    let (most_own, most) = if support::is_hardened() {
        (16, 192)
    } else {
        (12, 112)
    };
    assert!(own <= most_own, "{own} KiB of {name}:\n{}", output.stdout);
    assert!(all <= most, "{all} KiB of {name}:\n{}", output.stdout);
}

#[test]
fn the_list_is_sorted_and_free_of_doubles() {
    let sorted: Vec<&str> = GOLDEN
        .lines()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    assert_eq!(GOLDEN.lines().collect::<Vec<_>>(), sorted);
}

#[test]
fn a_difference_is_shown_with_its_direction() {
    let differences = compare(&BTreeSet::from(["a", "b"]), &BTreeSet::from(["b", "c"]));
    let expected = "- c is listed, but not exported\n+ a is exported, but not listed\n";
    assert_eq!(differences, expected);
}
