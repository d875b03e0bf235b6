//! `SECURITY.md` names tests that exist.

use std::fs;

use crate::measure::workspace;
use crate::support::this_test;

/// The names in backquotes that are paths of tests.
fn named_tests(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let mut names: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| promise"))
        .filter_map(|line| line.trim_end_matches('|').rsplit(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    names.extend(quoted.filter(|name| name.contains("::") && !name.contains([' ', '\n'])));
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn every_test_that_is_named_exists() {
    let text = fs::read_to_string(workspace().join("SECURITY.md")).expect("it is there");
    let list = this_test()
        .args(["--list", "--format=terse"])
        .output()
        .expect("the test binary starts");
    let list = String::from_utf8(list.stdout).expect("names are UTF-8");
    let names = named_tests(&text);
    assert!(names.len() > 30, "only {} names", names.len());
    let missing: Vec<&str> = names
        .into_iter()
        .filter(|name| !list.lines().any(|test| test.starts_with(name)))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

#[test]
fn names_are_found_in_tables_and_in_the_text() {
    let text = "| promise | tests |\n| `free` of it | `a::b`, `shadow` |\nsee `c::d` and `e`\n";
    assert_eq!(named_tests(text), ["a::b", "c::d", "shadow"]);
}
