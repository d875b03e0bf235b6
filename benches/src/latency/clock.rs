//! The clock for single calls: on x86-64 the processor's own counter, which must
//! run evenly, elsewhere the system's.
//!
//! A fence on either side keeps what is timed between the two readings. What they
//! cost by themselves is in every figure, and is measured beside them.

use std::time::Instant;

/// A reading. Its unit is `Scale`'s business.
#[inline(always)]
pub fn start() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_lfence, _rdtsc};
        // SAFETY: every x86-64 processor has both.
        unsafe {
            _mm_lfence();
            let ticks = _rdtsc();
            _mm_lfence();
            ticks
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    system()
}

/// A reading that waits for what comes before it.
#[inline(always)]
pub fn end() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__rdtscp, _mm_lfence};
        let mut core = 0;
        // SAFETY: `has_counter` has seen that the processor has it.
        unsafe {
            let ticks = __rdtscp(&raw mut core);
            _mm_lfence();
            ticks
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    system()
}

/// Whether the clock can be used: whether the counter exists and its speed does
/// not change.
pub fn has_counter() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let has = |name: &str| flags.split_whitespace().any(|flag| flag == name);
        has("constant_tsc") && has("rdtscp")
    }
    #[cfg(not(target_arch = "x86_64"))]
    true
}

#[cfg(not(target_arch = "x86_64"))]
fn system() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// How long a tick is: by the system's clock, over a whole run.
pub struct Scale {
    ticks: u64,
    time: Instant,
}

impl Scale {
    /// Begins to measure.
    pub fn begin() -> Self {
        Self {
            ticks: start(),
            time: Instant::now(),
        }
    }

    /// Nanoseconds in a tick.
    pub fn nanoseconds(&self) -> f64 {
        let ticks = end().saturating_sub(self.ticks).max(1);
        self.time.elapsed().as_nanos() as f64 / ticks as f64
    }
}
