//! Which blocks of a slab are free, in a hardened build: bits in the
//! descriptor, nothing in the blocks.
//!
//! A program that writes where it must not writes into no link of bifold's, and
//! whether a block is in use does not depend on what is in it. Each block has
//! four bits:
//!
//! ```text
//!   free      it can be handed out             its owner writes
//!   live      it was handed out                its owner writes
//!   claimed   another thread has freed it      others set, its owner clears
//!   returned  ... and is done with it          others set, its owner clears
//!
//!   not cut ----> free ----> live ----> (none) quarantine ----> free
//!                              \                                 ^
//!                               \--> live claimed quarantine     |
//!                                         --> live claimed returned
//! ```
//!
//! The owner is the thread of the slab's holder, or who holds the holder's lock
//! where that has no thread. Both ways of a free, the owner's and the others',
//! begin with a look at `live` and `claimed`, so that a second free is found at
//! the call whatever became of the block, unless it is in use again. Of two
//! threads that free a block at the very same moment both may be let through;
//! then a later step of one finds the other's marks.

mod look;
mod remote;

use core::num::NonZeroU64;

use super::descriptor::{COUNTER, Slab};
use super::kind::{Kind, State};
use crate::pages::PAGE;
use crate::sync::atomic::{AtomicU64, Ordering, compiler_fence};
use crate::sync::folded;

/// Blocks in a group: bits of a word.
const GROUP: u32 = 64;
const GROUPS: usize = 32;

/// The marks of 64 neighbours.
#[repr(C, align(32))]
pub struct Group {
    free: AtomicU64,
    live: AtomicU64,
    claimed: AtomicU64,
    returned: AtomicU64,
}

/// The marks of all blocks of a slab.
pub(super) struct Marks([Group; GROUPS]);

impl Marks {
    pub(super) const fn none() -> Self {
        Self([const { Group::none() }; GROUPS])
    }
}

/// A block that was taken from a slab.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Its address.
    pub block: usize,
    /// Its bytes.
    pub length: usize,
    /// Whether it was never handed out since it was cut.
    pub is_new: bool,
}

/// Why no block was taken from a slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No block is free, or there is nothing random.
    Nothing,
    /// This one is free, and in use or on its way back, too.
    Twice(usize),
}

/// Where the marks of a block are.
#[derive(Clone, Copy)]
pub struct Mark<'a> {
    group: &'a Group,
    /// Which of the slab's blocks it is.
    number: u32,
}

impl Mark<'_> {
    #[inline(always)]
    fn mask(self) -> u64 {
        1 << (self.number % GROUP)
    }

    /// Whether the word has the block's bit.
    #[inline(always)]
    fn is_in(self, word: u64) -> bool {
        word >> (self.number % GROUP) & 1 != 0
    }
}

/// How a block stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The program has it.
    Live,
    /// It can be handed out.
    Free,
    /// Its owner has freed it, and it waits.
    Waiting,
    /// Another thread is freeing it, or has.
    Claimed,
}

impl Group {
    const fn none() -> Self {
        Self {
            free: AtomicU64::new(0),
            live: AtomicU64::new(0),
            claimed: AtomicU64::new(0),
            returned: AtomicU64::new(0),
        }
    }
}

