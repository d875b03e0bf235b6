//! The kernel as the model checker sees it: what stands for `os` under
//! `--cfg loom`. Each function does what its namesake does, by the checker's
//! own means.

/// Stands for `os::process`.
pub mod process {
    use std::collections::hash_map::DefaultHasher;
    use std::hash::{Hash, Hasher};
    use std::sync::Arc;
    use std::vec::Vec;

    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::sync::{Condvar, Mutex};
    use loom::thread;

    /// A thread that sleeps on a word.
    struct Sleeper {
        word: usize,
        bell: Arc<Condvar>,
    }

    loom::lazy_static! {
        /// All of them, who has slept longest first.
        static ref SLEEPERS: Mutex<Vec<Sleeper>> = Mutex::new(Vec::new());
    }

    fn place(word: &AtomicUsize) -> usize {
        core::ptr::from_ref(word) as usize
    }

    pub fn thread_identity() -> usize {
        let mut hasher = DefaultHasher::new();
        thread::current().id().hash(&mut hasher);
        hasher.finish() as usize & !1 | 2
    }

    /// Compares and goes to sleep in one step, as a futex does. Nobody wakes up
    /// for no reason.
    pub fn wait_while(word: &AtomicUsize, value: usize) {
        let mut sleepers = SLEEPERS.lock().unwrap();
        // The kernel reads what is there, behind a full barrier: a step that
        // changes nothing never gets an old value.
        if word.fetch_or(0, Ordering::SeqCst) != value {
            return;
        }
        let bell = Arc::new(Condvar::new());
        sleepers.push(Sleeper {
            word: place(word),
            bell: Arc::clone(&bell),
        });
        let sleeps = |all: &Vec<Sleeper>| all.iter().any(|it| Arc::ptr_eq(&it.bell, &bell));
        while sleeps(&sleepers) {
            sleepers = bell.wait(sleepers).unwrap();
        }
    }

    pub fn write_stderr(bytes: &[u8]) {
        std::eprint!("{}", std::string::String::from_utf8_lossy(bytes));
    }

    pub fn end() {
        panic!("a model ends the process");
    }

    pub fn wake_one(word: &AtomicUsize) {
        let mut sleepers = SLEEPERS.lock().unwrap();
        let first = sleepers.iter().position(|it| it.word == place(word));
        if let Some(first) = first {
            sleepers.remove(first).bell.notify_one();
        }
    }
}

/// Stands for `os::memory`.
pub mod memory {
    use std::boxed::Box;
    use std::vec;

    /// See the real one.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum MapError {
        Refused,
    }

    /// So short that a table of a few entries grows.
    const PAGE: usize = 64;

    pub fn page_size() -> usize {
        PAGE
    }

    /// Zeroed memory of the checker's process.
    pub fn map(length: usize) -> Result<usize, MapError> {
        let words = vec![0u64; length / size_of::<u64>()].into_boxed_slice();
        Ok(Box::into_raw(words).cast::<u64>() as usize)
    }

    /// # Safety
    ///
    /// The range is what [`map`] has returned, and nothing refers to it.
    pub unsafe fn unmap(address: usize, length: usize) -> bool {
        let words =
            core::ptr::slice_from_raw_parts_mut(address as *mut u64, length / size_of::<u64>());
        // SAFETY: as the caller promises.
        drop(unsafe { Box::from_raw(words) });
        true
    }
}
