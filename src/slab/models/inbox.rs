//! The inbox alone.

use loom::cell::UnsafeCell;
use loom::thread;

use super::{Inbox, Linked, check, check_bounded, forever};
use crate::sync::atomic::AtomicPtr;

/// What stands for a slab.
struct Item {
    next: AtomicPtr<Item>,
    /// How often it was received; a consumer's business alone.
    received: UnsafeCell<u32>,
}

impl Linked for Item {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.next
    }
}

impl Item {
    fn new() -> &'static Self {
        forever(Self {
            next: AtomicPtr::new(core::ptr::null_mut()),
            received: UnsafeCell::new(0),
        })
    }

    fn receive(&self) {
        // SAFETY: the checker sees to it that nobody else is at it.
        self.received.with_mut(|count| unsafe { *count += 1 });
    }

    fn received(&self) -> u32 {
        // SAFETY: as above.
        self.received.with(|count| unsafe { *count })
    }
}

// SAFETY: the link is atomic, the cell is watched by the checker.
unsafe impl Sync for Item {}

/// Starts a thread that puts an item in; it returns whether that was let in.
fn pusher(inbox: &'static Inbox<Item>, item: &'static Item) -> thread::JoinHandle<bool> {
    thread::spawn(move || inbox.push(item))
}

fn items() -> [&'static Item; 2] {
    [Item::new(), Item::new()]
}

/// The inbox is emptied and then closed under two pushers: each item is
/// received once, or its pusher knows that it was not let in.
#[test]
fn loom_an_item_is_received_once_or_its_pusher_is_told() {
    check(|| {
        let (inbox, items) = (forever(Inbox::new(false)), items());
        let pushers = items.map(|item| pusher(inbox, item));
        let consumer = thread::spawn(move || {
            inbox.take().for_each(Item::receive);
            inbox.close().for_each(Item::receive);
        });
        consumer.join().unwrap();
        for (item, pusher) in items.into_iter().zip(pushers) {
            let let_in = pusher.join().unwrap();
            assert_eq!(item.received(), u32::from(let_in));
        }
        assert!(!inbox.has_any() && inbox.take().next().is_none());
        assert!(!inbox.push(items[0]));
    });
}

/// The inbox is closed and opened again: what comes in between is told so,
/// what comes before and after is received once.
#[test]
fn loom_a_reopened_inbox_loses_nothing() {
    check(|| {
        let (inbox, items) = (forever(Inbox::new(false)), items());
        let pushers = items.map(|item| pusher(inbox, item));
        inbox.close().for_each(Item::receive);
        inbox.open();
        let let_in = pushers.map(|pusher| pusher.join().unwrap());
        inbox.take().for_each(Item::receive);
        assert_eq!(items.map(Item::received), let_in.map(u32::from));
    });
}

/// An item goes from one inbox into another while it is being taken: the
/// consumer of the first has read its link by then.
#[test]
fn loom_an_item_moves_on_while_others_are_taken() {
    check_bounded(|| {
        let (first, second) = (forever(Inbox::new(false)), forever(Inbox::new(false)));
        let items = items();
        assert!(first.push(items[0]) && first.push(items[1]));
        let mover = thread::spawn(move || assert!(first.take().all(|item| second.push(item))));
        let consumer = thread::spawn(move || second.take().for_each(Item::receive));
        mover.join().unwrap();
        consumer.join().unwrap();
        second.take().for_each(Item::receive);
        assert_eq!(items.map(Item::received), [1, 1]);
    });
}
