//! Marks against a naive model: how each block stands, one by one.

use std::vec::Vec;

use proptest::prelude::*;

use super::{GROUP, Refused, Standing};
use crate::pages::zone;
use crate::size_class::{CLASSES, SizeClass};
use crate::slab::countdown::Countdown;
use crate::slab::{Pushed, Slab};
use crate::sync::atomic::Ordering;

/// What happens. Numbers that choose are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Take {
        random: Option<u8>,
    },
    /// A free by the owner, and by another thread, of a block in any state.
    Release {
        which: usize,
    },
    Claim {
        which: usize,
    },
    /// The end of a free, by the owner and by another thread, whoever began it.
    MakeFree {
        which: usize,
    },
    HandBack {
        which: usize,
    },
    Collect,
    Carve,
    /// The slab is to be looked at after so many frees, but for a cap.
    Arm {
        frees: u32,
        cap: u32,
    },
    /// The counts become exact, as of a slab that is not current.
    Recount,
    /// Any address in the slab.
    Look {
        offset: usize,
    },
}

fn some_step() -> impl Strategy<Value = Step> {
    let some = any::<usize>;
    prop_oneof![
        12 => any::<Option<u8>>().prop_map(|random| Step::Take { random }),
        4 => some().prop_map(|which| Step::Release { which }),
        4 => some().prop_map(|which| Step::Claim { which }),
        4 => some().prop_map(|which| Step::MakeFree { which }),
        4 => some().prop_map(|which| Step::HandBack { which }),
        2 => Just(Step::Collect),
        4 => Just(Step::Carve),
        1 => (1..50u32, 1..50u32).prop_map(|(frees, cap)| Step::Arm { frees, cap }),
        1 => Just(Step::Recount),
        1 => some().prop_map(|offset| Step::Look { offset }),
    ]
}

/// Where a block is on its way; the steps are those of the module's picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    New,
    Free,
    Live,
    Waiting,
    Claimed,
    Returned,
}

impl Is {
    fn is_free(self) -> bool {
        matches!(self, Self::New | Self::Free)
    }

    fn has_begun(self) -> bool {
        matches!(self, Self::Waiting | Self::Claimed)
    }

    fn standing(self) -> Standing {
        match self {
            Self::New | Self::Free => Standing::Free,
            Self::Live => Standing::Live,
            Self::Waiting => Standing::Waiting,
            Self::Claimed | Self::Returned => Standing::Claimed,
        }
    }
}

struct Model {
    slab: &'static Slab,
    class: SizeClass,
    /// The blocks that have been cut, in order.
    blocks: Vec<Is>,
    /// The group that blocks are taken from.
    group: usize,
    countdown: Countdown,
}

/// The first that is so, from a place on and around.
fn around(length: usize, from: usize, is_so: impl Fn(usize) -> bool) -> Option<usize> {
    (0..length)
        .map(|step| (from + step) % length)
        .find(|&place| is_so(place))
}

impl Model {
    fn new(class: SizeClass) -> Self {
        let (slab, countdown) = Countdown::begin(class);
        Self {
            slab,
            class,
            blocks: Vec::new(),
            group: 0,
            countdown,
        }
    }

    fn block(&self, number: usize) -> usize {
        self.slab.start() + number * self.class.size()
    }

    /// One of the blocks that stand so.
    fn choose(&self, which: usize, is_so: impl Fn(Is) -> bool) -> Option<usize> {
        let length = self.blocks.len().max(1);
        let is_one = |number: usize| self.blocks.get(number).is_some_and(|&is| is_so(is));
        around(length, which % length, is_one)
    }

    fn count(&self, is_so: impl Fn(Is) -> bool) -> u32 {
        self.blocks.iter().filter(|&&is| is_so(is)).count() as u32
    }

    fn is_free(&self, group: usize, bit: usize) -> bool {
        let number = group * GROUP as usize + bit;
        self.blocks.get(number).is_some_and(|is| is.is_free())
    }

    /// Which block is taken.
    fn expected(&mut self, random: u8) -> Option<usize> {
        let random = usize::from(random);
        let has_any = |group: usize| (0..64).any(|bit| self.is_free(group, bit));
        if !has_any(self.group) {
            self.group = around(32, random % 32, has_any)?;
        }
        let bit = around(64, random % 64, |bit| self.is_free(self.group, bit))?;
        Some(self.group * 64 + bit)
    }

