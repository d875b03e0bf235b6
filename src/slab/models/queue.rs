//! The remote queue alone.

use loom::sync::Arc;
use loom::thread;

use super::{Blocks, Pushed, RemoteQueue, check, check_bounded};

/// A queue and the blocks that go in.
fn slab() -> Arc<(RemoteQueue, Blocks)> {
    Arc::new((RemoteQueue::new(), Blocks::new()))
}

/// Starts a thread that pushes blocks; it returns how many it must announce.
fn pusher(
    slab: &Arc<(RemoteQueue, Blocks)>,
    pushes: impl IntoIterator<Item = u32> + Send + 'static,
) -> thread::JoinHandle<u32> {
    let slab = Arc::clone(slab);
    thread::spawn(move || {
        let (queue, blocks) = &*slab;
        let pushed = pushes.into_iter().map(|block| blocks.push(queue, block));
        pushed
            .map(|pushed| u32::from(pushed == Pushed::Announce))
            .sum()
    })
}

/// Starts a thread that takes so often; it returns what it got, and how many.
///
/// Where a thread begins with a load, the checker finds the orders in which
/// that comes late only if the thread starts last.
fn taker(slab: &Arc<(RemoteQueue, Blocks)>, times: u32) -> thread::JoinHandle<([u32; 4], u32)> {
    let slab = Arc::clone(slab);
    thread::spawn(move || {
        let (queue, blocks) = &*slab;
        let mut seen = [0; 4];
        let count = (0..times).map(|_| blocks.take(queue, &mut seen)).sum();
        (seen, count)
    })
}

/// Two pushers against a taker: each block comes out once, and each count is
/// the length of its chain.
#[test]
fn loom_no_block_is_lost_or_taken_twice() {
    check_bounded(|| {
        let slab = slab();
        let pushers = [pusher(&slab, [0, 1]), pusher(&slab, [2, 3])];
        let taker = taker(&slab, 2);
        let (queue, blocks) = &*slab;
        for pusher in pushers {
            assert_eq!(pusher.join().unwrap(), 0);
        }
        let (mut seen, mut count) = taker.join().unwrap();
        assert_eq!(queue.count(), 4 - count);
        count += blocks.take(queue, &mut seen);
        assert_eq!((seen, count), ([1; 4], 4));
        assert_eq!((queue.count(), queue.peek()), (0, None));
    });
}

/// The same with one block each, in every order.
#[test]
fn loom_a_block_that_comes_in_is_taken_once() {
    check(|| {
        let slab = slab();
        let pushers = [pusher(&slab, [0]), pusher(&slab, [1])];
        let taker = taker(&slab, 1);
        let (queue, blocks) = &*slab;
        for pusher in pushers {
            pusher.join().unwrap();
        }
        let (mut seen, _) = taker.join().unwrap();
        blocks.take(queue, &mut seen);
        assert_eq!(seen, [1, 1, 0, 0]);
    });
}

/// The second free of one block in a row is told.
#[test]
fn loom_the_top_block_is_not_pushed_twice() {
    check(|| {
        let slab = slab();
        let (queue, blocks) = &*slab;
        assert_eq!(blocks.push(queue, 0), Pushed::In(1));
        assert_eq!(blocks.push(queue, 0), Pushed::Twice);
        assert_eq!(queue.count(), 1);
    });
}

/// Of the pushes into a full slab exactly one must announce it. What the
/// holder finds when it says *full* is in the queue already.
#[test]
fn loom_a_full_slab_is_announced_exactly_once() {
    check(|| {
        let slab = slab();
        let pushers = [pusher(&slab, [0]), pusher(&slab, [1])];
        let (queue, blocks) = &*slab;
        let full = queue.set_full();
        if !full {
            assert_ne!(queue.count(), 0);
        }
        let announced: u32 = pushers.into_iter().map(|it| it.join().unwrap()).sum();
        assert_eq!(announced, u32::from(full));
        assert_eq!(queue.is_queued(), full);
        if full {
            // It has come out of the inbox: from now on nobody announces it,
            // until it is full again.
            queue.unset_queued();
            assert!(!queue.is_queued() && !queue.set_full());
            assert_eq!(blocks.push(queue, 2), Pushed::In(3));
            let mut seen = [0; 4];
            assert_eq!(blocks.take(queue, &mut seen), 3);
            assert!(queue.set_full());
            assert_eq!(blocks.push(queue, 0), Pushed::Announce);
        }
    });
}

/// The holder, which has freed blocks itself, takes a full slab back while
/// others push: either it has the slab, or a pusher announces it.
#[test]
fn loom_a_full_slab_is_taken_back_or_announced() {
    check(|| {
        let slab = slab();
        let (queue, blocks) = &*slab;
        assert!(queue.set_full());
        let pushers = [pusher(&slab, [0]), pusher(&slab, [1])];
        let back = queue.unset_full();
        let announced: u32 = pushers.into_iter().map(|it| it.join().unwrap()).sum();
        assert_eq!(announced, u32::from(!back));
        assert_eq!(queue.is_queued(), !back);
        assert!(!queue.unset_full());
        let mut seen = [0; 4];
        assert_eq!(blocks.take(queue, &mut seen), 2);
        // Taking blocks leaves the state as it was.
        assert_eq!(queue.is_queued(), !back);
    });
}

/// A queue is closed under its pushers, and a block comes in that must not open it
/// again: no block is lost.
#[test]
fn loom_a_queue_is_closed_beside_pushes() {
    check(|| {
        let slab = slab();
        let (queue, blocks) = &*slab;
        assert_eq!(blocks.push(queue, 0), Pushed::In(1));
        let pusher = pusher(&slab, [1]);
        queue.close();
        blocks.push_watched(queue, 2);
        assert_eq!(pusher.join().unwrap(), 0);
        let mut seen = [0; 4];
        assert_eq!(blocks.take(queue, &mut seen), 3);
        assert_eq!(seen, [1, 1, 1, 0]);
        queue.close();
        assert_eq!(blocks.push_watched(queue, 3), Pushed::In(1));
        assert_eq!(queue.push_open(super::address_of(0), |_| ()), None);
    });
}

/// The holder takes blocks from a slab that is queued, and says that it has
/// come out, while others push: none is lost to the change of state.
#[test]
fn loom_the_state_changes_beside_pushes() {
    check_bounded(|| {
        let slab = slab();
        let (queue, blocks) = &*slab;
        assert!(queue.set_full());
        assert_eq!(blocks.push(queue, 0), Pushed::Announce);
        let pushers = [pusher(&slab, [1]), pusher(&slab, [2])];
        let mut seen = [0; 4];
        queue.unset_queued();
        blocks.take(queue, &mut seen);
        let full = queue.set_full();
        let announced: u32 = pushers.into_iter().map(|it| it.join().unwrap()).sum();
        assert!(announced <= u32::from(full));
        assert_eq!(queue.is_queued(), announced == 1);
        blocks.take(queue, &mut seen);
        assert_eq!(seen, [1, 1, 1, 0]);
    });
}
