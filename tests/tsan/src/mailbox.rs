//! A place where one thread leaves a block for another.
//!
//! It orders what the sender did before what the receiver does, as any program
//! that passes blocks must, and nothing the other way: a sender that finds the
//! place empty knows nothing of what the receiver has done. That the memory of a
//! block that was received and freed may be written to by the sender, who gets it
//! again, is for bifold to see to.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::block::Block;

pub struct Mailbox {
    address: AtomicPtr<u8>,
    size: AtomicUsize,
}

impl Mailbox {
    pub const fn new() -> Self {
        Self {
            address: AtomicPtr::new(ptr::null_mut()),
            size: AtomicUsize::new(0),
        }
    }

    /// Leaves a block there; for one sender. `Err`: there is one still.
    pub fn send(&self, block: Block) -> Result<(), Block> {
        // Relaxed on purpose: see above.
        if !self.address.load(Ordering::Relaxed).is_null() {
            return Err(block);
        }
        let (address, size) = block.into_raw();
        self.size.store(size, Ordering::Relaxed);
        self.address.store(address, Ordering::Release);
        Ok(())
    }

    /// Takes the block that is there; for one receiver.
    pub fn receive(&self) -> Option<Block> {
        let address = self.address.load(Ordering::Acquire);
        if address.is_null() {
            return None;
        }
        let size = self.size.load(Ordering::Relaxed);
        // Relaxed on purpose: see above.
        self.address.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: the sender has left both, and this is the one receiver.
        Some(unsafe { Block::from_raw(address, size) })
    }
}
