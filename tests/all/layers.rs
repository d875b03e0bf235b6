//! Dependencies in `src/` point down only.
//!
//! Every path that starts with `crate::`, or leaves its own module by `super::`,
//! may name layers below the file's own. The scan works on tokens, not on
//! resolved names: comments and strings don't count, and a name that `lib.rs`
//! defines or re-exports counts as the top layer.

mod tokens;

use std::fs;
use std::path::Path;

use self::tokens::tokens;
use crate::measure::workspace;

/// The layers, from the top; modules of one line may use each other.
const LAYERS: [&[&str]; 6] = [
    &["global"],
    &["heap"],
    &["slab"],
    &["pages"],
    &[
        "options",
        "random",
        "size_class",
        "stats",
        "fatal",
        "text",
        "sync",
    ],
    &["os"],
];

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|layers| layers.contains(&layer))
}

/// Whether a file of layer `from` may name `to`. All of a layer's files may
/// name each other.
fn may_use(from: &str, to: &str) -> bool {
    match (rank(from), rank(to)) {
        (Some(from_rank), Some(to_rank)) => {
            let together = LAYERS[from_rank].contains(&to);
            together || to_rank > from_rank
        }
        _ => false,
    }
}

/// The module that a file below `src/` is: `heap/mod.rs` and `heap.rs` are both
/// `[heap]`, `lib.rs` is the root.
fn module_of(file: &str) -> Vec<String> {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    match path {
        "lib" => Vec::new(),
        _ => path.split('/').map(str::to_owned).collect(),
    }
}

/// The paths of a file that its layer may not name, one line each.
fn violations(file: &str, source: &str) -> Vec<String> {
    let own = module_of(file);
    let Some(layer) = own.first() else {
        return Vec::new();
    };
    if rank(layer).is_none() {
        return vec![format!("src/{file}: {layer} is not among the layers")];
    }
    let tokens = tokens(source);
    let word = |k: usize| tokens.get(k).map_or("", |(_, text)| text.as_str());
    // Inline modules around the present token, with the depth of their braces.
    let mut inline: Vec<usize> = Vec::new();
    let mut depth = 0;
    let mut found = Vec::new();
    for k in 0..tokens.len() {
        match word(k) {
            "{" => {
                depth += 1;
                if k >= 2 && word(k - 2) == "mod" {
                    inline.push(depth);
                }
            }
            "}" => {
                if inline.last() == Some(&depth) {
                    inline.pop();
                }
                depth -= 1;
            }
            _ => {}
        }
        // How many modules the path goes up, and where its first name stands.
        let (up, first) = match word(k) {
            "crate" if word(k + 1) == "::" => (usize::MAX, k + 2),
            "super" if word(k + 1) == "::" && !continues_path(&tokens, k) => {
                let mut first = k + 2;
                let mut up = 1;
                while word(first) == "super" && word(first + 1) == "::" {
                    (first, up) = (first + 2, up + 1);
                }
                (up, first)
            }
            _ => continue,
        };
        if up < own.len() + inline.len() {
            continue;
        }
        for name in first_names(&tokens, first) {
            if !may_use(layer, &name) {
                let line = tokens[k].0;
                found.push(format!("src/{file}:{line}: {layer} names {name}"));
            }
        }
    }
    found
}

/// Whether the token is preceded by `super::`, so that the path is being looked
/// at already.
fn continues_path(tokens: &[(usize, String)], k: usize) -> bool {
    k >= 2 && tokens[k - 1].1 == "::" && tokens[k - 2].1 == "super"
}

/// The names at the root that a path goes on with: one, or those of a group.
fn first_names(tokens: &[(usize, String)], first: usize) -> Vec<String> {
    let word = |k: usize| tokens.get(k).map_or("", |(_, text)| text.as_str());
    if word(first) != "{" {
        return vec![word(first).to_owned()];
    }
    let mut names = Vec::new();
    let (mut k, mut depth) = (first + 1, 1);
    let mut at_start = true;
    while k < tokens.len() && depth > 0 {
        match word(k) {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," => at_start = at_start || depth == 1,
            name if at_start => {
                names.push(name.to_owned());
                at_start = false;
            }
            _ => {}
        }
        k += 1;
    }
    names
}

fn scan(directory: &Path, below: &str, found: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(directory)
        .expect("src/ is readable")
        .map(|entry| entry.expect("src/ is readable").path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().expect("an entry has a name");
        let file = format!("{below}{}", name.display());
        if path.is_dir() {
            scan(&path, &format!("{file}/"), found);
        } else if file.ends_with(".rs") {
            let source = fs::read_to_string(&path).expect("sources are UTF-8");
            found.extend(violations(&file, &source));
        }
    }
}

#[test]
fn dependencies_point_down() {
    let mut found = Vec::new();
    scan(&workspace().join("src"), "", &mut found);
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_path_that_points_up_is_caught() {
    for (file, line) in [
        ("slab/mod.rs", "use crate::heap::Heap;"),
        ("slab/list.rs", "let h = crate::heap::current();"),
        ("pages/buddy.rs", "use crate::{os, slab::{Slab, list}};"),
        (
            "pages/buddy.rs",
            "use crate::{\n    os::map,\n    global,\n};",
        ),
        ("pages/buddy.rs", "use super::super::heap;"),
        ("pages/mod.rs", "fn f() { super::heap::f() }"),
        ("stats.rs", "use super::pages;"),
        ("os/slot.rs", "use crate::fatal::die;"),
        ("pages/mod.rs", "mod tests { use super::super::slab; }"),
        ("heap/mod.rs", "use crate::*;"),
        ("heap/mod.rs", "use crate::Bifold;"),
        ("sync/lock.rs", "impl Trait for crate :: pages :: Run {}"),
        ("shortcut.rs", ""),
    ] {
        assert_eq!(violations(file, line).len(), 1, "{file}: {line}");
    }
}

#[test]
fn a_path_that_points_down_or_stays_is_not() {
    for (file, line) in [
        ("lib.rs", "pub use crate::global::Bifold;"),
        (
            "heap/mod.rs",
            "use crate::{os, pages::{Run, self}, size_class::SizeClass};",
        ),
        ("heap/remote.rs", "use super::Heap; use crate::heap::local;"),
        (
            "slab/mod.rs",
            "mod tests { use super::*; } use crate::pages;",
        ),
        (
            "slab/list.rs",
            "mod tests { mod deep { use super::super::Slab; } }",
        ),
        ("stats.rs", "use crate::fatal; use super::os;"),
        (
            "pages/mod.rs",
            "//! See `crate::heap`.\n/* crate::slab /* */ super::heap */",
        ),
        (
            "pages/mod.rs",
            r##"let s = ("crate::heap", r#"crate::"slab"#, '"', '\'');"##,
        ),
        (
            "pages/mod.rs",
            "pub(crate) fn f<'a>(x: &'a str) -> &'a str { x }",
        ),
        ("pages/mod.rs", "pub(super) fn f() {}"),
    ] {
        let none: [String; 0] = [];
        assert_eq!(violations(file, line), none, "{file}: {line}");
    }
}

#[test]
fn a_violation_is_told_with_its_line() {
    let source = "//! The slab.\n\nuse crate::{\n    os,\n};\nuse crate::heap;\n";
    let told = violations("slab/mod.rs", source);
    assert_eq!(told, ["src/slab/mod.rs:6: slab names heap"]);
}
