//! Kept mappings: a few that were freed stay for a moment, bounded in number,
//! bytes and age, because mapping and touching again costs far more than keeping.

use super::mapping::remap;
use super::{LARGE, Large, Mapping};
use crate::options::{self, Purge};
use crate::os::{memory, process};
use crate::pages::{due, limit, stranded};

/// Kept mappings: how many, and how old in milliseconds. How many bytes they
/// may have, with the live ones, is the recent peak of those.
pub(super) const KEPT: usize = 32;
const KEPT_AGE: u64 = 500;

/// What is too much is cut off a kept mapping if so many bytes of it stay.
const REST_LEAST: usize = 64 << 10;

/// A kept mapping is handed out whole if it is longer than needed by at most
/// one part in so many.
const SLACK: usize = 16;

/// How many must be freed, with no longer pauses in milliseconds, before any
/// is kept.
const CHURN_LEAST: usize = 4;
const CHURN_PAUSE: u64 = 1000;

/// A mapping that was freed and is still there.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    /// Where it starts.
    pub(super) address: usize,
    /// Its bytes.
    pub(super) length: usize,
    /// When it was freed.
    pub(super) since: u64,
}

impl Kept {
    /// What is behind so many bytes of it, fewer than all or all.
    fn behind(self, length: usize) -> Self {
        if length == self.length {
            return NOTHING;
        }
        Self {
            address: self.address + length,
            length: self.length - length,
            ..self
        }
    }

    /// Makes it at most so long, if anything worth while stays. Returns what
    /// is cut off.
    fn cut(&mut self, room: usize) -> Self {
        if self.length <= room {
            return NOTHING;
        }
        if room < REST_LEAST {
            return core::mem::replace(self, NOTHING);
        }
        let length = room & !(memory::page_size() - 1);
        let rest = self.behind(length);
        self.length = length;
        rest
    }

    fn is_old(&self, now: u64) -> bool {
        self.address != 0
            && now.wrapping_sub(self.since) > KEPT_AGE
            && options::purge() != Purge::Never
    }
}

pub(super) const NOTHING: Kept = Kept {
    address: 0,
    length: 0,
    since: 0,
};

/// Makes a mapping of this length of one that is kept: of the shortest that is
/// long enough, whose rest stays kept, or of the longest, if that is half of
/// it. Pages that are resident cost far less than new ones.
pub(super) fn take_kept(length: usize) -> Option<Mapping> {
    let mut large = LARGE.lock();
    let long_enough = large.kept.iter_mut().filter(|kept| kept.length >= length);
    if let Some(kept) = long_enough.min_by_key(|kept| kept.length) {
        let (address, rest) = (kept.address, kept.length - length);
        let length = if rest > length / SLACK {
            length
        } else {
            kept.length
        };
        *kept = kept.behind(length);
        return Some(Mapping {
            address,
            length,
            clean: false,
        });
    }
    let longest = large.kept.iter_mut().max_by_key(|kept| kept.length)?;
    if longest.length < length / 2 {
        return None;
    }
    let kept = core::mem::replace(longest, NOTHING);
    drop(large);
    // SAFETY: what was kept was taken out, and is nobody's now.
    match unsafe { remap(kept.address, kept.length, length) } {
        Some(address) => Some(Mapping {
            address,
            length,
            clean: false,
        }),
        None => {
            unmap_all(&[kept]);
            None
        }
    }
}

/// Keeps a mapping for a while, at the expense of older ones.
pub(super) fn keep_or_unmap(address: usize, length: usize) {
    let now = process::coarse_milliseconds();
    let mut leaving = [NOTHING; KEPT + 2];
    let mut newest = Kept {
        address,
        length,
        since: now,
    };
    let mut large = LARGE.lock();
    let allowance = large.allowance(now);
    large.join_kept(&mut newest);
    // There are few, so that looking at each is as good as an order.
    let mut room = allowance;
    leaving[KEPT] = newest.cut(room);
    room -= newest.length;
    let (mut oldest, mut least) = (0, u64::MAX);
    for (i, (kept, leaving)) in large.kept.iter_mut().zip(&mut leaving).enumerate() {
        *leaving = kept.cut(if kept.is_old(now) { 0 } else { room });
        room -= kept.length;
        if kept.since < least {
            (oldest, least) = (i, kept.since);
        }
    }
    let is_kept = newest.length > 0;
    if is_kept {
        leaving[KEPT + 1] = core::mem::replace(&mut large.kept[oldest], newest);
    }
    drop(large);
    if is_kept {
        request_tick(now);
    }
    unmap_all(&leaving);
}

/// Has [`tick`] called when what is kept since then is old, which it never
/// becomes where nothing is purged.
fn request_tick(since: u64) {
    if options::purge() != Purge::Never {
        due::request(since + KEPT_AGE + 1);
    }
}

/// Unmaps the mappings that have been kept for long.
pub fn tick(now: u64) {
    let mut leaving = [NOTHING; KEPT];
    let mut large = LARGE.lock();
    let mut youngest = None;
    for (kept, leaving) in large.kept.iter_mut().zip(&mut leaving) {
        if kept.is_old(now) {
            *leaving = core::mem::replace(kept, NOTHING);
        } else if kept.address != 0 {
            youngest = youngest.max(Some(kept.since));
        }
    }
    drop(large);
    if let Some(since) = youngest {
        request_tick(since);
    }
    unmap_all(&leaving);
}

/// Unmaps what was kept and was taken out; returns the bytes.
pub(super) fn unmap_all(leaving: &[Kept]) -> usize {
    let leaving = leaving.iter().filter(|kept| kept.address != 0);
    leaving.fold(0, |bytes, kept| {
        // SAFETY: the mapping was given up and nobody has it any more.
        unsafe { stranded::unmap(kept.address, kept.length) };
        limit::uncharge(kept.length);
        bytes + kept.length
    })
}

/// Unmaps every kept mapping, and what could not be unmapped before. Returns the
/// bytes.
pub fn release_kept() -> usize {
    #[cfg(feature = "hardened")]
    super::fenced::release_away();
    let kept = core::mem::replace(&mut LARGE.lock().kept, [NOTHING; KEPT]);
    unmap_all(&kept) + stranded::retry()
}

impl Large {
    /// Joins a mapping with those that are kept and lie next to it, so that
    /// what was split becomes whole again.
    fn join_kept(&mut self, newest: &mut Kept) {
        for kept in self.kept.iter_mut().filter(|kept| kept.address != 0) {
            if kept.address + kept.length == newest.address {
                newest.address = kept.address;
            } else if newest.address + newest.length != kept.address {
                continue;
            }
            newest.length += kept.length;
            *kept = NOTHING;
        }
    }

    /// Bytes that kept mappings may have, when one more has been freed. A
    /// program that frees a few and goes on to something else keeps none.
    fn allowance(&mut self, now: u64) -> usize {
        if now.wrapping_sub(self.last_free) > CHURN_PAUSE {
            self.churn = 0;
        }
        self.last_free = now;
        self.churn += 1;
        if self.churn < CHURN_LEAST {
            return 0;
        }
        if options::purge() == Purge::Now {
            return 0;
        }
        self.note_peak(now) - self.live
    }
}
