//! Builds the library and the test programs.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::{Arc, Mutex, OnceLock};

use super::runner;

/// The library that children are preloaded with, or `None` for the system's
/// malloc.
pub fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    LIBRARY
        .get_or_init(|| match std::env::var_os("BIFOLD_TEST_LIBRARY") {
            Some(path) if path.is_empty() => None,
            Some(path) => {
                Some(fs::canonicalize(&path).unwrap_or_else(|error| {
                    panic!("BIFOLD_TEST_LIBRARY={}: {error}", path.display())
                }))
            }
            None => Some(build_library()),
        })
        .as_deref()
}

fn build_library() -> PathBuf {
    cargo_build(
        &["-p", "bifold-ffi", "--release"],
        "/libbifold.so",
        "preload",
        None,
    )
}

/// A library that is built with the feature `hardened`: the one that was chosen
/// for all children, if it is, or else one that is built on first use.
pub fn hardened_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| match library() {
        Some(chosen) if is_hardened() => chosen.to_owned(),
        _ => {
            let what = ["-p", "bifold-ffi", "--release", "--features", "hardened"];
            cargo_build(&what, "/libbifold.so", "hardened", None)
        }
    })
}

/// Whether children run on a hardened library, as its version says.
pub fn is_hardened() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        library().is_some_and(|library| {
            let bytes = fs::read(library).expect("the library can be read");
            let mark = b"+hardened\0";
            bytes.windows(mark.len()).any(|window| window == mark)
        })
    })
}

/// What was built with the feature `valgrind`: the library.
pub fn library_for_valgrind() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let what = ["-p", "bifold-ffi", "--release", "--features", "valgrind"];
        cargo_build(&what, "/libbifold.so", "valgrind", None)
    })
}

/// The same for the program built from `tests/programs/memcheck.rs`.
pub fn program_for_valgrind() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let what = [
            "--release",
            "--example",
            "memcheck",
            "--features",
            "valgrind",
        ];
        cargo_build(&what, "/examples/memcheck", "valgrind", None)
    })
}

/// The program built from `tests/programs/hardened.rs`.
pub fn hardened_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let what = [
            "--release",
            "--example",
            "hardened",
            "--features",
            "hardened",
        ];
        cargo_build(&what, "/examples/hardened", "hardened", None)
    })
}

/// How a library is built with the seam that has system calls fail, and with its own
/// assertions on.
const FAULTS: &str = "--cfg bifold_faults -C debug-assertions=on -C overflow-checks=on";

/// The library that is built so.
pub fn library_with_faults() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let what = ["-p", "bifold-ffi", "--release"];
        cargo_build(&what, "/libbifold.so", "faults", Some(FAULTS))
    })
}

/// The same of a hardened library.
pub fn hardened_library_with_faults() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let what = ["-p", "bifold-ffi", "--release", "--features", "hardened"];
        cargo_build(&what, "/libbifold.so", "hardened-faults", Some(FAULTS))
    })
}

/// The library on a kernel with longer pages, `src/os/paging.rs`, and with its
/// own assertions on.
pub fn library_with_pages() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let flags = "--cfg bifold_pages -C debug-assertions=on -C overflow-checks=on";
        let what = ["-p", "bifold-ffi", "--release"];
        cargo_build(&what, "/libbifold.so", "pages", Some(flags))
    })
}

/// The library with debug assertions, which checks its own state as it goes; a
/// little optimised, as that looks at every page and block.
pub fn debug_library() -> &'static Path {
    const BUILD: [&str; 4] = ["-p", "bifold-ffi", "--config", "profile.dev.opt-level=1"];
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| cargo_build(&BUILD, "/libbifold.so", "preload", None))
}

/// The program built from `examples/NAME.rs`.
pub fn example(name: &str) -> PathBuf {
    let end = format!("/examples/{name}");
    cargo_build(&["--release", "--example", name], &end, "preload", None)
}

