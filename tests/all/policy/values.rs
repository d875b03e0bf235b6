//! Values in the environment, good and bad, and what is said of them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::support::{Output, Program, library, machine_runs_the_library};

/// Runs a program that does nothing under these variables; `None` where it would
/// not be on bifold.
fn run(variables: &[(&str, &[u8])]) -> Option<Output> {
    if library().is_none() {
        println!("skipped: the options are bifold's");
        return None;
    }
    let silent = Program::c("api_names").arg("every_function_is_exported");
    let program = variables.iter().fold(silent, |program, (name, value)| {
        program.env(name, OsStr::from_bytes(value))
    });
    let output = program.run();
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{}",
        output.describe()
    );
    Some(output)
}

#[test]
fn good_values_are_in_force() {
    for (name, value, shown) in [
        ("BIFOLD_GROWTH", "65536", "GROWTH=64K"),
        ("BIFOLD_GROWTH", "64k", "GROWTH=64K"),
        ("BIFOLD_GROWTH", "64KiB", "GROWTH=64K"),
        ("BIFOLD_GROWTH", "65537", "GROWTH=65537"),
        ("BIFOLD_GROWTH", "4G", "GROWTH=4G"),
        ("BIFOLD_LIMIT", "any", "LIMIT=any"),
        ("BIFOLD_LIMIT", "3T", "LIMIT=3T"),
        ("BIFOLD_PURGE_DELAY", "90s", "PURGE_DELAY=90s"),
        ("BIFOLD_PURGE_DELAY", "120s", "PURGE_DELAY=2min"),
        ("BIFOLD_PURGE_DELAY", "60min", "PURGE_DELAY=60min"),
        ("BIFOLD_PURGE", "NEVER", "PURGE=never"),
        ("BIFOLD_PREFAULT", "yes", "PREFAULT=1"),
        ("BIFOLD_PREFAULT", "off", "PREFAULT=0"),
        ("BIFOLD_THP", "system", "THP=system"),
        ("BIFOLD_MMAP_MAX", "0", "MMAP_MAX=0"),
        ("MALLOC_ARENA_MAX", "3", "ARENA_MAX=3"),
        ("MALLOC_PERTURB_", "0x15a", "PERTURB=90"),
        ("MALLOC_TRIM_THRESHOLD_", "-1", "PURGE=never"),
        ("GLIBC_TUNABLES", "glibc.malloc.arena_max=2", "ARENA_MAX=2"),
    ] {
        let variables = [("BIFOLD_VERBOSE", &b"1"[..]), (name, value.as_bytes())];
        let Some(output) = run(&variables) else {
            return;
        };
        let expected = format!("bifold: BIFOLD_{shown}");
        assert!(
            output.stderr.lines().any(|line| line == expected),
            "{name}={value}: {}",
            output.describe()
        );
    }
}

/// Each bad value has one line, and the program runs on with the default.
#[test]
fn bad_values_are_told() {
    const FLAG: &str = "0 or 1; using 0";
    const GROWTH: &str = "a size like 512K or 64M, 0 to 4G; using 0";
    const LIMIT: &str = "a size like 512K, 64M or 50%, 1M to any; using any";
    const DELAY: &str = "a time like 500ms or 2s, 10ms to 60min; using 1s";
    const PERTURB: &str = "a number, 0 to 255; using 0";
    const PURGE: &str = "delayed, now or never; using delayed";
    const LOCK: &str = "0, 1 or on-fault; using 0";
    let long = "9".repeat(5000);
    let overflow = (u128::from(u64::MAX) + 1).to_string();
    for (name, value, expected) in [
        ("BIFOLD_PREFAULT", "2", FLAG),
        ("BIFOLD_PREFAULT", "", FLAG),
        ("BIFOLD_GROWTH", "", GROWTH),
        ("BIFOLD_GROWTH", "-1", GROWTH),
        ("BIFOLD_GROWTH", " 1M", GROWTH),
        ("BIFOLD_GROWTH", "1M ", GROWTH),
        ("BIFOLD_GROWTH", "1 M", GROWTH),
        ("BIFOLD_GROWTH", "many", GROWTH),
        ("BIFOLD_GROWTH", "1X", GROWTH),
        ("BIFOLD_GROWTH", "5G", GROWTH),
        ("BIFOLD_GROWTH", &overflow, GROWTH),
        ("BIFOLD_GROWTH", "99999999T", GROWTH),
        ("BIFOLD_GROWTH", &long, GROWTH),
        ("BIFOLD_GROWTH", "10%", GROWTH),
        ("BIFOLD_LIMIT", "101%", LIMIT),
        ("BIFOLD_LIMIT", "-1%", LIMIT),
        ("BIFOLD_LIMIT", "0", LIMIT),
        ("BIFOLD_LIMIT", "1023K", LIMIT),
        ("BIFOLD_PURGE_DELAY", "1", DELAY),
        ("BIFOLD_PURGE_DELAY", "5ms", DELAY),
        ("BIFOLD_PURGE_DELAY", "2h", DELAY),
        ("BIFOLD_PURGE_DELAY", "2 s", DELAY),
        ("BIFOLD_PERTURB", "256", PERTURB),
        ("BIFOLD_PERTURB", "0x10", PERTURB),
        ("BIFOLD_PURGE", "sometimes", PURGE),
        ("BIFOLD_PURGE", "", PURGE),
        ("BIFOLD_LOCK", "2", LOCK),
    ] {
        let Some(output) = run(&[(name, value.as_bytes())]) else {
            return;
        };
        let shown = &value[..value.len().min(60)];
        let expected = format!("bifold: {name}={shown}: not {expected}\n");
        assert_eq!(output.stderr, expected);
    }
}

