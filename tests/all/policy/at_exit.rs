//! Figures at the end of the process.

use std::process::Command;

use crate::support::{Program, library, machine_runs_the_library};

/// `ls` closes its standard error before it ends.
fn said(value: &str) -> Option<String> {
    library()?;
    if !machine_runs_the_library("policy::at_exit") {
        return None;
    }
    let output = Program::new("ls").arg("/").env("BIFOLD_STATS", value).run();
    assert!(output.status.success(), "{}", output.describe());
    Some(output.stderr)
}

#[test]
fn a_table() {
    let Some(said) = said("1") else {
        println!("skipped: the option is bifold's");
        return;
    };
    let first = said.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("bifold ") && first.contains(" in use"),
        "{said}"
    );
}

#[test]
fn json() {
    let Some(said) = said("json") else {
        println!("skipped: the option is bifold's");
        return;
    };
    let script = "import json, sys; json.loads(sys.argv[1])['blocks']['all']";
    let parsed = Command::new("python3").args(["-c", script, &said]).output();
    let parsed = parsed.expect("python3 starts");
    assert!(
        parsed.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&parsed.stderr)
    );
}

#[test]
fn nothing() {
    if let Some(said) = said("0") {
        assert_eq!(said, "");
    }
}
