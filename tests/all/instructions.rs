//! The fast paths take no more instructions than `tests/golden/instructions.txt`
//! records: in a program, by callgrind, and in the listing, whole functions.
//!
//! `BIFOLD_BLESS=1` records the present figures. They depend on the compiler, so
//! a new one may call for it.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::measure::callgrind::{self, PATTERNS};
use crate::measure::listing::Listing;
use crate::measure::workspace;
use crate::rig::{assert_met, rig};
use crate::support;

/// By how much a pattern's figure may exceed the recorded one: where two threads
/// run, each may find what the other has done a little earlier or later. A path is
/// what it is.
const TOLERANCE: f64 = 0.5;

fn tolerance(row: &str) -> f64 {
    if row.starts_with("path of ") {
        0.0
    } else {
        TOLERANCE
    }
}

/// Functions whose hit paths are recorded.
const FUNCTIONS: [&str; 4] = ["malloc", "free", "free_sized", "malloc_usable_size"];

type Row = (String, f64);

#[test]
fn the_fast_paths_take_no_more_instructions_than_recorded() {
    let Some(library) = counted() else { return };
    let listing = Listing::of(library).unwrap_or_else(|failure| panic!("{failure}"));
    let mut rows: Vec<Row> = FUNCTIONS
        .map(|function| {
            let count = listing
                .hit_path(function)
                .unwrap_or_else(|failure| panic!("{failure}"));
            (format!("path of {function}"), f64::from(count))
        })
        .into();
    let is_blessed = std::env::var_os("BIFOLD_BLESS").is_some_and(|value| value == "1");
    let golden = fs::read_to_string(golden_file()).unwrap_or_else(|error| {
        assert!(is_blessed, "{}: {error}", golden_file().display());
        String::new()
    });
    let recorded = parse_rows(&golden);
    if callgrind::is_available() {
        rows.extend(PATTERNS.iter().map(|pattern| {
            let count = callgrind::count(&rig(), pattern);
            let count = count.unwrap_or_else(|failure| panic!("{failure}"));
            (pattern.name.to_owned(), count)
        }));
    } else {
        println!("skipped: valgrind not installed");
    }
    if is_blessed {
        assert!(
            callgrind::is_available(),
            "without valgrind rows are missing"
        );
        fs::write(golden_file(), format_rows(&rows)).expect("the golden file is writable");
        return;
    }
    let worse = excess(&rows, &recorded);
    assert!(
        worse.is_empty(),
        "more instructions than recorded (BIFOLD_BLESS=1 records these):\n{}",
        worse.join("\n")
    );
}

#[test]
fn whole_functions_stay_below_their_bars() {
    let Some(library) = counted() else { return };
    assert_met(Listing::of(library).and_then(|listing| listing.bars()));
}

/// The library, where its instructions are those that are recorded.
fn counted() -> Option<&'static Path> {
    if support::is_hardened() {
        println!("skipped: a hardened build has no fast paths");
        return None;
    }
    if !cfg!(target_arch = "x86_64") {
        println!("skipped: the figures are those of x86-64");
        return None;
    }
    let library = support::library();
    if library.is_none() {
        println!("skipped: the figures are bifold's");
    }
    library
}

fn golden_file() -> PathBuf {
    workspace().join("tests/golden/instructions.txt")
}

fn format_rows(rows: &[Row]) -> String {
    rows.iter().fold(String::new(), |mut text, (name, figure)| {
        writeln!(text, "{name}\t{figure:.1}").expect("a string takes all");
        text
    })
}

fn parse_rows(text: &str) -> Vec<Row> {
    text.lines()
        .map(|line| {
            line.split_once('\t')
                .and_then(|(name, figure)| Some((name.to_owned(), figure.parse().ok()?)))
                .unwrap_or_else(|| panic!("golden line {line:?} is not NAME<TAB>FIGURE"))
        })
        .collect()
}

/// The rows that are worse than recorded, or not recorded at all.
fn excess(rows: &[Row], golden: &[Row]) -> Vec<String> {
    rows.iter()
        .filter_map(|(name, figure)| {
            let recorded = golden.iter().find(|(known, _)| known == name);
            match recorded {
                None => Some(format!("{name}: {figure:.1}, not recorded")),
                Some((_, most)) if *figure > most + tolerance(name) => {
                    Some(format!("{name}: {figure:.1}, recorded {most:.1}"))
                }
                Some(_) => None,
            }
        })
        .collect()
}

#[test]
fn only_a_worse_figure_is_reported() {
    let golden = parse_rows("pair\t50.0\nsmall\t64.0\n");
    let row = |name: &str, figure| (name.to_owned(), figure);
    let none: [String; 0] = [];
    assert_eq!(
        excess(&[row("pair", 50.4), row("small", 10.0)], &golden),
        none
    );
    assert_eq!(excess(&[row("pair", 50.6)], &golden).len(), 1);
    assert_eq!(excess(&[row("new", 1.0)], &golden).len(), 1);
    assert_eq!(parse_rows(&format_rows(&golden)), golden);
}

#[test]
fn a_hit_path_falls_through_where_that_stays_in_the_function() {
    let code = "\
0000000000001000 <free>:
    1000:\tendbr64
    1004:\tcmp    %rdi,%rsi
    1007:\tje     2000 <cold>
    1009:\tjmp    1020 <free+0x20>
    100b:\tnop
    1020:\tmov    %rax,(%rdi)
    1023:\trepz ret
0000000000001030 <malloc>:
    1030:\tcall   2000 <cold>
    1035:\tret
0000000000001040 <calloc>:
    1040:\tbnd jmp *0x2fca(%rip)        # 3fe0 <calloc@plt>
0000000000001050 <realloc>:
    1050:\tnop
    1051:\tjmp    1050 <realloc+0x0>
0000000000001060 <memalign>:
    1060:\tcmp    $0x400,%rdi
    1064:\tjbe    1070 <memalign+0x10>
    1066:\ttest   %rdi,%rdi
    1068:\tjne    106b <memalign+0xb>
    1069:\tjmp    2000 <cold>
    106b:\tcall   2000 <cold>
    106f:\tret
    1070:\tmov    (%rdi),%rax
    1073:\tret
";
    let names = "\
0000000000001000 T free
0000000000001030 T malloc
0000000000001040 T calloc
0000000000001050 T realloc@@V1
0000000000001060 T memalign
";
    let listing = Listing::parse(code, names);
    assert_eq!(listing.hit_path("free"), Ok(6));
    assert_eq!(listing.hit_path("memalign"), Ok(4));
    for (function, failure) in [
        ("malloc", "has a call"),
        ("calloc", "goes on elsewhere"),
        ("realloc", "does not end"),
        ("cfree", "not among"),
    ] {
        let told = listing.hit_path(function).expect_err(function);
        assert!(told.contains(failure), "{told}");
    }
}
