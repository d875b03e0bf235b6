//! What stays resident, held against the bars; the scenarios are described in
//! `measure::memory`.

use crate::measure::memory;
use crate::rig::{assert_met, rig};

/// Defines a test for each scenario, and one that checks that none is left out.
macro_rules! scenarios {
    ($($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                assert_met(memory::$name(&rig()));
            }
        )+

        #[test]
        fn every_scenario_has_a_test() {
            let known = memory::SCENARIOS.map(|scenario| scenario.name.to_owned());
            assert_eq!(known, [$(stringify!($name).replace('_', " ")),+]);
        }
    };
}

scenarios! {
    small_processes
    idle_threads
    short_threads
    producer_consumer
    only_frees
    trim
    idle_process
    limits
}
