//! A program that runs as another user than the one who starts it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use crate::support::{OpenDirectory, Program, c_artifact, library, set_mode, skips_on_long_pages};

const USER: u32 = 12345;
const STARTER: u32 = 12346;

#[test]
fn no_environment_is_read() {
    let Some(library) = library() else {
        eprintln!("skipped: no library is under test");
        return;
    };
    if skips_on_long_pages("the environment says how long they are") {
        return;
    }
    let directory = OpenDirectory::new("set-user-id");
    let copy = directory.copy(library, "libbifold.so");
    let mut rpath = OsString::from("-Wl,--no-as-needed,-rpath,");
    rpath.push(directory.path());
    let arguments: [&OsStr; 2] = [&rpath, copy.as_os_str()];
    let output = format!("proc_setuid.{}", std::process::id());
    let built = c_artifact("proc_setuid", &output, &arguments);
    let program = directory.copy(&built, "program");
    drop(fs::remove_file(built));
    let verbose = Program::new(&program)
        .without_preload()
        .env("BIFOLD_VERBOSE", "1")
        .env("BIFOLD_LIMIT", "much")
        .env("BIFOLD_NO_SUCH", "1");

    let ordinary = verbose.run();
    assert!(ordinary.status.success(), "{}", ordinary.describe());
    assert_eq!(ordinary.stdout, "ordinary\n");
    for start in [
        "bifold ",
        "bifold: BIFOLD_LIMIT=much: ",
        "bifold: BIFOLD_NO_SUCH=1: ",
    ] {
        assert!(
            ordinary.stderr.lines().any(|line| line.starts_with(start)),
            "{}",
            ordinary.describe()
        );
    }

    let is_root = fs::metadata(&program).is_ok_and(|data| data.uid() == 0);
    if !is_root || chown(&program, Some(USER), Some(USER)).is_err() {
        eprintln!("skipped: only root can make a set-user-ID program");
        return;
    }
    set_mode(&program, 0o4755);
    let secure = verbose.user(STARTER).run();
    if secure.status.success() && secure.stdout == "ordinary\n" {
        eprintln!("skipped: the temporary directory is mounted nosuid");
        return;
    }
    secure.assert_success();
    assert_eq!(secure.stdout, "secure\n");
}
