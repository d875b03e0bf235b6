//! Writes where nothing may be written, by their kind in `bad_write.c`.

use super::*;

const LOST_MARK: &[&str] = &["double free or write to a freed block"];

/// Whether freed blocks wait in quarantine for more frees than the program makes.
/// What a hardened build finds of such writes is in `hardened`.
fn keeps_freed_blocks() -> bool {
    if is_hardened() {
        println!("skipped: the block may stay in quarantine");
    }
    is_hardened()
}

#[test]
fn second_word() {
    if keeps_freed_blocks() {
        return;
    }
    must_die("bad_write", "second_word", &sizes(&[SMALL]), LOST_MARK);
}

#[test]
fn overrun_into_a_free_block() {
    if keeps_freed_blocks() {
        return;
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
