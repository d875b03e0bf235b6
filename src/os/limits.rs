//! How much memory the process may have.
//!
//! References: getrlimit(2), sysinfo(2), cgroups(7), and the kernel's
//! `cgroup-v1/memory` and `cgroup-v2` pages.

use super::fault::{Kind, point};
use super::{file, process};

/// The least of the machine's memory, the limits of the process's memory
/// cgroup, and `RLIMIT_AS` and `RLIMIT_DATA`, in bytes. A limit that can't be
/// found out is none. Opens files.
pub fn memory_available() -> u64 {
    [
        machine(),
        resource(libc::RLIMIT_AS),
        resource(libc::RLIMIT_DATA),
        cgroup(),
    ]
    .into_iter()
    .min()
    .unwrap_or(u64::MAX)
}

/// The machine's memory in bytes.
pub fn machine() -> u64 {
    // SAFETY: zeros are a `sysinfo`, which is only numbers.
    let mut info: libc::sysinfo = unsafe { core::mem::zeroed() };
    let errno = process::errno();
    // SAFETY: `info` is valid for the write.
    if point(Kind::Figure, || unsafe { libc::sysinfo(&mut info) }) != 0 {
        process::set_errno(errno);
        return u64::MAX;
    }
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

/// How the C library names a limit.
#[cfg(not(target_env = "musl"))]
pub type Resource = libc::__rlimit_resource_t;
#[cfg(target_env = "musl")]
pub type Resource = libc::c_int;

/// A limit that setrlimit(2) has set; `u64::MAX` where there is none.
pub fn resource(which: Resource) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    let errno = process::errno();
    // SAFETY: `limit` is valid for the write. On failure it stays.
    point(Kind::Figure, || unsafe {
        libc::getrlimit(which, &mut limit)
    });
    process::set_errno(errno);
    limit.rlim_cur
}

/// The least limit on the way from the process's cgroup to the root, in
/// either version's hierarchy.
fn cgroup() -> u64 {
    let mut buffer = [0; 4096];
    let Some(groups) = file::read(c"/proc/self/cgroup", &mut buffer) else {
        return u64::MAX;
    };
    let mut least = u64::MAX;
    for line in groups.split(|&byte| byte == b'\n') {
        // HIERARCHY:CONTROLLERS:PATH
        let mut parts = line.splitn(3, |&byte| byte == b':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if controllers.is_empty() {
            for root in file::CGROUP_ROOTS {
                least = least.min(upwards(root, path, b"/memory.max"));
            }
        } else if controllers
            .split(|&byte| byte == b',')
            .any(|name| name == b"memory")
        {
            least = least.min(upwards(
                b"/sys/fs/cgroup/memory",
                path,
                b"/memory.limit_in_bytes",
            ));
        }
    }
    least
}

/// The least number in a file of this name in a cgroup and those above it. In a
/// container the path may be that of the host, and the root the group's own.
fn upwards(root: &[u8], path: &[u8], name: &[u8]) -> u64 {
    let mut least = u64::MAX;
    let mut path = path;
    loop {
        least = least.min(number_in(&[root, path, name]));
        match path.iter().rposition(|&byte| byte == b'/') {
            Some(end) => path = &path[..end],
            None => return least,
        }
    }
}

fn number_in(parts: &[&[u8]]) -> u64 {
    let (mut name, mut buffer) = ([0; 1024], [0; 64]);
    let Some(name) = file::name_of(parts, &mut name) else {
        return u64::MAX;
    };
    // "max" is no number, and no limit.
    file::read(name, &mut buffer)
        .and_then(|text| core::str::from_utf8(text.trim_ascii()).ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or(u64::MAX)
}
