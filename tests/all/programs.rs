//! Real programs write the same under bifold as under glibc.

use std::ffi::OsStr;
use std::path::Path;

use crate::measure::programs::{GLIBC, Length, Run, WORKLOADS};
use crate::rig::scratch;
use crate::support;

/// Defines a test for each workload, and one that checks that none is left out.
macro_rules! programs {
    ($($test:ident: $name:literal)+) => {
        $(
            #[test]
            fn $test() {
                let library = support::library().map_or(GLIBC.as_ref(), Path::as_os_str);
                writes_the_same_as_under_glibc($name, library);
            }
        )+

        #[test]
        fn every_program_has_a_test() {
            let known: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
            assert_eq!(known, [$($name),+]);
        }
    };
}

programs! {
    python3: "python3"
    perl: "perl"
    lua: "lua5.4"
    sqlite: "sqlite3"
    cxx: "g++"
    git: "git"
    node: "node"
    redis: "redis"
    gawk: "gawk"
    xz: "xz"
    gs: "gs"
}

/// Runs a workload under glibc and under a library, and compares what it writes.
pub fn writes_the_same_as_under_glibc(name: &str, library: &OsStr) {
    let workload = WORKLOADS
        .iter()
        .find(|workload| workload.name == name)
        .expect("the workload is in the table");
    if let Some(missing) = workload.missing() {
        println!("skipped: {missing} not installed");
        return;
    }
    let run = |object: &OsStr| -> Run {
        workload
            .run(Length::Short, object, scratch())
            .unwrap_or_else(|failure| panic!("{name} under {}: {failure}", object.display()))
    };
    let glibc = run(GLIBC.as_ref());
    assert!(!glibc.stdout.is_empty(), "{name}: no output to compare");
    let bifold = run(library);
    // The loader says here what it can't preload.
    assert_eq!(glibc.stderr, bifold.stderr, "{name}: standard error");
    assert!(
        glibc.stdout == bifold.stdout,
        "{name}: standard output differs at byte {}",
        first_difference(&glibc.stdout, &bifold.stdout)
    );
}

fn first_difference(a: &[u8], b: &[u8]) -> usize {
    let differ = |(x, y): (&u8, &u8)| x != y;
    let shorter = a.len().min(b.len());
    a.iter().zip(b).position(differ).unwrap_or(shorter)
}
