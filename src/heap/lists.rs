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

fn link(head: &AtomicPtr<Slab>, item: &'static Slab, links: Links) {
    let (next, previous) = links(item);
    next.set(first(head).map_or(ptr::null(), ptr::from_ref));
    previous.set(ptr::null());
    if let Some(second) = first(head) {
        links(second).1.set(item);
    }
    set_first(head, item);
}

fn unlink(head: &AtomicPtr<Slab>, item: &'static Slab, links: Links) {
    let (next, previous) = links(item);
    match slab(previous.get()) {
        Some(before) => links(before).0.set(next.get()),
        None => set_first(head, next.get()),
    }
    if let Some(behind) = slab(next.get()) {
        links(behind).1.set(previous.get());
    }
}

impl Heap {
    /// Puts a slab on the list of those with free blocks.
    pub(super) fn list(&self, slab: &'static Slab) {
        slab.set_state(State::Listed);
        link(&self.listed[slab.class().index()], slab, Slab::links);
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

    /// All slabs of a class that have free blocks.
    pub(super) fn all_listed(&self, class: SizeClass) -> impl Iterator<Item = &'static Slab> {
        core::iter::successors(self.first_listed(class), |item| slab(item.links().0.get()))
    }

    /// Empties the list of a class.
    pub(super) fn unlist_all(&self, class: SizeClass) {
        set_first(&self.listed[class.index()], ptr::null());
    }

    /// Whether a listed slab is its class's only one.
    pub(super) fn is_only_listed(&self, slab: &'static Slab) -> bool {
        let (next, previous) = slab.links();
        next.get().is_null() && previous.get().is_null()
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
