//! What a virtual machine's host does with the guest's free memory.
//!
//! References: the VIRTIO specification 1.2, section 5.5 (memory balloon device),
//! and the kernel's `Documentation/mm/free_page_reporting.rst`.

use core::sync::atomic::{AtomicU8, Ordering};

use super::file;

/// A balloon's device number as the kernel writes it, and the place of
/// `VIRTIO_BALLOON_F_REPORTING` in what it writes of the features.
const BALLOON: &[u8] = b"0x0005";
const REPORTING: usize = 5;
/// How many virtio devices are looked at.
const MOST_DEVICES: u8 = 10;

/// Whether the host takes back what the guest leaves free for seconds in huge
/// pages, so that a huge page is mostly one that the host has to find first. Looks
/// into `/sys` once.
pub fn host_takes_free_memory() -> bool {
    static ANSWER: AtomicU8 = AtomicU8::new(0);
    // Relaxed: the answer is the same whoever finds it.
    match ANSWER.load(Ordering::Relaxed) {
        0 => {
            let takes = (b'0'..b'0' + MOST_DEVICES).any(reports_free_pages);
            ANSWER.store(1 + u8::from(takes), Ordering::Relaxed);
            takes
        }
        answer => answer == 2,
    }
}

fn reports_free_pages(digit: u8) -> bool {
    let (mut name, mut content) = ([0; 64], [0; 64]);
    let mut starts_with = |leaf: &[u8], at: usize, wanted: &[u8]| {
        file::name_of(
            &[b"/sys/bus/virtio/devices/virtio", &[digit], leaf],
            &mut name,
        )
        .and_then(|name| file::read(name, &mut content))
        .and_then(|content| content.get(at..))
        .is_some_and(|content| content.starts_with(wanted))
    };
    starts_with(b"/device", 0, BALLOON) && starts_with(b"/features", REPORTING, b"1")
}
