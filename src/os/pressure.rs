//! Being told when memory is short, anywhere on the machine or in the process's
//! cgroup.
//!
//! Reference: the kernel's `accounting/psi` page. A trigger is a line written
//! to a pressure file; poll(2) says when tasks have waited for memory for so
//! long within its window.

use core::ffi::{CStr, c_void};
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use super::fault::{Kind, point};
use super::{file, process};

/// The system's file, and the cgroup's.
const FILES: usize = 2;
const SYSTEM: &CStr = c"/proc/pressure/memory";
const PRESSURE: &[u8] = b"/memory.pressure";

/// An open pressure file, and what it is, since a program that closes all its
/// files and opens others makes the number mean another.
#[derive(Clone, Copy)]
struct Trigger {
    file: i32,
    identity: (u64, u64),
}

/// What was opened last, for a forked child: it has the files and not the thread
/// that knows of them.
static OPENED: [Opened; FILES] = [const { Opened::none() }; FILES];

/// A [`Trigger`] that others may find; written by one thread.
struct Opened {
    file: AtomicI32,
    identity: (AtomicU64, AtomicU64),
}

impl Opened {
    const fn none() -> Self {
        Self {
            file: AtomicI32::new(-1),
            identity: (AtomicU64::new(0), AtomicU64::new(0)),
        }
    }

    // Relaxed, here and below: fork has ordered what the child finds.
    fn note(&self, trigger: Option<Trigger>) {
        let Some(Trigger { file, identity }) = trigger else {
            return;
        };
        self.identity.0.store(identity.0, Ordering::Relaxed);
        self.identity.1.store(identity.1, Ordering::Relaxed);
        self.file.store(file, Ordering::Relaxed);
    }

    /// Closes the file if it is still what it was.
    fn close(&self) {
        let file = self.file.swap(-1, Ordering::Relaxed);
        let identity = (
            self.identity.0.load(Ordering::Relaxed),
            self.identity.1.load(Ordering::Relaxed),
        );
        if file >= 0 && file::identity_of(file) == Some(identity) {
            // SAFETY: the file is a trigger that the parent opened, and nobody
            // here waits for it.
            unsafe { libc::close(file) };
        }
    }
}

/// Triggers on what there is.
pub struct Pressure<'a> {
    triggers: [Option<Trigger>; FILES],
    /// What is written to the files.
    line: &'a [u8],
}

impl<'a> Pressure<'a> {
    /// Asks to be told when what the line describes has come about, for
    /// example `some 100000 2000000` and a zero byte: some task has waited for
    /// 100,000 microseconds of two seconds. With an empty line: never. Closes
    /// what the parent of a forked process has opened; one at a time.
    pub fn new(line: &'a [u8]) -> Self {
        OPENED.iter().for_each(Opened::close);
        let mut pressure = Self {
            triggers: [None; FILES],
            line,
        };
        pressure.open();
        pressure
    }

    /// How many triggers there are.
    pub fn count(&self) -> usize {
        self.triggers.iter().flatten().count()
    }

    fn open(&mut self) {
        if self.line.is_empty() {
            return;
        }
        let mut name = [0; 512];
        self.triggers = [
            arm(SYSTEM, self.line),
            cgroup_file(&mut name).and_then(|name| arm(name, self.line)),
        ];
        for (opened, &trigger) in OPENED.iter().zip(&self.triggers) {
            opened.note(trigger);
        }
    }

    /// Waits for so many milliseconds, or until memory is short, and returns
    /// whether that is so.
    pub fn wait(&mut self, milliseconds: u64) -> bool {
        for trigger in &mut self.triggers {
            if trigger
                .is_some_and(|trigger| file::identity_of(trigger.file) != Some(trigger.identity))
            {
                *trigger = None;
            }
        }
        if self.count() == 0 {
            self.open();
        }
        let mut polled = self.triggers.map(|trigger| libc::pollfd {
            // A negative number is passed over.
            fd: trigger.map_or(-1, |trigger| trigger.file),
            events: libc::POLLPRI,
            revents: 0,
        });
        let timeout = milliseconds.min(i32::MAX as u64) as i32;
        let errno = process::errno();
        let done = point(Kind::File, || {
            // SAFETY: the pointer and length are an array's.
            unsafe { libc::poll(polled.as_mut_ptr(), FILES as u64, timeout) }
        });
        process::set_errno(errno);
        if done < 0 {
            // It takes no files where the process may have less than that
            // many (`RLIMIT_NOFILE`), and the caller counts on a pause.
            process::sleep(milliseconds);
            return false;
        }
        let mut is_short = false;
        for (polled, trigger) in polled.iter().zip(&mut self.triggers) {
            if polled.revents & (libc::POLLERR | libc::POLLNVAL) != 0 {
                // The cgroup is gone. The file is closed with the process, as
                // the number may be somebody else's.
                *trigger = None;
            } else {
                is_short |= polled.revents & libc::POLLPRI != 0;
            }
        }
        is_short
    }
}

/// Opens a pressure file and writes the trigger.
fn arm(name: &CStr, line: &[u8]) -> Option<Trigger> {
    let errno = process::errno();
    // SAFETY: the name is a C string, the text's bytes are valid.
    let armed = unsafe {
        let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let file = point(Kind::File, || libc::open(name.as_ptr(), flags));
        let written = file >= 0
            && point(Kind::File, || {
                libc::write(file, line.as_ptr().cast::<c_void>(), line.len()) as i64
            }) == line.len() as i64;
        if file >= 0 && !written {
            libc::close(file);
        }
        written.then_some(file)
    };
    process::set_errno(errno);
    let file = armed?;
    let identity = file::identity_of(file);
    if identity.is_none() {
        // SAFETY: the file was opened above, and nobody waits for it.
        unsafe { libc::close(file) };
    }
    Some(Trigger {
        file,
        identity: identity?,
    })
}

/// The pressure file of the process's cgroup, in either place where the second
/// version's hierarchy may be.
fn cgroup_file(name: &mut [u8; 512]) -> Option<&CStr> {
    let mut buffer = [0; 4096];
    let groups = file::read(c"/proc/self/cgroup", &mut buffer)?;
    let path = groups
        .split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(b"0::"))?;
    let root = file::CGROUP_ROOTS.into_iter().find(|root| {
        let file = file::name_of(&[root, path, PRESSURE], name);
        file.is_some_and(file::is_writable)
    })?;
    file::name_of(&[root, path, PRESSURE], name)
}
