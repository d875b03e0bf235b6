//! A program that runs as another user than the one who starts it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::support::{Program, c_artifact, library};

const USER: u32 = 12345;
const STARTER: u32 = 12346;

/// A directory that anyone may enter, which the build's may not be.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let name = format!("bifold-set-user-id-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        set_mode(&path, 0o755);
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the file is ours");
}

#[test]
fn no_environment_is_read() {
    let Some(library) = library() else {
        eprintln!("skipped: no library is under test");
        return;
    };
    let directory = Directory::new();
    let copy = directory.0.join("libbifold.so");
    fs::copy(library, &copy).expect("the library can be copied");
    set_mode(&copy, 0o755);
    let mut rpath = OsString::from("-Wl,--no-as-needed,-rpath,");
    rpath.push(&directory.0);
    let arguments: [&OsStr; 2] = [&rpath, copy.as_os_str()];
    let output = format!("proc_setuid.{}", std::process::id());
    let built = c_artifact("proc_setuid", &output, &arguments);
    let program = directory.0.join("program");
    fs::copy(&built, &program).expect("the program can be copied");
    drop(fs::remove_file(built));
    set_mode(&program, 0o755);
    let verbose = Program::new(&program)
        .without_preload()
        .env("BIFOLD_VERBOSE", "1");

    let ordinary = verbose.run();
    assert!(ordinary.status.success(), "{}", ordinary.describe());
    assert_eq!(ordinary.stdout, "ordinary\n");
    assert!(
        ordinary
            .stderr
            .lines()
            .any(|line| line.starts_with("bifold ")),
        "{}",
        ordinary.describe()
    );

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
