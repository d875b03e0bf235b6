//! `options`: an environment, a variable a line, as bifold reads it at the
//! start. What is in force afterwards, and what is said on standard error, is
//! held against [`model`], which reads the README's rules in its own way.
//!
//! Options stay in force from one input to the next: the model starts with
//! what it finds. Nothing in this process allocates from bifold, so that they
//! have no further effect.

mod model;
mod stderr;

use std::ffi::{CString, c_char};
use std::ptr;

use bifold::internals::read_environment;
use bifold_fuzz_kit::Target;

use self::model::Options;

pub const TARGET: Target = Target {
    name: "options",
    run,
};

/// The longest line that bifold says.
const LONGEST_LINE: usize = 256;

unsafe extern "C" {
    static mut environ: *const *const c_char;
}

fn run(data: &[u8]) -> u64 {
    let variables: Vec<CString> = data
        .split(|&byte| byte == b'\n')
        .filter_map(|line| CString::new(line).ok())
        .collect();
    let mut model = Options::in_force();
    let complaints = model.read(&variables);
    let said = stderr::of(|| read(&variables));

    model.assert_in_force();
    let lines: Vec<&[u8]> = said.split_inclusive(|&byte| byte == b'\n').collect();
    assert!(
        complaints.are_met_by(&lines),
        "{complaints:?}: {}",
        String::from_utf8_lossy(&said)
    );
    for line in lines {
        assert!(line.len() <= LONGEST_LINE, "{line:?}");
        assert!(
            line.starts_with(b"bifold: BIFOLD_") && line.ends_with(b"\n"),
            "{line:?}"
        );
        let text = &line[..line.len() - 1];
        assert!(
            text.iter().all(|byte| (b' '..=b'~').contains(byte)),
            "{line:?}"
        );
    }
    said_again(&model);
    2
}

/// bifold reads these variables, and none of the process's.
fn read(variables: &[CString]) {
    let mut entries: Vec<*const c_char> = variables.iter().map(|line| line.as_ptr()).collect();
    entries.push(ptr::null());
    // SAFETY: the entries are C strings and end with a null; no other thread
    // looks at the environment meanwhile.
    unsafe {
        let own = environ;
        environ = entries.as_ptr();
        read_environment();
        environ = own;
    }
}

/// What is in force means the same when it is written into an environment as it
/// is shown.
fn said_again(model: &Options) {
    let lines: Vec<CString> = bifold::options()
        .map(|option| format!("{}={}", option.variable(), option.value()))
        .map(|line| CString::new(line).expect("no value has a zero"))
        .collect();
    let said = stderr::of(|| read(&lines));
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
    model.assert_in_force();
}
