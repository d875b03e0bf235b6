//! redis-server under redis-benchmark.
//!
//! The server alone runs under the preloaded object, and it alone is accounted
//! for. It answers a fixed list of commands, whose replies are the output, then
//! it serves the benchmark, whose figures are not.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;
use super::process::{Running, is_installed};
use super::programs::{Job, Run, finish, script};

pub const NEEDS: &[&str] = &["redis-server", "redis-cli", "redis-benchmark"];

const TIME_LIMIT: Duration = Duration::from_secs(120);
const START_LIMIT: Duration = Duration::from_secs(20);

/// How often a server is started, should another process take its port first.
const ATTEMPTS: u32 = 5;

pub(super) fn serve(job: &Job) -> Outcome<Run> {
    let (mut server, port) = start(job)?;
    let (replies, peak_kib) = match exercise(job, &server, port) {
        Ok(done) => done,
        Err(failure) => {
            // A server that died explains it better than its client can.
            if server.status()?.is_some() {
                server.wait()?.success("redis-server")?;
            }
            return Err(failure);
        }
    };
    // The server closes the connection without a reply, which the client may
    // take for a failure.
    drop(finish(
        client(job, "redis-cli", port).args(["shutdown", "nosave"]),
    ));
    let ended = server.wait()?.success("redis-server")?;
    let mut usage = ended.usage;
    usage.peak_kib = peak_kib;
    Ok(Run {
        stdout: replies,
        stderr: ended.stderr,
        usage,
    })
}

/// The replies to the commands, and the server's peak once it has also served
/// the benchmark.
fn exercise(job: &Job, server: &Running, port: u16) -> Outcome<(Vec<u8>, u64)> {
    let commands = File::open(script("redis.txt")).map_err(|error| error.to_string())?;
    let replies = finish(client(job, "redis-cli", port).stdin(commands))?;
    benchmark(job, port)?;
    Ok((replies.stdout, high_water(server.id())?))
}

fn benchmark(job: &Job, port: u16) -> Outcome<()> {
    let requests = (job.scale * 2_500).to_string();
    let mut benchmark = client(job, "redis-benchmark", port);
    benchmark
        .args(["-q", "-n", &requests, "-r", "20000", "-c", "20"])
        .args(["-P", "16", "-d", "100", "-t"])
        .arg("set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset");
    finish(&mut benchmark).map(drop)
}

/// A server that stays until the value is dropped.
pub struct Server {
    job: Job,
    running: Running,
    port: u16,
}

impl Server {
    /// Starts a server under the library, in a directory below `scratch`.
    pub fn start(library: &Path, scratch: &Path) -> Outcome<Self> {
        if let Some(program) = NEEDS.iter().find(|program| !is_installed(program)) {
            return Err(format!("{program} not installed"));
        }
        let directory = scratch.join(format!("redis.{}", process::id()));
        let job = Job::new(library.as_os_str(), 4, directory)?;
        let (running, port) = start(&job)?;
        Ok(Self { job, running, port })
    }

    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// Has the benchmark fill the server, and forgets it all.
    pub fn load(&self) -> Outcome<()> {
        benchmark(&self.job, self.port)?;
        finish(client(&self.job, "redis-cli", self.port).arg("flushall")).map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.job.directory));
    }
}

fn client(job: &Job, program: &str, port: u16) -> Command {
    let mut command = job.plain_command(program);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    command
}

/// A server that listens, and where.
fn start(job: &Job) -> Outcome<(Running, u16)> {
    let mut failure = String::new();
    for _ in 0..ATTEMPTS {
        let port = free_port()?;
        let mut command = job.command("redis-server");
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--loglevel", "warning"])
            .arg("--dir")
            .arg(&job.directory);
        let mut server = Running::start(&mut command, TIME_LIMIT)?;
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = server.status()? {
                failure = format!("redis-server: {status} at the start");
                break;
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok((server, port));
            }
            if Instant::now() >= deadline {
                return Err("redis-server: does not listen".to_owned());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
    Err(failure)
}

/// A port that nobody listens on at this moment.
fn free_port() -> Outcome<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| error.to_string())
}

/// The most that was resident in the process until now, in KiB.
fn high_water(id: u32) -> Outcome<u64> {
    let status =
        fs::read_to_string(format!("/proc/{id}/status")).map_err(|error| error.to_string())?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|figure| figure.trim().strip_suffix(" kB"))
        .and_then(|figure| figure.parse().ok())
        .ok_or_else(|| "redis-server: no VmHWM".to_owned())
}
