//! What a Rust program asks for when it is built: `examples/options.rs`.

use crate::support::{Program, example};

fn assert_in_force(variables: &[(&str, &str)], expected: &[&str]) {
    let mut program = Program::new(example("options")).without_preload();
    for (name, value) in variables {
        program = program.env(name, value);
    }
    let output = program.run();
    output.assert_success();
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), bifold::options().len());
    let is_set = |line: &&str| !line.ends_with(" (default)");
    let set: Vec<&str> = lines.into_iter().filter(is_set).collect();
    assert_eq!(set, expected, "with {variables:?}");
}

#[test]
fn the_program_wins_over_the_default() {
    assert_in_force(
        &[],
        &[
            "BIFOLD_MMAP_MAX=1000 (program)",
            "BIFOLD_PURGE_DELAY=250ms (program)",
            "BIFOLD_THP=never (program)",
        ],
    );
}

#[test]
fn the_environment_wins_over_the_program() {
    assert_in_force(
        &[
            ("BIFOLD_PURGE_DELAY", "5s"),
            ("BIFOLD_SPARE", "2M"),
            ("MALLOC_MMAP_MAX_", "7"),
        ],
        &[
            "BIFOLD_MMAP_MAX=7 (environment)",
            "BIFOLD_SPARE=2M (environment)",
            "BIFOLD_PURGE_DELAY=5s (environment)",
            "BIFOLD_THP=never (program)",
        ],
    );
}

#[test]
fn a_bad_value_leaves_what_the_program_asks_for() {
    let program = Program::new(example("options")).without_preload();
    let output = program.env("BIFOLD_PURGE_DELAY", "soon").run();
    assert!(output.status.success(), "{}", output.describe());
    let line = "bifold: BIFOLD_PURGE_DELAY=soon: \
                not a time like 500ms or 2s, 10ms to 60min; using 250ms\n";
    assert_eq!(output.stderr, line);
    let in_force = "BIFOLD_PURGE_DELAY=250ms (program)\n";
    assert!(output.stdout.contains(in_force), "{}", output.describe());
}
