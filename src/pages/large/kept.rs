//! Kept mappings: a few that were freed stay for a moment, bounded in number,
//! bytes and age, because mapping and touching again costs far more than keeping.

use super::{LARGE, Large, Mapping};
use crate::options::{self, Purge};
use crate::os::{memory, process};
use crate::pages::seams::{Origin, Seams};
use crate::pages::{due, limit, stranded};

/// Kept mappings: how many, and how old in milliseconds. How many bytes they
/// may have, with the live ones, is the recent peak of those.
pub(super) const KEPT: usize = 32;
const KEPT_AGE: u64 = 500;

/// What is too much is cut off a kept mapping if so many bytes of it stay.
const REST_LEAST: usize = 64 << 10;

/// Bytes to unmap in one call of malloc or free: some ten microseconds. And how many
/// may wait for it, at most an eighth of the recent peak.
const PIECE: usize = 256 << 10;
const WAITING: usize = 2 << 20;

/// A kept mapping is handed out whole if it is longer than needed by at most
/// one part in so many.
const SLACK: usize = 16;

/// How many must be freed, with no longer pauses in milliseconds, before any
/// is kept.
const CHURN_LEAST: usize = 4;
const CHURN_PAUSE: u64 = 1000;

/// What is to be unmapped or moved: lists of these lie on stacks, which may be short.
#[derive(Clone, Copy)]
pub(super) struct Span {
    /// Where it starts.
    pub(super) address: usize,
    /// Its bytes, or 0: nothing.
    pub(super) length: usize,
}

pub(super) const NOWHERE: Span = Span {
    address: 0,
    length: 0,
};

/// A mapping that was freed and is still there.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    /// Where it starts.
    pub(super) address: usize,
    /// Its bytes.
    pub(super) length: usize,
    /// When it was freed.
    pub(super) since: u64,
    /// Where the kernel's mappings meet in it.
    pub(super) seams: Seams,
}

impl Kept {
    /// Where it lies.
    pub(super) fn span(&self) -> Span {
        Span {
            address: self.address,
            length: self.length,
        }
    }

    /// Its first so many bytes, or all.
    pub(super) fn first(&self, length: usize) -> Self {
        let length = length.min(self.length);
        Self {
            length,
            seams: self.seams.before(length),
            ..*self
        }
    }

    /// What is behind so many bytes of it, fewer than all or all.
    pub(super) fn behind(&self, length: usize) -> Self {
        if length == self.length {
            return NOTHING;
        }
        Self {
            address: self.address + length,
            length: self.length - length,
            seams: self.seams.behind(length),
            ..*self
        }
    }

    /// The kernel's mappings in it, and where they come from.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Span, Origin)> {
        let ends = self.seams.offsets().chain([self.length]);
        let mut start = 0;
        ends.zip(self.seams.origins()).map(move |(end, origin)| {
            let part = Span {
                address: self.address + start,
                length: end - start,
            };
            start = end;
            (part, origin)
        })
    }

    /// Cuts so many bytes off its end, or all of it where nothing worth while would
    /// stay. Returns what is cut off.
    fn cut(&mut self, bytes: usize) -> Span {
        let whole = self.span();
        let length = if whole.length < bytes + REST_LEAST {
            0
        } else {
            (whole.length - bytes) & !(memory::page_size() - 1)
        };
        match length {
            0 => *self = NOTHING,
            _ => *self = self.first(length),
        }
        Span {
            address: whole.address + length,
            length: whole.length - length,
        }
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
    seams: Seams::NONE,
};

/// Makes a mapping of this length of what is kept: of the shortest that is long enough,
/// whose rest stays kept, or of parts of the longest. Pages that are resident cost far
/// less than new ones. Before new ones come, what is too much goes.
#[cfg(not(feature = "hardened"))]
pub(super) fn take_kept(length: usize) -> Option<Mapping> {
    let mut large = LARGE.lock();
    let found = large.take_long_enough(length);
    let parts = found.is_none().then(|| large.take_parts(length));
    let leaving = large.settle(length);
    drop(large);
    unmap_all(&leaving);
    found.or_else(|| parts?.lengthened(length))
}

/// Keeps a mapping for a while. A program that frees a few and goes on to something
/// else keeps none.
pub(super) fn keep_or_unmap(address: usize, length: usize, seams: Seams) {
    let now = process::coarse_milliseconds();
    let mut newest = Kept {
        address,
        length,
        since: now,
        seams,
    };
    let mut large = LARGE.lock();
    if !large.is_churning(now) {
        let kept = large.take_all();
        drop(large);
        unmap_all(&[newest.span()]);
        unmap_all(&kept);
        return;
    }
    large.join_kept(&mut newest);
    let left_over = large.put_in(&newest);
    let leaving = large.settle(0);
    drop(large);
    request_tick(now);
    unmap_all(&[left_over]);
    unmap_all(&leaving);
}

/// Has [`tick`] called when what is kept since then is old, which it never
/// becomes where nothing is purged.
fn request_tick(since: u64) {
    if options::purge() != Purge::Never {
        due::request(since + KEPT_AGE + 1);
    }
}

