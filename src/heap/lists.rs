//! A heap's lists of slabs, doubly linked through the descriptors; all under
//! the heap's lock.

use core::cell::Cell;
use core::ptr;

use super::Heap;
use crate::size_class::SizeClass;
use crate::slab::{Slab, State};
use crate::sync::atomic::{AtomicPtr, Ordering};

type Links = fn(&Slab) -> (&Cell<*const Slab>, &Cell<*const Slab>);

fn slab(pointer: *const Slab) -> Option<&'static Slab> {
    // SAFETY: lists hold descriptors, which are never unmapped.
    unsafe { pointer.as_ref() }
}

/// A list's first item. Atomic, because other threads peek at it.
fn first(head: &AtomicPtr<Slab>) -> Option<&'static Slab> {
    slab(head.load(Ordering::Relaxed))
}

fn set_first(head: &AtomicPtr<Slab>, item: *const Slab) {
    head.store(item.cast_mut(), Ordering::Relaxed);
}

/// Puts an item first. What is before the first is the last.
fn link(head: &AtomicPtr<Slab>, item: &'static Slab, links: Links) {
    let (next, previous) = links(item);
    match first(head) {
        Some(second) => {
            previous.set(links(second).1.replace(item));
            next.set(second);
        }
        None => {
            previous.set(item);
            next.set(ptr::null());
        }
    }
    set_first(head, item);
}

/// Puts an item last.
fn link_last(head: &AtomicPtr<Slab>, item: &'static Slab, links: Links) {
    let last = first(head).and_then(|first| slab(links(first).1.get()));
    link(head, item, links);
    if let Some(last) = last {
        // Round the ring by one: the item before the first is the last.
        let (next, _) = links(item);
        set_first(head, next.replace(ptr::null()));
        links(last).0.set(item);
    }
}

fn unlink(head: &AtomicPtr<Slab>, item: &'static Slab, links: Links) {
    let (next, previous) = links(item);
    let Some(first) = first(head) else { return };
    match slab(next.get()) {
        Some(behind) => links(behind).1.set(previous.get()),
        None => links(first).1.set(previous.get()),
    }
    if ptr::eq(first, item) {
        set_first(head, next.get());
    } else if let Some(before) = slab(previous.get()) {
        links(before).0.set(next.get());
    }
}

impl Heap {
    /// Puts a slab on the list of those with free blocks, behind the others: by
    /// the time that it is used more of its blocks are free, or all.
    pub(super) fn list(&self, slab: &'static Slab) {
        slab.set_state(State::Listed);
        link_last(&self.listed[slab.class().index()], slab, Slab::links);
    }

    /// Takes a slab from that list.
    pub(super) fn unlist(&self, slab: &'static Slab) {
        debug_assert_eq!(slab.state(), State::Listed);
        unlink(&self.listed[slab.class().index()], slab, Slab::links);
    }

    /// The first slab of a class that has free blocks.
    pub(super) fn first_listed(&self, class: SizeClass) -> Option<&'static Slab> {
        first(&self.listed[class.index()])
    }

    /// All slabs of a class that have free blocks; the one that was returned last
    /// may be taken from the list.
    pub(super) fn all_listed(&self, class: SizeClass) -> impl Iterator<Item = &'static Slab> {
        core::iter::successors(self.first_listed(class), |item| slab(item.links().0.get()))
    }

    /// Empties the list of a class.
    pub(super) fn unlist_all(&self, class: SizeClass) {
        set_first(&self.listed[class.index()], ptr::null());
    }

    /// Whether a listed slab is its class's only one.
    pub(super) fn is_only_listed(&self, slab: &'static Slab) -> bool {
        ptr::eq(slab.links().1.get(), slab)
    }

    /// Makes a slab, or a run, the heap's.
    pub(super) fn adopt(&self, slab: &'static Slab) {
        slab.set_holder(self.id());
        link(&self.all, slab, Slab::all_links);
    }

    /// Takes a slab, or a run, from the heap.
    pub(super) fn disown(&self, slab: &'static Slab) {
        unlink(&self.all, slab, Slab::all_links);
    }

    /// Calls `each` with every slab and run of the heap; `each` may take the
    /// one that it is given away.
    pub(super) fn for_each_slab(&self, mut each: impl FnMut(&'static Slab)) {
        let mut at = first(&self.all);
        while let Some(item) = at {
            at = slab(item.all_links().0.get());
            each(item);
        }
    }
}
