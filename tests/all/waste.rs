//! Blocks are hardly larger than what was asked for.

use crate::measure::waste;
use crate::rig::{assert_met, rig};

#[test]
fn usable_sizes_stay_close_to_the_requested_ones() {
    assert_met(waste::bars(&rig()));
}