/// Builds in a directory of its own below `target/`, since the outer cargo may hold
/// the lock of the usual one, if need be with flags for the compiler. Returns the
/// artifact's path, by its end.
fn cargo_build(what: &[&str], end_of_path: &str, target: &str, flags: Option<&str>) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(env!("CARGO"));
    if let Some(flags) = flags {
        command.env("RUSTFLAGS", flags);
        // It would win over the other.
        command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    }
    command.arg("build").args(what);
    if !runner::words().is_empty() {
        command.args(["--target", &runner::target()]);
    }
    let output = command
        .args(["--message-format=json", "--target-dir"])
        .arg(root.join("target").join(target))
        .current_dir(root)
        .output()
        .expect("cargo starts");
    let messages = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "cargo can't build {what:?}: {}\n{}\n{messages}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
    );
    let end = messages
        .rfind(&format!("{end_of_path}\""))
        .unwrap_or_else(|| panic!("cargo names no {end_of_path} among its artifacts"))
        + end_of_path.len();
    let start = messages[..end].rfind('"').expect("the path is quoted") + 1;
    let path = PathBuf::from(&messages[start..end]);
    assert!(path.is_file(), "{} does not exist", path.display());
    path
}

/// The program built from `tests/c/NAME.c` or `tests/c/NAME.cpp`.
pub fn c_program(name: &str) -> PathBuf {
    c_artifact(name, name, &[])
}

/// `tests/c/SOURCE.c` or `.cpp`, built into a file called `output` with more
/// arguments to the compiler.
///
/// The file is built anew when any test source, or this file, is newer.
pub fn c_artifact(source: &str, output: &str, arguments: &[&OsStr]) -> PathBuf {
    static BUILT: Mutex<Option<HashMap<String, Arc<OnceLock<PathBuf>>>>> = Mutex::new(None);
    let built = Arc::clone(
        BUILT
            .lock()
            .expect("no build panics with the lock")
            .get_or_insert_default()
            .entry(output.to_owned())
            .or_default(),
    );
    built
        .get_or_init(|| compile(source, output, arguments))
        .clone()
}

fn compile(source: &str, output: &str, arguments: &[&OsStr]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = root.join("tests").join("c");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c");
    fs::create_dir_all(&directory).expect("the target directory is writable");
    let path = directory.join(output);
    let header = root.join("ffi").join("include");
    if is_newer(&path, &[&sources, &header, &root.join(file!())]) {
        return path;
    }
    let c = sources.join(source).with_extension("c");
    let cpp = c.with_extension("cpp");
    let (file, compiler, variable) = if c.exists() {
        (c, "cc", "CC")
    } else {
        (cpp, "c++", "CXX")
    };
    let compiler = std::env::var_os(variable).unwrap_or_else(|| compiler.into());
    // Another test process may build the same file at the same time.
    let unfinished = directory.join(format!("{output}.{}", process::id()));
    let result = Command::new(&compiler)
        .args(["-O1", "-g", "-pthread", "-fno-builtin"])
        .args(["-Wall", "-Wno-unknown-warning-option"])
        // Misuse of the heap is what many of the programs are about.
        .args(["-Wno-use-after-free", "-Wno-free-nonheap-object"])
        .args([
            "-Wno-alloc-size-larger-than",
            "-Wno-deprecated-declarations",
        ])
        .arg("-o")
        .arg(&unfinished)
        .arg(&file)
        .args(arguments)
        .arg("-ldl")
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", compiler.display()));
    let messages = String::from_utf8_lossy(&result.stderr);
    assert!(
        result.status.success(),
        "{} can't be built:\n{messages}",
        file.display()
    );
    eprint!("{messages}");
    fs::rename(&unfinished, &path).expect("the built program can be renamed");
    path
}

/// Whether `path` is younger than each of the files, and than every file in
/// those of them that are directories.
fn is_newer(path: &Path, sources: &[&Path]) -> bool {
    let Ok(built) = fs::metadata(path).and_then(|data| data.modified()) else {
        return false;
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for source in sources {
        match fs::read_dir(source) {
            Ok(entries) => files.extend(entries.map(|entry| entry.expect("readable").path())),
            Err(_) => files.push(source.to_path_buf()),
        }
    }
    files.iter().all(|file| {
        fs::metadata(file)
            .and_then(|data| data.modified())
            .is_ok_and(|changed| changed < built)
    })
}
