//! The background thread: gives memory back while the program is idle, and at
//! once when memory is short elsewhere.
//!
//! It is started by the first call after libraries are initialised, and in a
//! forked child by the first slow path. It wakes once a second, or as often as
//! the purge delay says, takes no signals, allocates nothing, and ends the
//! process when it finds itself the last thread.

use core::ffi::c_void;
use core::sync::atomic::{AtomicU8, Ordering};

use super::{report, tick};
use crate::options;
use crate::os::pressure::Pressure;
use crate::os::{process, thread};
use crate::pages::due;
use crate::text::Text;

/// The longest pause in milliseconds.
const PAUSE_MOST: u64 = 1000;
const PAUSE_LEAST: u64 = 10;

/// The microseconds within which waits for memory are added up: who has no
/// privileges may only have a multiple of two seconds.
const WINDOW: usize = 2_000_000;

/// No thread is asked for, or none can be started yet.
const NONE: u8 = 0;
/// There should be one.
const WANTED: u8 = 1;
/// There is one, or one is being started.
const RUNS: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(NONE);

/// Starts the thread if the options ask for it; threads can be started from
/// now on.
pub(super) fn start() {
    if options::background() {
        STATE.store(WANTED, Ordering::Relaxed);
        start_if_wanted();
    }
}

/// Starts the thread in a forked child, if one ran in its parent. The caller
/// holds no lock.
#[inline]
pub(super) fn start_if_wanted() {
    if STATE.load(Ordering::Relaxed) == WANTED {
        start_now();
    }
}

#[cold]
fn start_now() {
    // Starting it allocates, and comes here again.
    let first = STATE
        .compare_exchange(WANTED, RUNS, Ordering::Relaxed, Ordering::Relaxed)
        .is_ok();
    if first && !thread::start(c"bifold", run) {
        STATE.store(NONE, Ordering::Relaxed);
        process::write_stderr(b"bifold: BIFOLD_BACKGROUND: no thread can be started\n");
    }
}

/// In a forked child, where the thread does not exist: the next slow path
/// starts one. A child that only calls exec never gets that far.
pub(super) fn after_fork() {
    if STATE.load(Ordering::Relaxed) == RUNS {
        STATE.store(WANTED, Ordering::Relaxed);
        due::request(0);
    }
}

extern "C" fn run(_: *mut c_void) -> *mut c_void {
    #[cfg(feature = "valgrind")]
    let quiet = crate::os::valgrind::Quiet::begin();
    let mut line = Text::<64>::new();
    if options::pressure() > 0 {
        line.text("some ");
        line.decimal(options::pressure() as usize * 1000);
        line.text(" ");
        line.decimal(WINDOW);
        line.text("\0");
    }
    let mut pressure = Pressure::new(line.bytes());
    if options::verbose() && options::pressure() > 0 && pressure.count() == 0 {
        process::write_stderr(b"bifold: BIFOLD_PRESSURE: the kernel grants no trigger\n");
    }
    let mut alone = false;
    while !alone {
        let longest = options::purge_delay().min(PAUSE_MOST);
        let pause = due::time().map_or(longest, |due| {
            due.saturating_sub(process::coarse_milliseconds())
                .clamp(PAUSE_LEAST, longest.max(PAUSE_LEAST))
        });
        if pressure.wait(pause) {
            report::trim();
        } else {
            tick::run(process::coarse_milliseconds());
        }
        alone = thread::is_alone().unwrap_or_else(|| {
            // Should it be the last thread, it must at least be possible to end
            // the process from outside.
            thread::take_signals();
            false
        });
    }
    #[cfg(feature = "valgrind")]
    drop(quiet);
    thread::exit()
}
