//! The page map against a naive model: a map from page to descriptor.

use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::pages::zone::{self, Lease};

/// What happens. Numbers that choose are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    /// Takes a run and makes its pages, or its first one, known.
    Take {
        pages: u32,
        alignment: u32,
        first: bool,
    },
    Give {
        which: usize,
    },
    Look {
        which: usize,
        offset: usize,
    },
    LookAnywhere {
        address: usize,
    },
}

fn some_step() -> impl Strategy<Value = Step> {
    let pages = prop_oneof![4 => 1..=32u32, 1 => 1..=UNIT_PAGES];
    prop_oneof![
        3 => (pages, 0..=6u32, any::<bool>())
            .prop_map(|(pages, shift, first)| Step::Take { pages, alignment: 1 << shift, first }),
        2 => any::<usize>().prop_map(|which| Step::Give { which }),
        3 => (any::<usize>(), any::<usize>())
            .prop_map(|(which, offset)| Step::Look { which, offset }),
        1 => prop_oneof![any::<usize>(), 0..1usize << 20, (1usize << 40)..1 << 47]
            .prop_map(|address| Step::LookAnywhere { address }),
    ]
}

struct Model {
    runs: Vec<(Lease, u32)>,
    /// The descriptor of every known page.
    known: BTreeMap<u32, usize>,
}

impl Model {
    fn set(&mut self, lease: &Lease, pages: u32, known: bool) {
        let first = lease.run.first;
        set_descriptor(first, pages, known.then_some(lease.descriptor));
        for page in first.0..first.0 + pages {
            if known {
                let before = self.known.insert(page, lease.descriptor);
                assert_eq!(before, None, "page {page} is in two runs");
            } else {
                assert_eq!(self.known.remove(&page), Some(lease.descriptor));
            }
        }
    }

    fn give(&mut self, which: usize) {
        let (lease, pages) = self.runs.swap_remove(which % self.runs.len());
        self.set(&lease, pages, false);
        // SAFETY: the run was taken below, and nobody knows it any more.
        unsafe { zone::lock().give(lease, 0) };
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Take {
                pages,
                alignment,
                first,
            } => {
                let lease = zone::lock().take(pages, alignment).expect("memory");
                assert!(lease.run.first.0.is_multiple_of(alignment) && lease.run.first.0 > 0);
                assert_eq!(lease.run.pages, pages);
                let known = if first { 1 } else { pages };
                self.set(&lease, known, true);
                self.runs.push((lease, known));
            }
            Step::Give { which } if !self.runs.is_empty() => self.give(which),
            Step::Look { which, offset } if !self.runs.is_empty() => {
                let run = &self.runs[which % self.runs.len()].0.run;
                let bytes = (run.pages as usize) << PAGE_SHIFT;
                let address = address_of(run.first) + offset % bytes;
                let page = page_of(address);
                assert!(run.first <= page && page.0 < run.first.0 + run.pages);
                // Nobody's pages have the first page as their descriptor.
                let expected = self.known.get(&page.0).copied().unwrap_or(base());
                assert_eq!(descriptor_of(base(), address), Some(expected));
                // SAFETY: the address is in a run.
                assert_eq!(unsafe { descriptor_of_known(base(), address) }, expected);
                assert!(!is_outside(base(), address));
            }
            Step::LookAnywhere { address } => {
                let is_inside = address >= base() && (address - base()) >> PAGE_SHIFT < pages();
                assert_eq!(is_outside(base(), address), !is_inside);
                assert_eq!(descriptor_of(base(), address).is_some(), is_inside);
            }
            Step::Give { .. } | Step::Look { .. } => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn the_page_map_does_what_a_map_does(
        steps in proptest::collection::vec(some_step(), 1..80),
    ) {
        let mut model = Model { runs: Vec::new(), known: BTreeMap::new() };
        for step in &steps {
            model.step(step);
        }
        while !model.runs.is_empty() {
            model.give(0);
        }
        prop_assert!(model.known.is_empty());
    }
}
