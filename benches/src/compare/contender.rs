//! Who runs: bifold, glibc, Debian's allocators, those made from crates, and
//! the null arm, which is one of them under a second name.

use std::ffi::{CStr, OsStr};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use super::child;
use crate::allocators::{self, Allocator};
use crate::build::{self, Checks};
use crate::measure::programs::GLIBC;
use crate::measure::{Outcome, workspace};

/// The packages of `benches/peers/`: what each is called, its crate, and which
/// of the versions that the crate has.
const CRATES: [(&str, &str, &str); 5] = [
    ("mimalloc2", "libmimalloc-sys", " (v2)"),
    ("mimalloc3", "libmimalloc-sys", " (v3)"),
    ("jemalloc5", "tikv-jemalloc-sys", ""),
    ("snmalloc", "snmalloc-sys", ""),
    ("rpmalloc", "rpmalloc-sys", ""),
];

/// The null arm unless another is asked for.
pub const DEFAULT_NULL: &str = "glibc";

/// An allocator in the comparison.
#[derive(Clone, Serialize)]
pub struct Contender {
    pub name: String,
    /// Where it comes from, and its version.
    pub version: String,
    /// Which contender this one is again, if it is the null arm.
    pub again: Option<usize>,
    #[serde(skip)]
    library: Option<PathBuf>,
}

impl Contender {
    pub fn new(name: &str, version: String, library: Option<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            version,
            again: None,
            library,
        }
    }

    /// The library that brings it; glibc's needs none.
    pub fn library(&self) -> Option<&Path> {
        self.library.as_deref()
    }

    /// What to preload.
    pub fn object(&self) -> &OsStr {
        self.library
            .as_ref()
            .map_or(GLIBC.as_ref(), |path| path.as_os_str())
    }
}

/// The contenders wanted that work here, the null arm last. The others are
/// skipped with a line each.
pub fn find(wanted: &[String], library: Option<&Path>, null: &str) -> Outcome<Vec<Contender>> {
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name);
    let mut found = Vec::new();
    if wants("bifold") {
        found.push(bifold(library)?);
    }
    if wants("glibc") {
        found.push(Contender::new("glibc", glibc_version(), None));
    }
    let packaged = allocators::peers().into_iter();
    found.extend(packaged.filter(|peer| wants(peer.name)).map(debian));
    for (name, package, which) in CRATES.into_iter().filter(|peer| wants(peer.0)) {
        eprintln!("building {name}");
        match build::peer(name) {
            Ok(path) => {
                let version = crate_version(package) + which;
                found.push(Contender::new(name, version, Some(path)));
            }
            Err(failure) => println!("skipped: {name}: {failure}"),
        }
    }
    found.retain(works);
    for name in wanted {
        if !found.iter().any(|contender| contender.name == *name) {
            return Err(format!("{name}: no such allocator here"));
        }
    }
    if found.is_empty() {
        return Err("no allocator to measure".to_owned());
    }
    let base = match found.iter().position(|contender| contender.name == null) {
        Some(base) => base,
        // What is there when nothing is said may be left out.
        None if null == DEFAULT_NULL => 0,
        None => return Err(format!("{null}: no such allocator here")),
    };
    let again = Contender {
        name: format!("{} again", found[base].name),
        again: Some(base),
        ..found[base].clone()
    };
    found.push(again);
    Ok(found)
}

/// The same, with bifold in any case, and first.
pub fn find_with_bifold(
    wanted: &[String],
    library: Option<&Path>,
    null: &str,
) -> Outcome<Vec<Contender>> {
    let mut wanted = wanted.to_vec();
    if !wanted.is_empty() && !wanted.iter().any(|name| name == "bifold") {
        wanted.push("bifold".to_owned());
    }
    find(&wanted, library, null)
}

fn bifold(library: Option<&Path>) -> Outcome<Contender> {
    let path = match library {
        Some(path) => path
            .canonicalize()
            .map_err(|error| format!("{}: {error}", path.display()))?,
        None => build::library(Checks::Default)?,
    };
    let commit = first_line(
        Command::new("git")
            .args(["describe", "--always", "--dirty", "--tags"])
            .current_dir(workspace()),
    );
    let version = match (library, commit) {
        (None, Some(commit)) => format!("{}, {commit}", env!("CARGO_PKG_VERSION")),
        _ => "as given".to_owned(),
    };
    Ok(Contender::new("bifold", version, Some(path)))
}

fn debian(peer: Allocator) -> Contender {
    let file = peer.library.as_ref().and_then(|path| {
        let real = path.canonicalize().ok()?;
        Some(real.file_name()?.to_string_lossy().into_owned())
    });
    let packaged = peer.library.as_ref().and_then(|path| package_version(path));
    let version = packaged.or(file).unwrap_or_default();
    Contender::new(peer.name, format!("Debian {version}"), peer.library)
}

/// The version of the package that a file belongs to.
fn package_version(file: &Path) -> Option<String> {
    let owner = first_line(Command::new("dpkg-query").arg("-S").arg(file))?;
    let (package, _) = owner.split_once(": ")?;
    let mut command = Command::new("dpkg-query");
    first_line(command.args(["-W", "-f", "${Version}\n", package]))
}

/// The version that `benches/peers/Cargo.lock` has chosen.
fn crate_version(package: &str) -> String {
    let lock = workspace().join("benches").join("peers").join("Cargo.lock");
    let text = fs::read_to_string(lock).unwrap_or_default();
    let entry = format!("name = \"{package}\"\nversion = \"");
    let version = text
        .split_once(&entry)
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("", |(version, _)| version);
    // What comes after "-0-g" is a commit.
    let version = version.split("-0-g").next().unwrap_or(version);
    format!("{package} {version}")
}

fn glibc_version() -> String {
    // SAFETY: the function returns a constant string.
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    version.to_string_lossy().into_owned()
}

fn works(contender: &Contender) -> bool {
    child::smoke(contender)
        .inspect_err(|failure| println!("skipped: {}: {failure}", contender.name))
        .is_ok()
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
