//! How many instructions a request takes from the socket to the socket: `make guard`.
//!
//! callgrind counts them, so what else the machine does makes no difference, and no time is measured. The program is the one
//! in the image. `UPDATE_INSTRUCTIONS=1` writes down what it counts.

#![allow(
    dead_code,
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::single_match_else,
    clippy::unwrap_used,
    reason = "a test says what it expects by failing"
)]

#[path = "../benches/common/mod.rs"]
mod common;
#[path = "../benches/wire/http1.rs"]
mod http1;

use std::fmt::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// The program, which `make image` builds.
const PROGRAM: &str = "target/image/root/agentteam-webhook";

/// Where the counts are kept.
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");

/// How much more than the baseline is a regression. Counts differ by two in a hundred from run to run, with what the program does by
/// the clock meanwhile and with how much of a request there is at each read. Less is no failure.
const TOLERANCE: f64 = 0.05;

/// Requests that are not counted, half of them small and half large; and those of one size that are, so many that it makes no
/// difference how long the program took to start.
const WARM_UP: usize = 20;
const COUNTED: usize = 1_000;

#[test]
fn an_admission_takes_no_more_instructions_than_it_did() {
    let none = count(0, 0);
    let counts = [
        ("small", count(COUNTED, 0) - none),
        ("large", count(0, COUNTED) - none),
    ]
    .map(|(size, count)| (size, count / COUNTED as u64));
    if std::env::var_os("UPDATE_INSTRUCTIONS").is_some() {
        let mut text = String::new();
        for (size, count) in counts {
            writeln!(text, "{size} {count}").unwrap();
        }
        std::fs::write(BASELINE, text).unwrap();
    }
    let baseline = std::fs::read_to_string(BASELINE).unwrap();
    for ((size, count), line) in counts.into_iter().zip(baseline.lines()) {
        let (kept, before) = line.split_once(' ').unwrap();
        assert_eq!(kept, size, "{BASELINE} has the lines small and large");
        let before: f64 = before.parse().unwrap();
        let change = count as f64 / before - 1.0;
        println!(
            "{size}: {count} instructions a request, {:+.1} %",
            change * 100.0
        );
        assert!(
            change <= TOLERANCE,
            "a {size} request takes {count} instructions, where {BASELINE} says {before}: find out why, or say that it \
             must be so with UPDATE_INSTRUCTIONS=1"
        );
    }
}

/// The instructions of a whole run with that many requests after the others.
fn count(small: usize, large: usize) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    common::write_teams(directory.path(), &[common::team_json("market-brief")]);
    let (address, admin) = (common::free_address(), common::free_address());
    let mut server = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", path("out").display()))
        .arg(common::built(PROGRAM))
        .args(["serve", "--log", "warn", "--drain-seconds", "0"])
        .args([
            "--listen",
            &address.to_string(),
            "--admin-listen",
            &admin.to_string(),
        ])
        .arg("--tls-ca-out")
        .arg(path("ca.pem"))
        .arg("--teams")
        .arg(path("teams"))
        .stderr(Stdio::null())
        .spawn()
        .expect("valgrind runs; benches/valgrind.sh installs it");
    let mut stream = connect(address, &path("ca.pem"));
    for (number, review) in [common::SMALL, common::LARGE].into_iter().enumerate() {
        send(&mut stream, review, WARM_UP / 2 + [small, large][number]);
    }
    drop(stream);
    // SIGTERM, for which the standard library has no call.
    let killed = Command::new("kill")
        .arg(server.id().to_string())
        .status()
        .unwrap();
    assert!(killed.success() && server.wait().unwrap().success());
    total(&path("out"))
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn connect(address: std::net::SocketAddr, authority: &Path) -> Stream {
    let start = Instant::now();
    let stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(error) => assert!(start.elapsed() < Duration::from_mins(2), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(
        ClientConnection::new(Arc::new(config), name).unwrap(),
        stream,
    )
}

/// Sends `review` until it was answered with a patch that often. Before the team is known, it is not.
fn send(stream: &mut Stream, review: &[u8], times: usize) {
    let request = [&http1::head(review.len()), review].concat();
    let (mut answered, mut buffer) = (0, Vec::new());
    while answered < times {
        let (status, answer) = http1::exchange_blocking(stream, &request, &mut buffer);
        assert_eq!(status, 200);
        let text = std::str::from_utf8(&answer).unwrap();
        if text.contains(r#""patchType":"JSONPatch""#) {
            answered += 1;
        } else {
            assert!(answered == 0 && text.contains("TeamLookupFailed"), "{text}");
        }
    }
}

/// What callgrind counted in all.
fn total(out: &Path) -> u64 {
    let text = std::fs::read_to_string(out).unwrap();
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.unwrap().trim().parse().unwrap()
}
