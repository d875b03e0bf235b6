//! Runs a target where there is no libFuzzer: over its seeds, and over what
//! they become by random changes, from a fixed seed on.
//!
//! | variable | what it says |
//! |---|---|
//! | `FUZZ_OPERATIONS` | how many operations each environment gets |
//! | `FUZZ_SEED` | where the random numbers start |
//! | `FUZZ_INPUT` | a file: run it alone |

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

/// A target: a name, and what one input does. It returns how many operations
/// that were, and panics where bifold is wrong.
#[derive(Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]) -> u64,
}

/// How many operations an environment gets, unless the variable says so.
const OPERATIONS: u64 = 100_000;
const SEED: u64 = 0x5eed_0b1f_01d0;
/// The longest input that is made.
const LONGEST: usize = 4096;
/// Set in the children that run in an environment.
const CHILD: &str = "FUZZ_IN_ENVIRONMENT";

static TOTAL: AtomicU64 = AtomicU64::new(0);

/// Adds to the operations of the process, which it says at its end.
pub fn count(operations: u64) {
    static AT_EXIT: Once = Once::new();
    AT_EXIT.call_once(|| {
        // SAFETY: the function may be called at the exit: it has no arguments
        // and does not unwind.
        unsafe { libc::atexit(say) };
    });
    TOTAL.fetch_add(operations, Ordering::Relaxed);
}

extern "C" fn say() {
    let total = TOTAL.load(Ordering::Relaxed);
    let line = format!("operations: {total}\n");
    // SAFETY: the pointer and the length are the line's. Not by `eprint`,
    // whose parts may be gone by now.
    unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Variables of the environment: options of each kind, with those that go together.
pub const OPTIONS_OF_EACH_KIND: &[&[(&str, &str)]] = &[
    &[],
    &[("BIFOLD_PURGE", "now")],
    &[("BIFOLD_PURGE", "never"), ("BIFOLD_THP", "always")],
    &[("BIFOLD_LIMIT", "64M"), ("BIFOLD_SOFT_LIMIT", "32M")],
    &[
        ("BIFOLD_BACKGROUND", "1"),
        ("BIFOLD_PURGE_DELAY", "10ms"),
        ("BIFOLD_SPARE", "0"),
    ],
    &[("BIFOLD_ARENA_MAX", "1"), ("BIFOLD_PERTURB", "90")],
    &[("BIFOLD_PREFAULT", "1"), ("BIFOLD_GROWTH", "16M")],
    &[("BIFOLD_MMAP_THRESHOLD", "0")],
    &[("BIFOLD_RESERVE", "64M"), ("BIFOLD_PURGE_ADVICE", "free")],
    &[("BIFOLD_LOCK", "on-fault"), ("BIFOLD_FAULT_AROUND", "64K")],
];

/// Runs the target over its seeds and over changes of them, in each
/// environment; the test of the given name must do nothing else. Panics where a
/// child fails: its last input is in a file then, which the message names.
pub fn drive(target: Target, test: &str, environments: &[&[(&str, &str)]]) {
    if std::env::var_os(CHILD).is_some() {
        return run(target);
    }
    for environment in environments {
        let program = std::env::current_exe().expect("the test has a file");
        let status = Command::new(program)
            .args(["--exact", test, "--test-threads=1", "--nocapture"])
            .env(CHILD, "1")
            .envs(environment.iter().copied())
            .status()
            .expect("the test can start itself");
        assert!(
            status.success(),
            "{}: {status} under {environment:?}; again: FUZZ_INPUT={}",
            target.name,
            last(target).display()
        );
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text}: not a number")),
    )
}

fn run(target: Target) {
    if let Some(file) = std::env::var_os("FUZZ_INPUT") {
        let input = fs::read(&file).expect("the input can be read");
        return count((target.run)(&input));
    }
    let seeds = seeds(target.name);
    assert!(!seeds.is_empty(), "{}: no seeds", target.name);
    let mut done = 0;
    for seed in &seeds {
        done += one(target, seed);
    }
    let wanted = variable("FUZZ_OPERATIONS").unwrap_or(OPERATIONS);
    let mut random = Random(variable("FUZZ_SEED").unwrap_or(SEED));
    while done < wanted {
        done += one(target, &mutated(&seeds, &mut random)).max(1);
    }
    // A test's harness may leave by `_exit`.
    eprintln!("{}: {done} operations", target.name);
}

/// Runs one input, which is in a file for as long as it runs.
fn one(target: Target, input: &[u8]) -> u64 {
    fs::write(last(target), input).expect("the target directory is writable");
    (target.run)(input)
}

/// The file of the input that runs.
fn last(target: Target) -> PathBuf {
    let program = std::env::current_exe().expect("the test has a file");
    program.with_file_name(format!("{}.last", target.name))
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("seeds");
    let entries = fs::read_dir(root.join(target)).expect("the seeds are there");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("the seeds can be listed").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| fs::read(file).expect("a seed can be read"))
        .collect()
}

/// An input: one of the seeds with some changes, or nothing but random bytes.
fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let pick = |random: &mut Random| seeds[random.below(seeds.len())].clone();
    if random.below(4) == 0 {
        let length = random.below(LONGEST);
        return (0..length).map(|_| random.next() as u8).collect();
    }
    let mut input = pick(random);
    for _ in 0..=random.below(8) {
        let at = random.below(input.len() + 1);
        let length = random.below(input.len() - at + 1).min(random.below(64) + 1);
        match random.below(6) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.next() as u8,
            2 => {
                input.drain(at..at + length);
            }
            3 => {
                let again = input[at..at + length].to_vec();
                input.splice(at..at, again);
            }
            4 => {
                let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
                input.splice(at..at, bytes);
            }
            _ => {
                let other = pick(random);
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }
    input.truncate(LONGEST);
    input
}
