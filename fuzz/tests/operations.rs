//! The target on its seeds and their changes, under options of each kind.

use bifold_fuzz::operations::TARGET;

#[test]
fn changed_seeds() {
    bifold_fuzz_kit::drive(
        TARGET,
        "changed_seeds",
        &[
            &[],
            &[("BIFOLD_PURGE", "now")],
            &[("BIFOLD_PURGE", "never"), ("BIFOLD_THP", "always")],
            &[("BIFOLD_LIMIT", "64M"), ("BIFOLD_SOFT_LIMIT", "32M")],
            &[
                ("BIFOLD_BACKGROUND", "1"),
                ("BIFOLD_PURGE_DELAY", "10ms"),
                ("BIFOLD_SPARE", "0"),
            ],
            &[("BIFOLD_ARENA_MAX", "1"), ("BIFOLD_PERTURB", "90")],
            &[("BIFOLD_PREFAULT", "1"), ("BIFOLD_GROWTH", "16M")],
            &[("BIFOLD_MMAP_THRESHOLD", "0")],
            &[("BIFOLD_RESERVE", "64M"), ("BIFOLD_PURGE_ADVICE", "free")],
            &[("BIFOLD_LOCK", "on-fault"), ("BIFOLD_FAULT_AROUND", "64K")],
        ],
    );
}
