//! A directory that anyone may enter, which the build's may not be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Goes with all that is in it when it is dropped.
pub struct OpenDirectory(PathBuf);

impl OpenDirectory {
    pub fn new(purpose: &str) -> Self {
        let name = format!("bifold-{purpose}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        set_mode(&path, 0o755);
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A copy of a program or a library, for anyone to run.
    pub fn copy(&self, file: &Path, name: &str) -> PathBuf {
        let copy = self.0.join(name);
        fs::copy(file, &copy).expect("the file can be copied");
        set_mode(&copy, 0o755);
        copy
    }
}

impl Drop for OpenDirectory {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the file is ours");
}
