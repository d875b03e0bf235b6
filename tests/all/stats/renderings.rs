//! JSON and XML are read by Python's parsers, and must say what the table says.

use std::io::Write;
use std::process::{Command, Stdio};

use bifold::{Heap, Stats};

use super::{checked_stats, filled};
use crate::support::alone;

/// Reads a JSON and an XML text, one behind the other with a line of dashes
/// between, and writes every figure of each as `part name figure value`.
const READER: &str = r#"
import json, sys
import xml.etree.ElementTree as ElementTree

def write(prefix, part, row, figures):
    for name, value in figures.items():
        print(prefix, part, row, name, "?" if value is None else value)

first, second = sys.stdin.read().split("-----\n")
figures = json.loads(first)
assert figures.pop("version")
for part, rows in figures.items():
    if isinstance(rows, list):
        for number, row in enumerate(rows):
            write("json", part, number, row)
    elif all(isinstance(row, dict) for row in rows.values()):
        for name, row in rows.items():
            write("json", part, name, row)
    else:
        write("json", part, "-", rows)

root = ElementTree.fromstring(second)
assert root.tag == "malloc" and root.get("version").startswith("bifold-")
for part in root:
    if part.tag in ("blocks", "areas", "classes"):
        assert not part.attrib
        for number, row in enumerate(part):
            write("xml", part.tag, row.attrib.pop("name", number), row.attrib)
    else:
        write("xml", part.tag, "-", part.attrib)
"#;

fn written(write: impl Fn(&Stats, &mut dyn FnMut(&str)), stats: &Stats) -> String {
    let mut text = String::new();
    write(stats, &mut |piece| text.push_str(piece));
    text
}

/// What Python finds in both, each line without its first word; `None`: no
/// Python.
fn read(stats: &Stats) -> Option<[Vec<String>; 2]> {
    let reader = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut reader) = reader else {
        eprintln!("skipped: python3 not installed");
        return None;
    };
    let json = written(Stats::write_json, stats);
    let xml = written(Stats::write_xml, stats);
    let mut input = reader.stdin.take().unwrap();
    write!(input, "{json}-----\n{xml}").unwrap();
    drop(input);
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success(), "{json}{xml}");
    let text = String::from_utf8(output.stdout).unwrap();
    Some(["json ", "xml "].map(|prefix| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
        lines.map(str::to_owned).collect()
    }))
}

fn figure(value: Option<usize>) -> String {
    value.map_or("?".to_owned(), |value| value.to_string())
}

/// Compares a few of the figures with the value itself, and all of them with
/// each other. The figures with the names of the table's lines come too.
fn check(stats: &Stats) {
    let table = stats.to_string();
    assert_eq!(table, written(Stats::write_table, stats));
    assert!(table.starts_with("bifold ") && table.ends_with('\n'));
    let Some([json, xml]) = read(stats) else {
        return;
    };
    assert_eq!(json, xml);
    let mut expected = vec![
        format!("blocks all number {}", stats.live.number),
        format!("blocks runs bytes {}", stats.in_runs.bytes),
        format!("kernel - huge {}", figure(stats.kernel.huge)),
        format!(
            "kernel - process_resident {}",
            figure(stats.kernel.process_resident)
        ),
        format!("kernel - minor_faults {}", stats.kernel.minor_faults),
        format!("process - heaps {}", stats.heaps),
    ];
    for (name, area) in stats.areas().into_iter().chain([("all", stats.total())]) {
        expected.push(format!("areas {name} reserved {}", area.reserved));
        expected.push(format!("areas {name} resident {}", figure(area.resident)));
        expected.push(format!("areas {name} other {}", area.other));
    }
    let used = stats.classes().iter().filter(|class| class.slabs > 0);
    for (row, class) in used.clone().enumerate() {
        expected.push(format!("classes {row} block_size {}", class.block_size));
        expected.push(format!("classes {row} live {}", class.live));
        expected.push(format!("classes {row} slab_bytes {}", class.slab_bytes));
    }
    for line in &expected {
        assert!(json.contains(line), "{line} is not in {json:#?}");
    }
    let of_classes = json.iter().filter(|line| line.starts_with("classes "));
    assert_eq!(of_classes.count(), 5 * used.count());
    for line in &json {
        let name = line.split(' ').nth(2).unwrap().replace('_', " ");
        assert!(
            table.contains(&name) || line.starts_with("classes"),
            "{name}"
        );
    }
}

#[test]
fn all_renderings_say_the_same() {
    alone("stats::renderings::all_renderings_say_the_same", || {
        check(&checked_stats());
        let heap = Heap::new().unwrap();
        for size in [16, 100, 1000, 5000, 20_000, 100_000, 3_000_000] {
            filled(&heap, size, 20);
        }
        check(&checked_stats());
    });
}

/// What can't be known is said to be unknown.
#[test]
fn without_descriptors_figures_are_unknown() {
    alone(
        "stats::renderings::without_descriptors_figures_are_unknown",
        || {
            let heap = Heap::new().unwrap();
            let blocks = filled(&heap, 100, 100);
            let allowed = limits();
            set_limits(&libc::rlimit {
                rlim_cur: 0,
                ..allowed
            });
            let stats = bifold::stats();
            set_limits(&allowed);
            assert_eq!((stats.kernel.huge, stats.kernel.hugetlb), (None, None));
            assert_eq!((stats.kernel.locked, stats.kernel.swapped), (None, None));
            assert_eq!(stats.kernel.process_resident, None);
            assert!(stats.kernel.minor_faults > 0);
            assert!(stats.window.resident.is_some_and(|bytes| bytes > 0));
            assert!(stats.to_string().contains('?'));
            assert_eq!(stats.in_slabs.number, blocks.len());
            check(&stats);
        },
    );
}

fn limits() -> libc::rlimit {
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the value is valid for the write.
    let done = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limits) };
    assert_eq!(done, 0);
    limits
}

fn set_limits(limits: &libc::rlimit) {
    // SAFETY: the value is valid for the read.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limits) }, 0);
}
