//! Instructions of a function's hit path, counted in the built library.
//!
//! The compiler lays the path that it takes for likely out as the fall-through,
//! with few exceptions, and a hit neither calls another function nor goes on in
//! one. So the path is followed in the listing from the symbol to a `ret`:
//! conditional jumps are taken only where the way straight on leads to another
//! function. It knows x86-64 only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Bar, Limit, Outcome, process};

const TIME_LIMIT: Duration = Duration::from_secs(60);

/// No hit path is anywhere near as long: a loop is being followed.
const TOO_LONG: u32 = 100;

/// The library's instructions by address, and its functions by name.
pub struct Listing {
    instructions: BTreeMap<u64, String>,
    functions: BTreeMap<String, u64>,
}

impl Listing {
    pub fn of(library: &Path) -> Outcome<Self> {
        let mut objdump = Command::new("objdump");
        objdump.args(["-d", "--no-show-raw-insn"]).arg(library);
        let mut nm = Command::new("nm");
        nm.args(["-D", "--defined-only"]).arg(library);
        Ok(Self::parse(&read(&mut objdump)?, &read(&mut nm)?))
    }

    /// From the output of `objdump -d --no-show-raw-insn` and of `nm -D`.
    pub fn parse(code: &str, names: &str) -> Self {
        Self {
            instructions: code.lines().filter_map(parse_instruction).collect(),
            functions: names.lines().filter_map(parse_symbol).collect(),
        }
    }

    /// Whether the function does nothing but go on in another.
    pub fn is_jump(&self, function: &str) -> bool {
        let start = self.functions.get(function);
        let first = start.and_then(|start| self.instructions.get(start));
        first.is_some_and(|text| text.starts_with("jmp"))
    }

    /// Instructions from the function's first to the `ret` of its hit path.
    pub fn hit_path(&self, function: &str) -> Outcome<u32> {
        let start = self
            .functions
            .get(function)
            .ok_or_else(|| format!("{function}: not among the exported functions"))?;
        self.follow(*start, 1, &mut BTreeSet::new())
            .map_err(|why| format!("{function}: no hit path: {why}"))
    }

    /// The number of the `ret` that the path reaches from here in this function,
    /// where the instruction at `at` is the path's `count`th. From the `dead`
    /// instructions it is known to reach none.
    fn follow(&self, mut at: u64, mut count: u32, dead: &mut BTreeSet<u64>) -> Outcome<u32> {
        loop {
            let text = self
                .instructions
                .get(&at)
                .ok_or_else(|| format!("it leaves the library at {at:x}"))?;
            let (name, operands) = text.split_once(' ').unwrap_or((text, ""));
            let target = operands.split_whitespace().next().unwrap_or("");
            let target = u64::from_str_radix(target, 16);
            let next = self.instructions.range(at + 1..).next();
            let next = next.map(|(next, _)| *next).unwrap_or(at + 1);
            match name {
                _ if count >= TOO_LONG => return Err("it does not end".to_owned()),
                "ret" | "retq" => return Ok(count),
                "call" | "callq" => return Err(format!("it has a call: {text}")),
                "jmp" | "jmpq" if text.ends_with('>') && !text.contains('+') => {
                    return Err(format!("it goes on elsewhere: {text}"));
                }
                "jmp" | "jmpq" => at = target.map_err(|_| format!("it leaves by {text}"))?,
                _ if name.starts_with('j') => {
                    if !dead.contains(&next) {
                        if let Ok(end) = self.follow(next, count + 1, dead) {
                            return Ok(end);
                        }
                        dead.insert(next);
                    }
                    at = target.map_err(|_| format!("it leaves by {text}"))?;
                }
                _ => at = next,
            }
            count += 1;
        }
    }

    /// The addresses of the instructions that are of a kind.
    pub fn addresses(&self, is_meant: fn(&str) -> bool) -> Vec<u64> {
        let meant = self.instructions.iter().filter(|(_, text)| is_meant(text));
        meant.map(|(address, _)| *address).collect()
    }

    /// The bars of the fast paths, whole functions.
    pub fn bars(&self) -> Outcome<Vec<Bar>> {
        let malloc = self.hit_path("malloc")?;
        let free = self.hit_path("free")?;
        let sized = self.hit_path("free_sized")?;
        let bar = |name, count, limit| {
            Bar::new(name, f64::from(count), "instructions", Limit::AtMost(limit))
        };
        Ok(vec![
            bar("malloc + free, whole functions", malloc + free, 41.0)
                .detail(format!("malloc {malloc}, free {free}")),
            bar("free_sized, whole function", sized, 21.0),
        ])
    }
}

fn read(command: &mut Command) -> Outcome<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let finished = process::run(command.stdin(Stdio::null()), TIME_LIMIT)?;
    Ok(finished.success(&name)?.text())
}

/// `    1a40:\tmov    0x10(%rdi),%rax` as address and text.
fn parse_instruction(line: &str) -> Option<(u64, String)> {
    let (address, text) = line.split_once(":\t")?;
    let address = u64::from_str_radix(address.trim(), 16).ok()?;
    // A jump may carry a prefix for branch prediction or tracking.
    let text = text.trim();
    let text = ["bnd ", "notrack ", "repz "]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text);
    Some((address, text.to_owned()))
}

/// `0000000000001a40 T malloc` as name and address.
fn parse_symbol(line: &str) -> Option<(String, u64)> {
    let mut words = line.split_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let name = words.nth(1)?;
    // A versioned symbol has its version behind an `@`.
    Some((name.split('@').next()?.to_owned(), address))
}
