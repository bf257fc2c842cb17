//! The figures that the README promises: start-up, the slowest admissions, size.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark ends where its input is wrong"
)]

mod common;

use std::fmt::Write;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ADMISSIONS: usize = 20_000;
const STARTS: usize = 11;

fn main() {
    let program = env!("CARGO_BIN_EXE_agentteam-webhook");
    println!("| figure | measured | aim |\n|---|---|---|");
    let (size, [p50, p99]) = admissions();
    println!(
        "| admission of a {size:.1} KiB review in this process, p50 | {:.3} ms | |",
        p50.as_secs_f64() * 1e3
    );
    println!(
        "| the same, p99 | {:.3} ms | < 2 ms |",
        p99.as_secs_f64() * 1e3
    );
    println!(
        "| start to ready with 1,000 teams in a directory, median of {STARTS} | {:.0} ms | < 1000 ms |",
        startup(program).as_secs_f64() * 1e3
    );
    let bytes = std::fs::metadata(program).unwrap().len();
    println!("| release binary | {:.1} MiB | < 20 MiB |", as_mib(bytes));
}

fn as_mib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).unwrap()) / 1024.0
}

fn admissions() -> (f64, [Duration; 2]) {
    let (review, team, settings) = (common::review(), common::team(), common::settings());
    let mut took: Vec<_> = (0..ADMISSIONS)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(common::admit(&review, &team, &settings));
            start.elapsed()
        })
        .collect();
    took.sort();
    let size = f64::from(u32::try_from(review.len()).unwrap()) / 1024.0;
    (size, [took[ADMISSIONS / 2], took[ADMISSIONS * 99 / 100]])
}

/// From exec until /readyz says so.
fn startup(program: &str) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..1000 {
        let mut team = format!(
            "apiVersion: kagents.dev/v1alpha1\nkind: AgentTeam\nmetadata:\n  name: team-{number}\nspec:\n  teammates:\n"
        );
        for agent in 0..4 {
            write!(team, "    - name: agent-{agent}\n      skills:\n").unwrap();
            write!(team, "        - name: web\n          source: {{oci: \"ghcr.io/example/web:v{number}\"}}\n").unwrap();
        }
        std::fs::write(directory.path().join(format!("{number}.yaml")), team).unwrap();
    }
    let mut took: Vec<_> = (0..STARTS)
        .map(|_| one_start(program, directory.path()))
        .collect();
    took.sort();
    took[STARTS / 2]
}

fn one_start(program: &str, teams: &std::path::Path) -> Duration {
    let start = Instant::now();
    let mut child = Command::new(program)
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--tls-ca-out",
            "/dev/null",
            "--teams",
        ])
        .arg(teams)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = log
        .find_map(|line| line.ok().filter(|line| line.contains("listening")))
        .unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let admin = line["fields"]["admin"].as_str().unwrap().to_owned();
    while !is_ready(&admin) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = start.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    took
}

fn is_ready(address: &str) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.starts_with("HTTP/1.1 200")
}