    fn step(&mut self, step: &Step) {
        let slab = self.slab;
        match *step {
            // Nothing is taken of a slab whose count is exact.
            Step::Take { random } if !self.countdown.is_exact() => {
                // SAFETY: the slab is this test's alone, here and below.
                let got = unsafe { slab.take(|| random.map(u32::from)) };
                let Some(number) = random.and_then(|random| self.expected(random)) else {
                    assert_eq!(got.err(), Some(Refused::Nothing));
                    return;
                };
                let got = got.expect("a block is free");
                assert_eq!(got.block, self.block(number));
                assert_eq!(got.length, self.class.size());
                assert_eq!(got.is_new, self.blocks[number] == Is::New);
                self.blocks[number] = Is::Live;
            }
            Step::Release { which } => {
                let Some(number) = self.choose(which, |_| true) else {
                    return;
                };
                let mark = slab.mark(self.block(number));
                let live = mark.group.live.load(Ordering::Relaxed);
                // SAFETY: as above.
                let had = unsafe { slab.release(mark) };
                assert_eq!(had, self.blocks[number] == Is::Live);
                if had {
                    self.blocks[number] = Is::Waiting;
                } else {
                    // The process ends here; the model goes on as if nothing had been.
                    mark.group.live.store(live, Ordering::Relaxed);
                }
            }
            Step::Claim { which } => {
                let Some(number) = self.choose(which, |_| true) else {
                    return;
                };
                // SAFETY: as above.
                let had = unsafe { slab.claim(slab.mark(self.block(number))) };
                assert_eq!(had, self.blocks[number] == Is::Live);
                if had {
                    self.blocks[number] = Is::Claimed;
                }
            }
            Step::MakeFree { which } => {
                let Some(number) = self.choose(which, Is::has_begun) else {
                    return;
                };
                let block = self.block(number);
                // SAFETY: as above, and its free has begun.
                let mut told = unsafe { slab.make_free(block) };
                assert_eq!(told.is_none(), self.blocks[number] == Is::Claimed);
                if told.is_none() {
                    // SAFETY: as above.
                    told = unsafe {
                        slab.disclaim(block);
                        slab.make_free(block)
                    };
                }
                self.blocks[number] = Is::Free;
                if self.countdown.count(told.expect("its free was ended")) {
                    assert_eq!(self.count(Is::is_free) as usize, self.blocks.len());
                }
            }
            Step::HandBack { which } => {
                let Some(number) = self.choose(which, Is::has_begun) else {
                    return;
                };
                self.blocks[number] = Is::Returned;
                let count = self.count(|is| is == Is::Returned);
                // SAFETY: as above.
                let pushed = unsafe { slab.hand_back(self.block(number)) };
                assert_eq!(pushed, Pushed::In(count));
            }
            Step::Collect if !self.countdown.is_exact() => {
                // SAFETY: as above.
                let collected = unsafe { slab.collect() };
                assert_eq!(collected, self.count(|is| is == Is::Returned));
                for is in &mut self.blocks {
                    if *is == Is::Returned {
                        *is = Is::Free;
                    }
                }
            }
            Step::Carve
                if !self.countdown.is_exact()
                    && self.count(Is::is_free) == 0
                    && slab.can_carve() =>
            {
                let (before, range) = (self.blocks.len(), slab.next_carving());
                assert_eq!(range.start, self.block(before));
                // SAFETY: as above.
                assert_eq!(unsafe { slab.carve_next() }, None);
                let carved = slab.carved() as usize;
                assert!(before < carved && carved <= self.class.capacity() as usize);
                assert_eq!(range.end, self.block(carved));
                self.blocks.resize(carved, Is::New);
                self.group = before / 64;
            }
            Step::Arm { frees, cap } => self.countdown.arm(frees, cap),
            Step::Recount => self.countdown.recount(),
            Step::Look { offset } => {
                let address = slab.start() + offset % (slab.pages() as usize * crate::pages::PAGE);
                let number = (address - slab.start()) / self.class.size();
                let is_block = address == self.block(number) && number < self.blocks.len();
                let mark = slab.find_mark(address);
                assert_eq!(
                    mark.map(|mark| mark.number as usize),
                    is_block.then_some(number)
                );
                assert_eq!(slab.is_medium_block(address), is_block);
            }
            Step::Take { .. } | Step::Collect | Step::Carve => {}
        }
        self.check();
    }

    fn check(&self) {
        let slab = self.slab;
        let free = self.count(Is::is_free);
        assert_eq!(slab.check(), Ok(()));
        assert_eq!(slab.check_lists(), Ok(free));
        assert_eq!(slab.count_free(), Some(free));
        assert_eq!(slab.count_live(), self.count(|is| is == Is::Live));
        let returned = self.count(|is| is == Is::Returned);
        assert_eq!(slab.remote().count(), returned);
        let is_free = (free + returned) as usize == self.blocks.len();
        assert_eq!(slab.is_wholly_free(), is_free);
        if self.countdown.is_exact() {
            assert_eq!(
                slab.handed_out() as usize,
                self.blocks.len() - free as usize
            );
        }
        for (number, &is) in self.blocks.iter().enumerate() {
            let block = self.block(number);
            let mark = slab.mark(block);
            assert_eq!(slab.standing(mark), is.standing(), "{number}");
            assert_eq!(slab.is_live(block), is == Is::Live);
            assert_eq!(slab.is_untouched(block), is == Is::New, "{number}");
            let before = slab.mark_before(mark).map(|mark| mark.number as usize);
            assert_eq!(before, number.checked_sub(1));
        }
    }

    /// All blocks are freed, and the slab goes back.
    fn end(mut self) {
        for step in [Step::Arm { frees: 1, cap: 1 }, Step::Collect, Step::Recount] {
            self.step(&step);
        }
        while self.count(Is::is_free) < self.blocks.len() as u32 {
            self.step(&Step::MakeFree { which: 0 });
            if let Some(which) = self.choose(0, |is| is == Is::Live) {
                self.step(&Step::Release { which });
            }
        }
        assert!(self.slab.is_wholly_free());
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
    fn marks_do_what_the_model_does(
        class in 0..CLASSES,
        steps in proptest::collection::vec(some_step(), 1..200),
    ) {
        let mut model = Model::new(SizeClass::from_index(class));
        for step in &steps {
            model.step(step);
        }
        model.end();
    }
}

#[test]
fn a_block_that_is_free_and_in_use_is_not_handed_out() {
    let mut model = Model::new(SizeClass::for_medium(512));
    model.step(&Step::Carve);
    model.step(&Step::Take { random: Some(9) });
    let (slab, block) = (model.slab, model.block(9));
    slab.poke_free(block);
    // SAFETY: the slab is this test's alone.
    let got = unsafe { slab.take(|| Some(9)) };
    assert_eq!(got.err(), Some(Refused::Twice(block)));
    slab.poke_free(block);
    model.end();
}
