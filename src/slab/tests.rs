//! A slab against a naive model: a stack of free blocks, a stack of those that
//! others have freed, and the set of those that are handed out.

use std::collections::BTreeSet;
use std::vec::Vec;

use proptest::prelude::*;

use super::countdown::Countdown;
use super::{Pushed, Slab};
use crate::pages::zone;
use crate::size_class::SizeClass;

/// What happens. Numbers that choose are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Pop,
    Free {
        which: usize,
    },
    FreeElsewhere {
        which: usize,
    },
    Collect,
    Carve,
    /// The slab is to be looked at after so many frees, but for a cap.
    Arm {
        frees: u32,
        cap: u32,
    },
    Hasten {
        cap: u32,
    },
    /// The counts become exact, as of a slab that is not current.
    Recount,
}

fn some_step() -> impl Strategy<Value = Step> {
    let some = any::<usize>;
    prop_oneof![
        8 => Just(Step::Pop),
        4 => some().prop_map(|which| Step::Free { which }),
        4 => some().prop_map(|which| Step::FreeElsewhere { which }),
        2 => Just(Step::Collect),
        2 => Just(Step::Carve),
        1 => (1..50u32, 1..50u32).prop_map(|(frees, cap)| Step::Arm { frees, cap }),
        1 => (1..50u32).prop_map(|cap| Step::Hasten { cap }),
        1 => Just(Step::Recount),
    ]
}

struct Model {
    slab: &'static Slab,
    class: SizeClass,
    carved: usize,
    /// The local list and the remote queue, the first block last.
    local: Vec<usize>,
    remote: Vec<usize>,
    /// Whether the queue is open: it has had a block.
    open: bool,
    out: BTreeSet<usize>,
    countdown: Countdown,
}

impl Model {
    fn new(class: SizeClass) -> Self {
        let (slab, countdown) = Countdown::begin(class);
        Self {
            slab,
            class,
            carved: 0,
            local: Vec::new(),
            remote: Vec::new(),
            open: false,
            out: BTreeSet::new(),
            countdown,
        }
    }

    fn block(&self, number: usize) -> usize {
        self.slab.start() + number * self.class.size()
    }

    /// A block that is handed out, taken out of the model.
    fn take_out(&mut self, which: usize) -> Option<usize> {
        let block = *self.out.iter().nth(which % self.out.len().max(1))?;
        self.out.remove(&block);
        Some(block)
    }

    fn step(&mut self, step: &Step) {
        let slab = self.slab;
        match *step {
            // Nothing is taken of a slab whose count is exact.
            Step::Pop if !self.countdown.is_exact() => {
                // SAFETY: the slab is this test's alone, here and below.
                let got = unsafe { slab.pop() };
                match self.local.pop() {
                    Some(block) => {
                        assert_eq!(got, Ok(block as *mut u8));
                        assert!(self.out.insert(block), "handed out twice");
                        // SAFETY: the block is this test's.
                        unsafe { (block as *mut u8).write_bytes(0xa5, self.class.size()) };
                    }
                    None => assert!(got.is_err_and(Slab::is_end)),
                }
            }
            Step::Free { which } => {
                let Some(block) = self.take_out(which) else {
                    return;
                };
                // SAFETY: as above.
                let told = unsafe { slab.push(block as *mut u8) }.expect("it is freed once");
                // SAFETY: as above.
                assert_eq!(unsafe { slab.push(block as *mut u8) }, Err(()));
                self.local.push(block);
                if self.countdown.count(told) {
                    assert!(self.out.is_empty() && self.remote.is_empty());
                }
            }
            Step::FreeElsewhere { which } => {
                let Some(block) = self.take_out(which) else {
                    return;
                };
                self.remote.push(block);
                let count = Pushed::In(self.remote.len() as u32);
                // SAFETY: as above.
                let pushed = unsafe { slab.push_remote_open(block as *mut u8) };
                assert_eq!(pushed.is_some(), self.open);
                self.open = true;
                // SAFETY: as above.
                let pushed =
                    pushed.unwrap_or_else(|| unsafe { slab.push_remote(block as *mut u8) });
                assert_eq!(pushed, count);
                // SAFETY: as above.
                let again = unsafe { slab.push_remote_open(block as *mut u8) };
                assert_eq!(again, Some(Pushed::Twice));
                // SAFETY: as above.
                assert_eq!(unsafe { slab.push_remote(block as *mut u8) }, Pushed::Twice);
            }
            Step::Collect if !self.countdown.is_exact() => {
                // SAFETY: as above.
                assert_eq!(unsafe { slab.collect() } as usize, self.remote.len());
                self.local.append(&mut self.remote);
            }
            Step::Carve
                if self.local.is_empty() && slab.can_carve() && !self.countdown.is_exact() =>
            {
                let range = slab.next_carving();
                assert_eq!(range.start, self.block(self.carved));
                let before = self.carved;
                // SAFETY: as above.
                let alone = unsafe { slab.carve_next() };
                let is_short = self.class.size() < crate::pages::PAGE / 2;
                let step = if slab.is_clean() || is_short { 1 } else { 4 } * crate::pages::PAGE;
                assert!(alone.is_some() || self.class.size() < step);
                // Of a page only one block is cut before it is touched.
                let pages = range.start / crate::pages::PAGE..(range.end - 1) / crate::pages::PAGE;
                let is_begun = pages.is_empty() && !range.start.is_multiple_of(crate::pages::PAGE);
                assert!(alone.is_none() || self.class.size() >= crate::pages::PAGE || !is_begun);
                if let Some(block) = alone {
                    assert_eq!(block as usize, range.start);
                    self.out.insert(block as usize);
                }
                self.carved = slab.carved() as usize;
                assert!(before < self.carved && self.carved <= self.class.capacity() as usize);
                assert_eq!(range.end, self.block(self.carved));
                if alone.is_none() {
                    self.local = (before..self.carved)
                        .rev()
                        .map(|it| self.block(it))
                        .collect();
                }
            }
            Step::Arm { frees, cap } => self.countdown.arm(frees, cap),
            Step::Hasten { cap } => self.countdown.hasten(cap),
            Step::Recount => self.countdown.recount(),
            Step::Pop | Step::Collect | Step::Carve => {}
        }
        self.check();
    }