impl Slab {
    /// Where the marks of a block are. The address is a block's.
    #[inline(always)]
    pub fn mark(&self, block: usize) -> Mark<'_> {
        let number = self.number_of(block);
        debug_assert!(number < self.carved().max(1));
        self.mark_of(number)
    }

    #[inline(always)]
    fn mark_of(&self, number: u32) -> Mark<'_> {
        let group = self.group(number);
        Mark { group, number }
    }

    /// Where the marks of the block before are; `None`: there is none.
    #[inline(always)]
    pub fn mark_before(&self, mark: Mark<'_>) -> Option<Mark<'_>> {
        Some(self.mark_of(mark.number.checked_sub(1)?))
    }

    /// [`Slab::mark`] of an address that may be any; `None`: it is no block's, as
    /// [`Slab::is_medium_block`] says. Both are in one product.
    #[inline(always)]
    pub fn find_mark(&self, address: usize) -> Option<Mark<'_>> {
        let product = self.product(address);
        let is_block = product as u64 <= self.bound.load(Ordering::Relaxed);
        is_block.then(|| self.mark_of((product >> 64) as u32))
    }

    /// Which of the slab's blocks lies at an offset; the division of
    /// [`Slab::is_small_block`], of which this is the quotient.
    #[inline(always)]
    fn number_of(&self, block: usize) -> u32 {
        (self.product(block) >> 64) as u32
    }

    #[inline(always)]
    fn product(&self, address: usize) -> u128 {
        let offset = address.wrapping_sub(self.start()) as u64;
        u128::from(offset) * u128::from(self.reciprocal.load(Ordering::Relaxed))
    }

    /// The group of a block, by its number.
    #[inline(always)]
    fn group(&self, block: u32) -> &Group {
        &self.marks.0[(block / GROUP) as usize % GROUPS]
    }

    fn block_at(&self, number: u32) -> usize {
        self.start() + number as usize * self.size()
    }

    /// The groups of the blocks that have been cut.
    fn groups(&self) -> &[Group] {
        &self.marks.0[..(self.carved().div_ceil(GROUP) as usize).min(GROUPS)]
    }

    /// Forgets all blocks of a slab that is begun anew.
    pub(super) fn clear_marks(&self) {
        let groups = self.capacity().div_ceil(GROUP) as usize;
        for group in &self.marks.0[..groups.min(GROUPS)] {
            for word in [&group.free, &group.live, &group.claimed, &group.returned] {
                word.store(0, Ordering::Relaxed);
            }
        }
        self.line.group.set(0);
        self.line.stocked.set(0);
        self.line.fresh.set(0);
    }

    /// Takes a free block, one of up to 64 by chance. `random` returns eight random
    /// bits, if it can.
    ///
    /// # Errors
    ///
    /// Why none was taken.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    #[inline(always)]
    pub unsafe fn take(&self, random: impl Fn() -> Option<u32>) -> Result<Taken, Refused> {
        let mut number = self.line.group.get();
        let mut group = self.group(number * GROUP);
        let mut free = group.free.load(Ordering::Relaxed);
        if free == 0 {
            let stocked = self.line.stocked.get();
            if stocked == 0 {
                return Err(Refused::Nothing);
            }
            let turn = random().ok_or(Refused::Nothing)? % u32::BITS;
            number = (stocked.rotate_right(turn).trailing_zeros() + turn) % u32::BITS;
            self.line.group.set(number);
            group = self.group(number * GROUP);
            free = group.free.load(Ordering::Relaxed);
            if free == 0 {
                return Err(Refused::Nothing);
            }
        }
        let turn = random().ok_or(Refused::Nothing)? % GROUP;
        // SAFETY: it is not zero, which compilers do not see.
        let turned = unsafe { NonZeroU64::new_unchecked(free.rotate_right(turn)) };
        let bit = (turned.trailing_zeros() + turn) % GROUP;
        let mark = Mark {
            group,
            number: number * GROUP + bit,
        };
        let length = self.size();
        let block = self.start() + mark.number as usize * length;
        let live = group.live.load(Ordering::Relaxed);
        let mask = mark.mask();
        if (live | group.claimed.load(Ordering::Relaxed)) & mask != 0 {
            return Err(Refused::Twice(block));
        }
        // The bit is set there, and not in `live`.
        let rest = free ^ mask;
        group.free.store(rest, Ordering::Relaxed);
        if rest == 0 {
            let stocked = self.line.stocked.get();
            self.line.stocked.set(stocked & !(1 << number));
        }
        // A forked child that finds this thread between the two stores has a
        // block that nobody has, not one that is handed out twice.
        compiler_fence(Ordering::Release);
        group.live.store(live | mask, Ordering::Relaxed);
        let fresh = self.line.fresh.get();
        let is_new = fresh & mask != 0 && number == (self.carved() - 1) / GROUP;
        if is_new {
            self.line.fresh.set(fresh ^ mask);
        }
        Ok(Taken {
            block,
            length,
            is_new,
        })
    }

    /// Makes blocks free: bits of a group.
    #[inline(always)]
    fn stock(&self, number: u32, free: u64) {
        let group = self.group(number * GROUP);
        group
            .free
            .store(group.free.load(Ordering::Relaxed) | free, Ordering::Relaxed);
        self.line.stocked.set(self.line.stocked.get() | 1 << number);
    }

    /// Begins the free of a block by the slab's owner. Returns whether the
    /// program had it.
    ///
    /// # Safety
    ///
    /// The caller is the owner, and the mark is of one of the slab's blocks.
    #[inline(always)]
    pub unsafe fn release(&self, mark: Mark<'_>) -> bool {
        let group = mark.group;
        let (live, mask) = (group.live.load(Ordering::Relaxed), mark.mask());
        if live & mask == 0 {
            return false;
        }
        group.live.store(live ^ mask, Ordering::Relaxed);
        group.claimed.load(Ordering::Relaxed) & mask == 0
    }

    /// Ends the free of a block, by the slab's owner: it can be handed out again.
    /// Returns whether it was the last before the holder must look at the slab.
    /// `None`: nothing is done, as there are marks that [`Slab::disclaim`] must see.
    ///
    /// # Safety
    ///
    /// The caller is the owner, and has begun the free of the block.
    #[inline(always)]
    pub unsafe fn make_free(&self, block: usize) -> Option<bool> {
        let mark = self.mark(block);
        let group = mark.group;
        let free = group.free.load(Ordering::Relaxed);
        let used = group.live.load(Ordering::Relaxed) | group.claimed.load(Ordering::Relaxed);
        if mark.is_in(free | used) {
            return None;
        }
        group.free.store(free | mark.mask(), Ordering::Relaxed);
        if free == 0 {
            let stocked = self.line.stocked.get();
            self.line.stocked.set(stocked | 1 << (mark.number / GROUP));
        }
        compiler_fence(Ordering::Release);
        // SAFETY: the counter is the owner's, and so the calling thread's.
        Some(unsafe { folded::count_down::<COUNTER>(self.at()) })
    }

    /// Cuts the next blocks and makes them free; there are no others. None is
    /// returned.
    ///
    /// # Safety
    ///
    /// The caller is the owner, and [`Slab::can_carve`].
    pub unsafe fn carve_next(&self) -> Option<*mut u8> {
        let (carved, end) = (self.carved(), self.next_carved());
        let number = carved / GROUP;
        let new = (u64::MAX >> (GROUP - (end - carved))) << (carved % GROUP);
        self.stock(number, new);
        self.line.group.set(number);
        self.line.fresh.set(new);
        self.set_carved(end);
        None
    }

    /// How many blocks will have been cut after the next time: what is left of
    /// their group, so that there is a choice. Of a guarded slab, whose pages
    /// must be locked before, those that end on the next page, or one.
    pub(super) fn next_carved(&self) -> u32 {
        let (carved, capacity) = (self.carved(), self.capacity());
        let group_end = (carved + 1).next_multiple_of(GROUP).min(capacity);
        if !self.is_guarded() {
            return group_end;
        }
        let size = self.size();
        let page_end = (carved as usize * size + size).next_multiple_of(PAGE);
        group_end.min((page_end / size).max(carved as usize + 1) as u32)
    }

    /// Notes how many bytes were asked for of a run that is one block.
    pub fn set_requested(&self, size: usize) {
        self.line.counter.rest.store(size as u32, Ordering::Relaxed);
    }

    /// How many bytes were asked for of a run that is one block.
    pub fn requested(&self) -> usize {
        self.line.counter.rest.load(Ordering::Relaxed) as usize
    }

    /// Retires for good a slab whose contents a fork has wiped. Nobody else is
    /// at it.
    pub fn retire_wiped(&self) {
        self.set_kind(Kind::Wiped);
        self.set_state(State::Full);
        for group in self.groups() {
            group.free.store(0, Ordering::Relaxed);
        }
        self.line.stocked.set(0);
        self.remote.queue.reset();
    }
}

#[cfg(test)]
mod tests;
