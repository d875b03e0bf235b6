//! The check: whether every layer's state is consistent, in debug builds.
//!
//! A whole check takes time in proportion to what there is. It is made at every
//! trim, at the end of the process, and every so many slow operations: after each
//! the more, the more it has looked at, so that a slow operation pays for a
//! bounded number of steps on average.

use super::{Heap, Kind, NOBODY, registry};
use crate::fatal::{Broken, Checked, die, ensure};
use crate::os::hooks;
use crate::pages::{large, zone};
use crate::size_class::{STEP_MAX, SizeClass};
use crate::slab::{Kind as Described, Slab, State};
use crate::sync::atomic::{AtomicUsize, Ordering};

/// The fewest slow operations between two checks, and how many steps of a check
/// one of them pays for.
const LEAST_PAUSE: usize = 1 << 10;
const STEPS: usize = 16;

/// How many slow operations are left until the next check.
static LEFT: AtomicUsize = AtomicUsize::new(LEAST_PAUSE);

/// Notes a slow operation, and checks everything if it is time. The caller holds
/// no lock.
pub(super) fn now_and_then() {
    // Relaxed: who brings it to zero checks, and a count more or less is nothing.
    if LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
        let steps = all();
        LEFT.store((steps / STEPS).max(LEAST_PAUSE), Ordering::Relaxed);
    }
}

/// Has everything checked at the end of the process.
pub(super) fn at_exit() {
    unsafe extern "C" fn check() {
        all();
    }
    hooks::at_exit(check);
}

/// Checks everything, or ends the process over what is broken. Returns how many
/// steps that took. The caller holds no lock.
pub(super) fn all() -> usize {
    match try_all() {
        Ok(steps) => steps,
        Err(Broken { what, address }) => die(what, address),
    }
}

/// Checks every heap, under its lock, then the zone and the large blocks.
fn try_all() -> Result<usize, Broken> {
    let mut steps = 0;
    let mut first = Ok(());
    registry::for_each_there_is(|heap| match heap.check() {
        Ok(more) => steps += more,
        Err(broken) => first = first.and(Err(broken)),
    });
    first?;
    steps += zone::lock().check()?;
    Ok(steps + large::check()?)
}

impl Heap {
    /// Whether the heap's lists, words and slabs are consistent. Returns how much
    /// was looked at: slabs and free blocks. The caller holds the lock.
    ///
    /// # Errors
    ///
    /// What is broken.
    fn check(&'static self) -> Result<usize, Broken> {
        if self.kind() == Kind::Spare {
            self.check_spare()?;
            return Ok(1);
        }
        ensure(
            self.inbox.is_closed() <= (self.kind() != Kind::Shared),
            "a closed inbox of the shared heap",
            self.id() as usize,
        )?;
        let mut steps = 0;
        let mut listed = 0;
        let mut ring = Ring::default();
        let mut result = Ok(());
        self.for_each_slab(|slab| {
            if result.is_ok() {
                let linked = ensure(
                    ring.goes_on(slab, slab.all_links().1.get()),
                    "a broken list of slabs",
                    core::ptr::from_ref(slab) as usize,
                );
                listed += usize::from(slab.kind().is_slab() && slab.state() == State::Listed);
                result = linked.and_then(|()| {
                    steps += 1 + self.check_slab(slab)? as usize;
                    Ok(())
                });
            }
        });
        result?;
        ensure(
            ring.is_closed(),
            "a broken list of slabs",
            self.id() as usize,
        )?;
        for class in SizeClass::all() {
            listed -= self.check_class(class, listed)?;
        }
        ensure(
            listed == 0,
            "a listed slab that is on no list",
            self.id() as usize,
        )?;
        Ok(steps)
    }

    /// Whether a heap that nobody has has nothing.
    fn check_spare(&'static self) -> Checked {
        let here = self.id() as usize;
        let mut any = false;
        self.for_each_slab(|_| any = true);
        ensure(!any, "a spare heap with slabs", here)?;
        for class in SizeClass::all() {
            let has = self.has_current(class)
                || self.first_listed(class).is_some()
                || !self.parked[class.index()].get().is_null();
            ensure(!has, "a spare heap with slabs", here)?;
        }
        Ok(())
    }