    fn check(&self) {
        let slab = self.slab;
        assert_eq!(slab.check(), Ok(()));
        assert_eq!(slab.check_remote(), Ok(()));
        assert_eq!(slab.check_lists(), Ok(self.local.len() as u32));
        assert_eq!(slab.count_free(), Some(self.local.len() as u32));
        assert_eq!(slab.remote().count() as usize, self.remote.len());
        // Blocks that are handed out have been written to: none looks like a free one.
        let guess = slab.guess_live();
        assert!(guess.is_none_or(|live| 0 < live && !self.out.is_empty()));
        let is_full = self.out.len() == self.carved && self.carved >= 32;
        assert!(guess.is_some() || !is_full || !cfg!(feature = "checks"));
        assert_eq!(
            self.out.len() + self.local.len() + self.remote.len(),
            self.carved
        );
        if self.countdown.is_exact() {
            assert_eq!(
                slab.handed_out() as usize,
                self.out.len() + self.remote.len()
            );
        }
        for &block in self.local.iter().chain(&self.remote) {
            assert!(slab.has_free(block as *mut u8));
        }
        for &block in &self.out {
            assert!(slab.is_block(block) && !slab.has_free(block as *mut u8));
            // SAFETY: the block is this test's.
            let last = unsafe { *((block + self.class.size() - 1) as *const u8) };
            // What was carved alone was not written to.
            assert!(last == 0xa5 || self.class.size() >= crate::pages::PAGE);
        }
        let all_free = self.out.is_empty() && self.remote.is_empty();
        assert!(!all_free || slab.find_unfree().is_none());
        if let Some(&block) = self.out.first() {
            assert_ne!(slab.find_unfree(), None, "{block:#x} is handed out");
        }
    }

    /// All blocks are freed, and the slab goes back.
    fn end(mut self) {
        self.step(&Step::Recount);
        while !self.out.is_empty() {
            self.step(&Step::Free { which: 0 });
        }
        self.slab.set_holder(core::ptr::null_mut());
        let (lease, dirty) = self.slab.take_down();
        assert!(dirty <= lease.run.pages);
        // SAFETY: the slab was made for this test, and nobody has a block of it.
        unsafe { zone::lock().give(lease, dirty) };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn a_slab_does_what_the_model_does(
        class in 0..crate::size_class::CLASSES,
        steps in proptest::collection::vec(some_step(), 1..150),
    ) {
        let mut model = Model::new(SizeClass::from_index(class));
        for step in &steps {
            model.step(step);
        }
        model.end();
    }
}
