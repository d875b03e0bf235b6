//! The target on its seeds and their changes, under options of each kind.

use bifold_fuzz::operations::TARGET;
use bifold_fuzz_kit::{OPTIONS_OF_EACH_KIND, drive};

#[test]
fn changed_seeds() {
    drive(TARGET, "changed_seeds", OPTIONS_OF_EACH_KIND);
}