/// Unmaps the mappings that have been kept for long, some at a time in a program
/// that comes by often.
pub fn tick(now: u64) {
    let mut large = LARGE.lock();
    let old = large.kept.iter().filter(|kept| kept.is_old(now));
    let old = old.map(|kept| kept.length).sum();
    let share = due::share(old, now.wrapping_sub(large.last_tick));
    large.last_tick = now;
    let leaving = large.take_out(share.max(PIECE).min(old));
    let is_kept = |kept: &&Kept| kept.address != 0;
    let youngest = large
        .kept
        .iter()
        .filter(is_kept)
        .map(|kept| kept.since)
        .max();
    let are_more = large.kept.iter().any(|kept| kept.is_old(now));
    drop(large);
    if are_more {
        due::request(now + due::AGAIN);
    } else if let Some(since) = youngest {
        request_tick(since);
    }
    unmap_all(&leaving);
}

/// Unmaps what was kept and was taken out; returns the bytes.
pub(super) fn unmap_all(leaving: &[Span]) -> usize {
    let leaving = leaving.iter().filter(|span| span.length != 0);
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
    let kept = LARGE.lock().take_all();
    unmap_all(&kept) + stranded::retry()
}

impl Large {
    /// Joins a mapping with those that are kept and lie next to it, so that
    /// what was split becomes whole again.
    fn join_kept(&mut self, newest: &mut Kept) {
        for kept in self.kept.iter_mut().filter(|kept| kept.address != 0) {
            let (first, second) = if kept.address + kept.length == newest.address {
                (*kept, *newest)
            } else if newest.address + newest.length == kept.address {
                (*newest, *kept)
            } else {
                continue;
            };
            let Some(seams) = first.seams.followed_by(first.length, &second.seams) else {
                continue;
            };
            *newest = Kept {
                address: first.address,
                length: first.length + second.length,
                seams,
                ..*newest
            };
            *kept = NOTHING;
        }
    }

    /// Takes a mapping of this length out of the shortest that is long enough.
    fn take_long_enough(&mut self, length: usize) -> Option<Mapping> {
        let long_enough = self.kept.iter_mut().filter(|kept| kept.length >= length);
        let kept = long_enough.min_by_key(|kept| kept.length)?;
        let rest = kept.length - length;
        let length = if rest > length / SLACK {
            length
        } else {
            kept.length
        };
        let taken = kept.first(length);
        *kept = kept.behind(length);
        Some(Mapping {
            address: taken.address,
            length,
            clean: false,
            seams: taken.seams,
        })
    }

    /// Keeps a mapping. Returns what has to go for it, the shortest.
    fn put_in(&mut self, new: &Kept) -> Span {
        let shortest = self.kept.iter_mut().min_by_key(|kept| kept.length);
        shortest.map_or(new.span(), |kept| {
            let leaving = kept.span();
            *kept = *new;
            leaving
        })
    }

    /// Where all that is kept lies.
    pub(super) fn all_kept(&self) -> [Span; KEPT] {
        core::array::from_fn(|number| self.kept[number].span())
    }

    /// Takes all of it out.
    fn take_all(&mut self) -> [Span; KEPT] {
        let all = self.all_kept();
        self.kept.fill(NOTHING);
        all
    }

    /// Takes so many bytes out, or a little more, of the oldest.
    fn take_out(&mut self, mut bytes: usize) -> [Span; KEPT] {
        let mut leaving = [NOWHERE; KEPT];
        for gone in &mut leaving {
            if bytes == 0 {
                break;
            }
            let kept = self.kept.iter_mut().filter(|kept| kept.address != 0);
            let Some(oldest) = kept.min_by_key(|kept| kept.since) else {
                break;
            };
            *gone = oldest.cut(bytes);
            bytes = bytes.saturating_sub(gone.length);
        }
        leaving
    }

    /// Takes out some of what is kept beyond the recent peak, when `more` bytes are
    /// about to be live. To unmap takes long, and so what is too much goes in
    /// pieces; what may not wait goes at once, but not when a block is freed.
    fn settle(&mut self, more: usize) -> [Span; KEPT] {
        let live = self.live + more;
        let peak = self.note_peak(process::coarse_milliseconds()).max(live);
        let kept: usize = self.kept.iter().map(|kept| kept.length).sum();
        let excess = (live + kept).saturating_sub(peak);
        let pressing = excess.saturating_sub(WAITING.min(peak / 8));
        self.take_out(match more {
            0 => pressing.min(PIECE),
            _ => pressing.max(PIECE).min(excess),
        })
    }

    /// Whether mappings are being freed one after the other, and any is to be kept.
    fn is_churning(&mut self, now: u64) -> bool {
        if now.wrapping_sub(self.last_free) > CHURN_PAUSE {
            self.churn = 0;
        }
        self.last_free = now;
        self.churn += 1;
        self.churn >= CHURN_LEAST && options::purge() != Purge::Now
    }
}