    /// Whether one slab, or run, is consistent, and stands where its state says.
    /// Returns how many free blocks were looked at.
    fn check_slab(&'static self, slab: &'static Slab) -> Result<u32, Broken> {
        let here = core::ptr::from_ref(slab) as usize;
        ensure(
            slab.holder() == self.id(),
            "a slab on another heap's list",
            here,
        )?;
        slab.check()?;
        if !slab.kind().is_slab() {
            return Ok(0);
        }
        let is_noted = match slab.state() {
            State::Current => core::ptr::eq(self.current(slab.class()), slab),
            #[cfg(not(feature = "hardened"))]
            State::Parked => {
                let parked = self.parked(slab.class());
                parked.is_some_and(|parked| core::ptr::eq(parked, slab))
            }
            State::Full | State::Listed => true,
        };
        ensure(is_noted, "a slab that its heap does not know", here)?;
        ensure(
            slab.remote().is_full_or_queued() == (slab.state() == State::Full),
            "a slab that is announced, or not, against its state",
            here,
        )?;
        #[cfg(not(feature = "hardened"))]
        let is_ours = slab.state() != State::Parked && self.is_ours_under_lock();
        #[cfg(feature = "hardened")]
        let is_ours = self.is_ours_under_lock();
        if !is_ours {
            // Its thread may be at the list.
            return slab.check_remote().map(|()| 0);
        }
        slab.check_lists()
    }

    /// Whether a class's words and lists name slabs of the class, in their states.
    /// Returns how many are on the list; there are at most so many.
    fn check_class(&'static self, class: SizeClass, most: usize) -> Result<usize, Broken> {
        let is_well = |slab: &'static Slab, state: State| {
            slab.kind() != Described::Nothing
                && slab.holder() == self.id()
                && slab.class() == class
                && slab.state() == state
        };
        let current = self.current(class);
        let is_none = core::ptr::eq(current, &NOBODY);
        ensure(
            is_none || self.has_longer(class) || is_well(current, State::Current),
            "a current slab that is none",
            core::ptr::from_ref(current) as usize,
        )?;
        if class.size() <= STEP_MAX {
            for step in class.steps() {
                ensure(
                    core::ptr::eq(self.at_step(step), current),
                    "a step with another slab than its class",
                    self.id() as usize,
                )?;
            }
        }
        #[cfg(not(feature = "hardened"))]
        if let Some(parked) = self.parked(class) {
            ensure(
                is_well(parked, State::Parked),
                "a parked slab that is none",
                core::ptr::from_ref(parked) as usize,
            )?;
        }
        let mut count = 0;
        let mut ring = Ring::default();
        for slab in self.all_listed(class) {
            let here = core::ptr::from_ref(slab) as usize;
            ensure(
                is_well(slab, State::Listed),
                "a slab on a list that is not its own",
                here,
            )?;
            let is_linked = ring.goes_on(slab, slab.links().1.get());
            ensure(is_linked, "a broken list of free slabs", here)?;
            count += 1;
            ensure(count <= most, "a slab on two lists", here)?;
        }
        ensure(
            ring.is_closed(),
            "a broken list of free slabs",
            self.id() as usize,
        )?;
        Ok(count)
    }
}

/// A list's predecessors, which go round.
#[derive(Default)]
struct Ring {
    /// What is before the first item, and the last one seen.
    before_first: Option<*const Slab>,
    last: Option<*const Slab>,
}

impl Ring {
    /// Whether `previous` is what it must be for the next item.
    fn goes_on(&mut self, item: &'static Slab, previous: *const Slab) -> bool {
        if let Some(last) = self.last.replace(item) {
            return core::ptr::eq(last, previous);
        }
        self.before_first = Some(previous);
        true
    }

    /// Whether the first item's predecessor is the last.
    fn is_closed(&self) -> bool {
        self.before_first == self.last
    }
}

#[cfg(all(test, not(feature = "hardened")))]
mod tests {
    use super::super::registry::{create, destroy};
    use super::super::{Heap, NOBODY};
    use super::{Broken, try_all};
    use crate::size_class::SizeClass;
    use crate::slab::{Poke, Slab, State};

    /// A heap with two slabs of a class: a listed one with a free block, and a
    /// current one. Returns the heap, its class and the listed slab.
    fn heap_with_slabs() -> (&'static Heap, SizeClass, &'static Slab) {
        let heap = create(None).expect("memory");
        let class = SizeClass::for_medium(512);
        let _guard = heap.lock.lock();
        let mut blocks = std::vec::Vec::new();
        for _ in 0..class.capacity() + 1 {
            blocks.push(heap.allocate_under_lock(class).expect("memory").block);
        }
        let mut full = None;
        heap.for_each_slab(|slab| {
            if slab.state() == State::Full {
                full = Some(slab);
            }
        });
        let slab = full.expect("the first slab is full");
        for block in &blocks[..3] {
            // SAFETY: the block is the slab's, and the heap has no thread.
            let _ = unsafe { slab.push(*block) }.expect("it is freed once");
        }
        assert!(slab.remote().unset_full());
        slab.recount();
        heap.list(slab);
        (heap, class, slab)
    }

