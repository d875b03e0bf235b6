//! What a core dump has of a locked heap.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use crate::support::{OpenDirectory, Program, SIGABRT, SKIPPED, c_program, library};

fn has(dump: &[u8], word: &str) -> bool {
    dump.windows(word.len()).any(|part| part == word.as_bytes())
}

#[test]
fn has_no_secrets() {
    if library().is_none() {
        eprintln!("skipped: no library is under test");
        return;
    }
    let directory = OpenDirectory::new("core-dump");
    let output = Program::new("sh")
        .arg("-c")
        .arg("cd \"$1\" && ulimit -c unlimited && exec \"$0\"")
        .arg(c_program("core_dump"))
        .arg(directory.path())
        .run();
    if output.status.code() == Some(SKIPPED) {
        return eprint!("{}: {}", output.name, output.stdout);
    }
    let dump = fs::read_dir(directory.path())
        .expect("the directory is there")
        .find_map(|entry| fs::read(entry.ok()?.path()).ok());
    // `core_pattern` may send dumps elsewhere, and a limit forbid them.
    let Some(dump) = dump else {
        return eprintln!("skipped: no core dump was left here: {}", output.describe());
    };
    assert_eq!(
        output.status.signal(),
        Some(SIGABRT),
        "{}",
        output.describe()
    );
    assert!(has(&dump, "plain-word.plain-word."), "no dump of the heap");
    assert!(!has(&dump, "secret-word."), "the dump has a secret");
}
