//! Where system calls can fail, by the source: each call of `point`, and each call
//! of a function that hands its caller's place on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::measure::workspace;

/// What stands before a function that hands its caller's place on.
const HANDS_ON: &str = "#[cfg_attr(bifold_faults, track_caller)]";

/// What only a hardened build has: the library with the seam is none.
const HARDENED: [&str; 4] = [
    "src/heap/hardened/",
    "src/pages/fence.rs",
    "src/pages/large/fenced.rs",
    "src/random.rs",
];

/// A function that hands its caller's place on: its module's name, and its own.
type Tracked = (String, String);

/// A source file without its tests: its path from the workspace, and its lines.
type Source = (String, Vec<String>);

/// All places, as `src/FILE:LINE`.
pub fn all() -> BTreeSet<String> {
    let mut sources = Vec::new();
    read(&workspace(), "src", &mut sources);
    let tracked: Vec<Tracked> = sources.iter().flat_map(tracked_in).collect();
    assert!(tracked.len() > 5, "{tracked:?}");
    let places: BTreeSet<String> = sources
        .iter()
        .filter(|(path, _)| !HARDENED.iter().any(|of| path.starts_with(of)))
        .flat_map(|source| places_in(source, &tracked))
        .collect();
    assert!(places.len() > 50, "{places:?}");
    places
}

fn read(root: &Path, directory: &str, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(root.join(directory)).expect("src/ is readable") {
        let name = entry.expect("src/ is readable").file_name();
        let path = format!("{directory}/{}", name.display());
        if root.join(&path).is_dir() {
            read(root, &path, sources);
        } else if path.ends_with(".rs") && !path.ends_with("os/fault.rs") {
            let text = fs::read_to_string(root.join(&path)).expect("sources are UTF-8");
            let text = text.split("#[cfg(test)]\nmod tests {").next();
            let lines = text.unwrap_or_default().lines().map(str::to_owned);
            sources.push((path, lines.collect()));
        }
    }
}

/// `src/pages/large/kept.rs` is `kept`.
fn module_of(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".rs").unwrap_or(name)
}

/// The name of the function whose head a line is.
fn head(line: &str) -> Option<&str> {
    let words = line.trim_start().split("fn ");
    let before = words.clone().next()?;
    let is_head = ["", "pub ", "unsafe ", "pub unsafe ", "const ", "pub const "].contains(&before)
        || before.starts_with("pub(")
        || before.starts_with("extern ")
        || before.contains("extern \"C\" ");
    let rest = words.clone().nth(1).filter(|_| is_head)?;
    rest.split(['(', '<']).next()
}

fn tracked_in((path, lines): &Source) -> Vec<Tracked> {
    let mut tracked = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        if line.trim() == HANDS_ON {
            let name = lines[i..].iter().find_map(|line| head(line));
            let name = name.expect("an attribute stands before a function");
            tracked.push((module_of(path).to_owned(), name.to_owned()));
        }
    }
    tracked
}

fn places_in((path, lines): &Source, tracked: &[Tracked]) -> Vec<String> {
    let module = module_of(path);
    let (mut places, mut hands_on) = (Vec::new(), false);
    for (i, line) in lines.iter().enumerate() {
        if let Some(name) = head(line) {
            hands_on = tracked.contains(&(module.to_owned(), name.to_owned()));
            continue;
        }
        let code = line.split("//").next().unwrap_or_default();
        let is_place = calls(code, "point") && code.contains("point(Kind::")
            || tracked.iter().any(|(of, name)| {
                calls(code, &format!("{of}::{name}")) || of == module && calls(code, name)
            });
        if is_place && !hands_on {
            places.push(format!("{path}:{}", i + 1));
        }
    }
    places
}

/// Whether a line calls a function by this name, and not by a longer one.
fn calls(code: &str, name: &str) -> bool {
    let call = format!("{name}(");
    code.match_indices(&call).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_:.".contains(c))
    })
}

#[test]
fn places_are_found_by_what_they_call() {
    let source = |path: &str, text: &str| -> Source {
        (path.to_owned(), text.lines().map(str::to_owned).collect())
    };
    let low = source(
        "src/os/memory.rs",
        "#[cfg_attr(bifold_faults, track_caller)]\n\
         pub unsafe fn unmap(address: usize) {\n    point(Kind::Unmap, || 1);\n}\n\
         fn other() {\n    unmap(1);\n    point(Kind::Map, || 2);\n}\n",
    );
    let high = source(
        "src/pages/zone.rs",
        "fn f(&self) {\n    self.unmap(1);\n    memory::unmap(2);\n    // memory::unmap(3)\n}\n",
    );
    let tracked = tracked_in(&low);
    assert_eq!(tracked, [("memory".to_owned(), "unmap".to_owned())]);
    let low = places_in(&low, &tracked);
    assert_eq!(low, ["src/os/memory.rs:6", "src/os/memory.rs:7"]);
    assert_eq!(places_in(&high, &tracked), ["src/pages/zone.rs:3"]);
}
