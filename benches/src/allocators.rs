//! What is measured side by side: bifold, the C library, and the allocators
//! that Debian packages.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::measure::programs::GLIBC;

/// Where distributions put shared libraries.
const DIRECTORIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
];

const PEERS: [(&str, &str); 3] = [
    ("mimalloc", "libmimalloc.so.2"),
    ("jemalloc", "libjemalloc.so.2"),
    ("tcmalloc", "libtcmalloc_minimal.so.4"),
];

/// An allocator, and the library that brings it; glibc's needs none.
pub struct Allocator {
    pub name: &'static str,
    pub library: Option<PathBuf>,
}

impl Allocator {
    pub fn bifold(library: PathBuf) -> Self {
        Self {
            name: "bifold",
            library: Some(library),
        }
    }

    pub fn glibc() -> Self {
        Self {
            name: "glibc",
            library: None,
        }
    }

    /// What to preload so that any program runs on this allocator.
    pub fn object(&self) -> &OsStr {
        match &self.library {
            Some(path) => path.as_os_str(),
            None => GLIBC.as_ref(),
        }
    }
}

/// The installed ones of Debian's allocators; of the others it says so.
pub fn peers() -> Vec<Allocator> {
    PEERS
        .iter()
        .filter_map(|&(name, file)| {
            let found = DIRECTORIES
                .iter()
                .map(|directory| Path::new(directory).join(file))
                .find(|path| path.exists());
            if found.is_none() {
                println!("skipped: {file} not installed");
            }
            found.map(|library| Allocator {
                name,
                library: Some(library),
            })
        })
        .collect()
}