    /// What the check of a heap says.
    fn found(heap: &'static Heap) -> &'static str {
        match heap.check() {
            Ok(_) => "nothing",
            Err(Broken { what, .. }) => what,
        }
    }

    #[test]
    fn a_broken_slab_is_found() {
        let (heap, _, slab) = heap_with_slabs();
        {
            let _guard = heap.lock.lock();
            assert_eq!(found(heap), "nothing");
            for (poke, what) in [
                (Poke::Bound, "a slab with other bounds than its blocks"),
                (Poke::Carved, "an impossible descriptor"),
                (Poke::Size, "a slab of another class"),
                (Poke::Counter, "blocks that do not add up"),
                (Poke::Mark, "a free block without its mark"),
                (Poke::Link, "a free list that leads astray"),
            ] {
                slab.poke(poke);
                assert_eq!(found(heap), what, "{poke:?}");
                slab.poke(poke);
                if !matches!(poke, Poke::Link) {
                    assert_eq!(found(heap), "nothing", "{poke:?}");
                }
            }
        }
        // SAFETY: nobody uses the heap or a block of it.
        unsafe { destroy(heap) };
    }

    #[test]
    fn a_block_that_is_freed_by_two_ways_is_found() {
        let (heap, _, slab) = heap_with_slabs();
        {
            let _guard = heap.lock.lock();
            let first = slab.start() as *mut u8;
            // SAFETY: the block is the slab's.
            unsafe { slab.push_remote(first) };
            assert_eq!(found(heap), "a block that is free twice");
        }
        // SAFETY: nobody uses the heap or a block of it.
        unsafe { destroy(heap) };
    }

    #[test]
    fn a_heap_with_broken_lists_is_found() {
        let (heap, class, slab) = heap_with_slabs();
        {
            let _guard = heap.lock.lock();
            let current = heap.current(class);
            let wrong = |break_it: &dyn Fn(), mend: &dyn Fn(), what: &str| {
                break_it();
                assert_eq!(found(heap), what);
                mend();
                assert_eq!(found(heap), "nothing");
            };
            wrong(
                &|| heap.set_current(class, slab),
                &|| heap.set_current(class, current),
                "a slab that its heap does not know",
            );
            wrong(
                &|| heap.set_current(class, &NOBODY),
                &|| heap.set_current(class, current),
                "a slab that its heap does not know",
            );
            wrong(
                &|| slab.set_state(State::Full),
                &|| slab.set_state(State::Listed),
                "a slab that is announced, or not, against its state",
            );
            wrong(
                &|| heap.unlist(slab),
                &|| heap.list(slab),
                "a listed slab that is on no list",
            );
            wrong(
                &|| slab.links().1.set(current),
                &|| slab.links().1.set(slab),
                "a broken list of free slabs",
            );
            let holder = slab.holder();
            wrong(
                &|| slab.set_holder(core::ptr::null_mut()),
                &|| slab.set_holder(holder),
                "a slab on another heap's list",
            );
            let before = current.all_links().1.get();
            wrong(
                &|| {
                    current
                        .all_links()
                        .1
                        .set(core::ptr::null::<Slab>().wrapping_add(1))
                },
                &|| current.all_links().1.set(before),
                "a broken list of slabs",
            );
        }
        // SAFETY: nobody uses the heap or a block of it.
        unsafe { destroy(heap) };
    }

    #[test]
    fn a_spare_heap_that_has_something_is_found() {
        let (heap, class, slab) = heap_with_slabs();
        // SAFETY: nobody uses the heap or a block of it.
        unsafe { destroy(heap) };
        // Another test may get the heap at once: of this one nothing is found
        // that is not so.
        static SPARE: Heap = Heap::new(super::Kind::Spare);
        assert_eq!(found(&SPARE), "nothing");
        SPARE.set_current(class, slab);
        assert_eq!(found(&SPARE), "a spare heap with slabs");
    }

    #[test]
    fn what_is_well_passes() {
        try_all().expect("nothing is broken");
    }
}
