//! The first call: the options are read, and what they ask for is done at
//! once.
//!
//! Whoever allocates first comes here, which may be the dynamic linker, before
//! the C library has found the environment. What comes before that goes by
//! the program's settings and the defaults.

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::{announce, background, count, perturb};
use crate::options::{self, Figures, Id, Settings, Source};
use crate::pages;

const NOT_YET: u8 = 0;
const AT_IT: u8 = 1;
const DONE: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(NOT_YET);

/// Whether the libraries are initialised: threads can be started.
static INITIALISED: AtomicBool = AtomicBool::new(false);

/// Runs before `main`, or when the library is loaded. Options are not read here:
/// the program's come with its first request.
#[used]
#[unsafe(link_section = ".init_array")]
static INITIALISE: extern "C" fn() = initialise;

extern "C" fn initialise() {
    INITIALISED.store(true, Ordering::Relaxed);
    if STATE.load(Ordering::Relaxed) == DONE {
        background::start();
    }
}

/// Makes sure that the options are in force. The caller holds no lock.
#[inline]
pub fn ensure(settings: Option<&Settings>) {
    // Relaxed: a thread that comes in the middle goes by what it finds.
    if STATE.load(Ordering::Relaxed) != DONE {
        begin(settings);
    }
}

#[cold]
#[inline(never)]
fn begin(settings: Option<&Settings>) {
    if let Some(settings) = settings {
        settings.apply();
    }
    if !options::is_ready()
        || STATE
            .compare_exchange(NOT_YET, AT_IT, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
    {
        return;
    }
    #[cfg(feature = "valgrind")]
    let _quiet = crate::os::valgrind::Quiet::begin();
    options::read_environment();
    pages::start();
    STATE.store(DONE, Ordering::Relaxed);
    #[cfg(debug_assertions)]
    super::check::at_exit();
    if options::verbose() {
        announce::announce();
    }
    if options::stats() != Figures::No {
        count::print_later();
    }
    if INITIALISED.load(Ordering::Relaxed) {
        background::start();
    }
}

/// Sets what one of glibc's parameters stands for; mallopt(3).
pub fn set_parameter(id: Id, value: i64) {
    ensure(None);
    #[cfg(feature = "valgrind")]
    let _quiet = crate::os::valgrind::Quiet::begin();
    options::set_glibc(id, value, Source::Call);
    pages::start();
    perturb::start();
}
