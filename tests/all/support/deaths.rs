//! Children that must die: of SIGABRT, with one line that says of what.

use std::os::unix::process::ExitStatusExt;

use super::{Output, SIGABRT};

/// The child died of SIGABRT with exactly one line on standard error,
/// `bifold: WHAT: 0xADDRESS`, where WHAT starts with one of those given.
///
/// A child that has written an address to standard output has died of that one.
pub fn assert_dies(output: &Output, accepted: &[&str]) {
    if let Err(complaint) = check_death(output, accepted) {
        panic!("{complaint}");
    }
}

/// What [`assert_dies`] would panic with, for tests of many children.
pub fn check_death(output: &Output, accepted: &[&str]) -> Result<(), String> {
    let told = output.stdout.trim().strip_prefix("0x");
    let expected = told.and_then(|hex| usize::from_str_radix(hex, 16).ok());
    let report = parse_report(&output.stderr);
    let is_expected = report.is_some_and(|(what, address)| {
        accepted.iter().any(|start| what.starts_with(start))
            && expected.is_none_or(|expected| expected == address)
    });
    if is_expected && output.status.signal() == Some(SIGABRT) {
        return Ok(());
    }
    Err(format!(
        "expected SIGABRT and one of {accepted:?}\n{}",
        output.describe()
    ))
}

fn parse_report(stderr: &str) -> Option<(&str, usize)> {
    let line = stderr.strip_suffix('\n')?;
    if line.contains('\n') {
        return None;
    }
    let (what, address) = line.strip_prefix("bifold: ")?.rsplit_once(": 0x")?;
    Some((what, usize::from_str_radix(address, 16).ok()?))
}

#[test]
fn a_report_is_one_line_of_three_parts() {
    let good = "bifold: double free: 0x7f00\n";
    assert_eq!(parse_report(good), Some(("double free", 0x7f00)));
    for bad in [
        "",
        "bifold: double free: 0x7f00",
        "bifold: double free: 7f00\n",
        "bifold: double free\n",
        "double free: 0x7f00\n",
        "bifold: double free: 0x7f00\nbifold: double free: 0x7f00\n",
        "noise\nbifold: double free: 0x7f00\n",
    ] {
        assert_eq!(parse_report(bad), None, "{bad:?}");
    }
}
