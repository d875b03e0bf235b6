//! Writes where nothing may be written, by their kind in `bad_write.c`.

use super::*;

/// A hardened build has no marks in blocks, and finds any write.
const LOST_MARK: &[&str] = &[
    "double free or write to a freed block",
    "write to a freed block",
];

#[test]
fn second_word() {
    must_die("bad_write", "second_word", &sizes(&[SMALL]), LOST_MARK);
}

#[test]
fn overrun_into_a_free_block() {
    if is_hardened() {
        return println!("skipped: the block stays in quarantine, as nothing is freed after it");
    }
    let runs = sizes(&[&SMALL[1..]]);
    must_die("bad_write", "overrun_into_a_free_block", &runs, LOST_MARK);
}

/// The heap is somewhere else in each process.
#[test]
fn places_are_at_random() {
    let mut places: Vec<String> = (0..6)
        .map(|_| {
            let output = Program::c("bad_write").arg("where").run();
            output.assert_success();
            output.stdout
        })
        .collect();
    places.sort_unstable();
    places.dedup();
    assert!(places.len() > 2, "{places:?}");
}

#[test]
fn every_case_has_a_test() {
    assert_all_listed(
        "bad_write",
        &["second_word", "overrun_into_a_free_block", "where"],
    );
}
