//! The buddy system against a naive model: a list of pages, each free and
//! clean, free and dirty, taken, or not there.

mod model;

use std::collections::BTreeSet;

use proptest::prelude::*;

use self::model::{Model, PAGES, Step, UNITS, nodes};
use super::tree::HOLE;
use super::*;

/// A number of pages: short ones and ones about a power of two are likely.
fn some_pages() -> impl Strategy<Value = u32> {
    prop_oneof![
        1..=8u32,
        1..=UNIT_PAGES,
        (0..=MAX_ORDER).prop_map(|order| 1 << order)
    ]
}

fn some_alignment() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(1u32), 2 => (0..=MAX_ORDER).prop_map(|order| 1 << order)]
}

fn some_step() -> impl Strategy<Value = Step> {
    let most = prop_oneof![4 => Just(MAX_ORDER), 1 => 0..=MAX_ORDER];
    prop_oneof![
        6 => (some_pages(), some_alignment(), most)
            .prop_map(|(pages, alignment, most)| Step::Take { pages, alignment, most }),
        1 => (1..=2 * UNIT_PAGES, some_alignment())
            .prop_map(|(pages, alignment)| Step::TakeAnywhere { pages, alignment }),
        1 => (0..PAGES, some_pages()).prop_map(|(first, pages)| Step::TakeRange { first, pages }),
        6 => (any::<usize>(), prop_oneof![4 => Just(0), 1 => 0..UNIT_PAGES], 0..=UNIT_PAGES)
            .prop_map(|(which, keep, dirty)| Step::Give { which, keep, dirty }),
        1 => some_pages().prop_map(|pages| Step::Grow { pages }),
        2 => (0..=MAX_ORDER, some_pages(), 0..4usize)
            .prop_map(|(least, wanted, refuse)| Step::Purge { least, wanted: wanted as usize, refuse }),
        1 => (0..UNITS).prop_map(|from| Step::DigHole { from }),
        1 => Just(Step::FillHole),
        1 => Just(Step::RestoreHole),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn the_buddy_system_does_what_the_model_does(
        grain in prop_oneof![3 => Just(0), 1 => 0..=MAX_GRAIN],
        steps in proptest::collection::vec(some_step(), 1..60),
    ) {
        let mut model = Model::new(grain);
        for step in &steps {
            model.step(step);
        }
        // All that was taken goes back; then nothing is left but whole units
        // and the two ends.
        while !model.taken.is_empty() {
            model.step(&Step::Give { which: 0, keep: 0, dirty: 0 });
        }
        while !model.holes.is_empty() {
            model.step(&Step::FillHole);
        }
        prop_assert_eq!(model.buddy.free_pages().0, model.end as usize - 1);
    }

    #[test]
    fn the_tree_does_what_a_set_does(
        steps in proptest::collection::vec((any::<bool>(), 0..MAX_UNITS, 0..8usize), 1..200),
    ) {
        let mut nodes = nodes(0x2_0000);
        let mut buddy = Buddy::unmapped();
        // SAFETY: the nodes are zeroed and live as long; no unit is used.
        unsafe { buddy.set_storage(core::ptr::null_mut(), nodes.as_mut_ptr()) };
        let mut model = BTreeSet::new();
        for (add, far, near) in steps {
            // Every other unit lies close to where a node ends.
            let unit = if far % 2 == 0 {
                (far / 0x1000 * 0x1000 + near) % 0x2_0000
            } else {
                far % 0x2_0000
            };
            if add {
                buddy.mark(HOLE, unit);
                model.insert(unit);
            } else {
                let unit = model.range(unit..).next().copied();
                prop_assert_eq!(buddy.next_marked(HOLE, far % 0x2_0000),
                    model.range(far % 0x2_0000..).next().copied());
                if let Some(unit) = unit {
                    buddy.unmark(HOLE, unit);
                    model.remove(&unit);
                }
            }
            prop_assert_eq!(buddy.find(HOLE), model.first().copied());
        }
    }
}

#[test]
fn requests_that_no_run_can_serve_fail() {
    let mut model = Model::new(0);
    assert_eq!(model.buddy.take(UNIT_PAGES + 1, 1, MAX_ORDER), None);
    assert_eq!(model.buddy.take(1, 2 * UNIT_PAGES, MAX_ORDER), None);
    // Page 0 is not there, so the first unit is not whole.
    model.step(&Step::Take {
        pages: UNIT_PAGES,
        alignment: 1,
        most: MAX_ORDER,
    });
    assert!(model.taken.is_empty());
}

#[test]
fn a_unit_is_coarse_or_not_as_it_was_mapped_last() {
    let (mut units, mut nodes) = (model::units(1), nodes(1));
    let mut buddy = Buddy::unmapped();
    // SAFETY: the storage is zeroed, and lives as long as the buddy system.
    unsafe { buddy.set_storage(units.as_mut_ptr(), nodes.as_mut_ptr()) };
    buddy.give(PageIndex(0), UNIT_PAGES, 0);
    for coarse in [true, false] {
        assert_eq!(buddy.dig_hole(0), Some(0));
        let backing = if coarse {
            Backing::Huge
        } else {
            Backing::Pages
        };
        buddy.fill_hole(0, backing);
        let run = buddy.take(1, 1, MAX_ORDER).unwrap();
        // The rest of a huge page is resident once one page of it is touched.
        assert_eq!(run.clean, !coarse);
        let clean = if coarse { 0 } else { UNIT_PAGES as usize - 1 };
        assert_eq!(buddy.free_pages(), (UNIT_PAGES as usize - 1, clean));
        buddy.give(run.first, run.pages, 1);
    }
}