#[test]
fn what_cannot_be_shown_is_replaced() {
    let Some(output) = run(&[("BIFOLD_GROWTH", b"\xff\x1b[1m\n1")]) else {
        return;
    };
    let expected = "bifold: BIFOLD_GROWTH=??[1m?1: not a size like 512K or 64M, 0 to 4G; using 0\n";
    assert_eq!(output.stderr, expected);
}

#[test]
fn unknown_names_are_told() {
    for name in ["BIFOLD_FOO", "BIFOLD_", "BIFOLD_GROWTHS", "BIFOLD_growth"] {
        let Some(output) = run(&[(name, b"1")]) else {
            return;
        };
        assert_eq!(output.stderr, format!("bifold: {name}=1: no such option\n"));
    }
    // Others' names are not bifold's business, nor are bad values of glibc's.
    for (name, value) in [
        ("BIFOLD", "1"),
        ("MALLOC_FOO_", "1"),
        ("MALLOC_TOP_PAD_", "x"),
        ("MALLOC_TOP_PAD_", ""),
        ("GLIBC_TUNABLES", "glibc.malloc.foo=1"),
    ] {
        if let Some(output) = run(&[(name, value.as_bytes())]) {
            output.assert_success();
        }
    }
}

#[test]
fn each_bad_value_is_told() {
    let Some(output) = run(&[
        ("BIFOLD_FOO", b"1"),
        ("BIFOLD_GROWTH", b"x"),
        ("BIFOLD_SPARE", b"1M"),
        ("BIFOLD_LOCK", b"y"),
    ]) else {
        return;
    };
    assert_eq!(output.stderr.lines().count(), 3, "{}", output.describe());
    for name in ["FOO=1", "GROWTH=x", "LOCK=y"] {
        let start = format!("bifold: BIFOLD_{name}: ");
        let lines = output.stderr.lines();
        assert_eq!(lines.filter(|line| line.starts_with(&start)).count(), 1);
    }
}

/// A variable that is there twice, which only execve(2) can do: the last counts.
#[test]
fn of_two_the_last_counts() {
    let Some(library) = library() else {
        println!("skipped: the options are bifold's");
        return;
    };
    if !machine_runs_the_library("policy::values::of_two_the_last_counts") {
        return;
    }
    let program = Program::c("policy_environ").without_preload().arg(library);
    let output = program.run();
    assert!(output.status.success(), "{}", output.describe());
    let lines = output.stderr.lines();
    let spare: Vec<_> = lines.filter(|line| line.contains("SPARE")).collect();
    assert_eq!(spare, ["bifold: BIFOLD_SPARE=2M"], "{}", output.describe());
}

#[test]
fn verbose_says_each_option_once() {
    let Some(output) = run(&[("BIFOLD_VERBOSE", b"1"), ("BIFOLD_SPARE", b"3M")]) else {
        return;
    };
    let first = format!("bifold {}: in use by api_names", env!("CARGO_PKG_VERSION"));
    assert_eq!(output.stderr.lines().next(), Some(first.as_str()));
    for option in bifold::options() {
        let variable = option.variable();
        let expected = match option.name() {
            "verbose" => "bifold: BIFOLD_VERBOSE=1".to_owned(),
            "spare" => "bifold: BIFOLD_SPARE=3M".to_owned(),
            _ => format!("bifold: {variable}={} (default)", option.default()),
        };
        let lines = output.stderr.lines();
        let count = lines.filter(|&line| line == expected).count();
        assert_eq!(count, 1, "{expected}: {}", output.describe());
    }
}

#[test]
fn otherwise_nothing_is_said() {
    if let Some(output) = run(&[("BIFOLD_SPARE", b"3M")]) {
        output.assert_success();
    }
}

#[test]
fn figures_at_the_end() {
    let Some(output) = run(&[("BIFOLD_STATS", b"1")]) else {
        return;
    };
    assert!(output.stderr.contains("in use"), "{}", output.describe());
    let output = run(&[("BIFOLD_STATS", b"json")]).expect("there is a library");
    let text = output.stderr.trim();
    assert!(
        text.starts_with('{') && text.ends_with('}'),
        "{}",
        output.describe()
    );
}
