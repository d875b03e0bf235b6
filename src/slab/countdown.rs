//! A slab for a test, and what its counter should say.

use super::{Slab, State};
use crate::pages::{PAGE, zone};
use crate::size_class::SizeClass;

pub struct Countdown {
    slab: &'static Slab,
    /// Frees until the counter is zero, and what is left over then; of an exact
    /// count that is none.
    counter: u32,
    left: Option<u32>,
}

impl Countdown {
    /// A slab of a class, current and not cut yet, and its counter.
    pub fn begin(class: SizeClass) -> (&'static Slab, Self) {
        let pages = class.slab_pages() as u32;
        let alignment = (class.slab_alignment() / PAGE) as u32;
        let lease = zone::lock().take(pages, alignment).expect("memory");
        let slab = Slab::set_up(lease, Some(class), core::ptr::null_mut());
        slab.publish();
        slab.arm_current(1, 1);
        let countdown = Self {
            slab,
            counter: 1,
            left: Some(0),
        };
        (slab, countdown)
    }

    /// Whether the count is exact, as of a slab that is not current.
    pub fn is_exact(&self) -> bool {
        self.left.is_none()
    }

    /// The slab is to be looked at after so many frees, but for a cap.
    pub fn arm(&mut self, frees: u32, cap: u32) {
        self.slab.set_state(State::Current);
        self.slab.arm_current(frees, cap);
        self.counter = frees.min(cap);
        self.left = Some(frees - self.counter);
    }

    /// The count becomes exact.
    pub fn recount(&mut self) {
        self.slab.set_state(State::Listed);
        self.slab.recount();
        self.counter = self.slab.handed_out();
        self.left = None;
    }

    /// A cap for a current slab.
    #[cfg(not(feature = "hardened"))]
    pub fn hasten(&mut self, cap: u32) {
        if let Some(left) = &mut self.left {
            self.slab.hasten(cap);
            *left += self.counter.saturating_sub(cap);
            self.counter = self.counter.min(cap);
        }
    }

    /// The owner has freed a block, and was told whether the counter is zero. If it
    /// is, the slab is looked at. Returns whether all blocks must be free then.
    pub fn count(&mut self, told: bool) -> bool {
        self.counter -= 1;
        assert_eq!(told, self.counter == 0);
        if let Some(left) = self.left.filter(|_| told) {
            assert_eq!(self.slab.rearm_current(7), left > 0);
            if left == 0 {
                self.slab.arm_current(1, 7);
            }
            self.counter = left.clamp(1, 7);
            self.left = Some(left.max(1) - self.counter);
        }
        told && self.is_exact()
    }
}
