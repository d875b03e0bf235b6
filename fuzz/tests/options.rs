//! The target on its seeds and their changes.

use bifold_fuzz::options::TARGET;

#[test]
fn changed_seeds() {
    bifold_fuzz_kit::drive(TARGET, "changed_seeds", &[&[]]);
}
