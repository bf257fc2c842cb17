//! The webhook as it ships beside others, over TLS on loopback: `make bench`.
//!
//! Each server is started by itself on one core, the load runs on the other, and the rounds are interleaved, so that what
//! disturbs the machine disturbs all of them. Every answer is checked.

#![allow(
    missing_docs,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::similar_names,
    clippy::single_match_else,
    clippy::unchecked_time_subtraction,
    clippy::unwrap_used,
    reason = "a benchmark ends where something is not as it should be"
)]

#[path = "wire/chart.rs"]
mod chart;
mod common;
#[path = "wire/contender.rs"]
mod contender;
#[path = "wire/growth.rs"]
mod growth;
#[path = "wire/http1.rs"]
mod http1;
#[path = "wire/load.rs"]
mod load;
#[path = "wire/report.rs"]
mod report;
#[path = "wire/shape.rs"]
mod shape;

use std::process::Command;
use std::time::Duration;

use tokio::runtime::Runtime;

use contender::{Contender, Files, LOAD_CORE, Running, arguments};
use load::{Amount, Connections, Protocol};
use report::{Results, aims};
use shape::{Answers, Shape};

/// How requests come that are answered as fast as they can be: on how many connections.
type Way = (&'static str, Protocol, usize);

/// The way that the aims are about, and the others.
const MAIN: [Way; 1] = [(report::MAIN_WAY, Protocol::Http1, 8)];
const OTHERS: [Way; 3] = [
    ("HTTP/1.1, 64 connections", Protocol::Http1, 64),
    ("HTTP/2, 8 connections", Protocol::Http2, 8),
    ("HTTP/2, 64 connections", Protocol::Http2, 64),
];

/// Requests after which a server is warm.
const WARM_UP: u64 = 300;

/// The open loop.
const INTERVAL: Duration = Duration::from_millis(5);

/// What all servers are measured with.
struct Bench {
    runtime: Runtime,
    files: Files,
    shapes: [(&'static str, [Shape; 1]); 2],
    extent: Extent,
}

/// How much is measured.
struct Extent {
    main_rounds: usize,
    rounds: usize,
    cell: Duration,
    open_requests: u32,
    requests: u64,
}

fn main() {
    // Everything from here on, threads too, runs on the load's core.
    let pinned = Command::new("taskset")
        .args(["-a", "-c", "-p", LOAD_CORE, &std::process::id().to_string()])
        .output()
        .unwrap();
    assert!(
        pinned.status.success(),
        "{}",
        String::from_utf8_lossy(&pinned.stderr)
    );
    let extent = if std::env::var_os("BENCH_SHORT").is_some() {
        Extent {
            main_rounds: 1,
            rounds: 1,
            cell: Duration::from_millis(150),
            open_requests: 200,
            requests: 20_000,
        }
    } else {
        Extent {
            main_rounds: 40,
            rounds: 11,
            cell: Duration::from_millis(130),
            open_requests: 400,
            requests: 1_000_000,
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let files = Files::new(directory.path().to_owned());
    let settings = common::settings();
    let shapes = [("small", common::SMALL), ("large", common::LARGE)]
        .map(|(size, review)| (size, [Shape::new(review, &common::team(), &settings)]));
    common::write_teams(&files.directory, &[common::team_json("market-brief")]);

    let bench = Bench {
        runtime,
        files,
        shapes,
        extent,
    };
    let contenders = contenders(&bench.files);
    let mut results = Results::default();
    // The aims that are nearest get rounds of their own, short and many: what disturbs the machine lasts longer than one.
    for round in 0..bench.extent.main_rounds {
        eprintln!("main round {} of {}", round + 1, bench.extent.main_rounds);
        for contender in &contenders {
            bench.requests(contender, &MAIN, &mut results);
        }
    }
    for round in 0..bench.extent.rounds {
        eprintln!("round {} of {}", round + 1, bench.extent.rounds);
        for contender in &contenders {
            let running = bench.requests(contender, &OTHERS, &mut results);
            let mut note = |figure: &str, value: f64| results.note(figure, contender.name, value);
            note("peak resident, MiB", running.peak());
            note("program, MiB", contender.size());
        }
        for (index, contender) in contenders.iter().enumerate() {
            let call = u8::try_from(round * contenders.len() + index + 1).unwrap();
            bench.new_connections(contender, call, &mut results);
        }
        for contender in &contenders {
            bench.latency(contender, &mut results);
        }
    }
    eprintln!("{} requests of 10 teams", bench.extent.requests);
    let product = &contenders[0];
    bench.many_requests(product, &mut results);
    eprintln!("growth");
    let growth = growth::measure(&bench.runtime, product, &bench.files, bench.extent.cell);

    let names: Vec<_> = contenders.iter().map(|contender| contender.name).collect();
    let table = results.table(&names) + &aims(&results);
    println!("{table}");
    println!("{}", growth.table());
    report::write(&results, &growth, &table);
}

/// The webhook first: the others are compared with it.
fn contenders(files: &Files) -> Vec<Contender> {
    let certificate = [files.path("tls.crt"), files.path("tls.key")];
    let serve = [
        "serve",
        "--listen",
        "ADDRESS",
        "--admin-listen",
        "ADMIN",
        "--tls-cert-file",
        &certificate[0],
        "--tls-key-file",
        &certificate[1],
        "--teams",
        &files.path("teams"),
    ];
    let peer = ["ADDRESS", &files.path(""), &files.path("teams.json")];
    let noop = |length: usize| arguments(&["ADDRESS", &files.path(""), &length.to_string()]);
    let contender = |name, program: &str, answers, arguments| Contender {
        name,
        program: common::built(program),
        answers,
        arguments,
    };
    let answer = common::admit(common::SMALL, &common::team(), &common::settings());
    vec![
        contender(
            "agentteam-webhook",
            "target/release/agentteam-webhook",
            Answers::Injected,
            arguments(&serve),
        ),
        contender(
            "no-op",
            "target/release/examples/noop",
            Answers::Constant,
            noop(0),
        ),
        contender(
            "no-op, long answer",
            "target/release/examples/noop",
            Answers::Constant,
            noop(answer.len()),
        ),
        contender(
            "kube-rs",
            "target/peers/release/peer",
            Answers::Injected,
            arguments(&peer),
        ),
        contender(
            "controller-runtime",
            "target/peers/controller-runtime",
            Answers::Injected,
            arguments(&peer),
        ),
    ]
}

impl Bench {
    fn start(&self, contender: &Contender) -> (Running, Duration) {
        let (_, small) = &self.shapes[0];
        contender.start(&self.files, &small[0])
    }

    /// What requests cost that come as fast as they are answered, in each of these ways; the server.
    fn requests(&self, contender: &Contender, ways: &[Way], results: &mut Results) -> Running {
        let (running, first) = self.start(contender);
        let mut note = |figure: &str, value: f64| results.note(figure, contender.name, value);
        note("exec to first answer, ms", first.as_secs_f64() * 1e3);
        for (size, shape) in &self.shapes {
            shape[0].forget();
            for &(way, protocol, count) in ways {
                let connect = || Connections::open(&self.runtime, &running.target, protocol, count);
                connect().closed(&self.runtime, shape, Amount::Requests(WARM_UP));
                let cost = connect().cost(&self.runtime, &running, shape, self.extent.cell);
                note(&format!("{size}, {way}: requests/s"), cost.per_second);
                note(&format!("{size}, {way}: CPU ms per 1,000"), cost.cpu);
            }
        }
        running
    }

    fn new_connections(&self, contender: &Contender, call: u8, results: &mut Results) {
        let (running, _) = self.start(contender);
        let (_, small) = &self.shapes[0];
        let (target, cell) = (&running.target, self.extent.cell);
        let before = running.cpu();
        let count = load::new_connections(&self.runtime, target, &small[0], cell, call) as f64;
        let used = (running.cpu() - before).as_secs_f64();
        let mut note = |figure: &str, value: f64| results.note(figure, contender.name, value);
        note("new connections/s", count / cell.as_secs_f64());
        note("new connections: CPU ms per 1,000", used * 1e6 / count);
    }

    /// What requests take that come one by one.
    fn latency(&self, contender: &Contender, results: &mut Results) {
        let (running, _) = self.start(contender);
        let (_, small) = &self.shapes[0];
        let warm_up = Amount::Requests(WARM_UP);
        Connections::open(&self.runtime, &running.target, Protocol::Http1, 8).closed(
            &self.runtime,
            small,
            warm_up,
        );
        let mut took = load::open(
            &running.target,
            &small[0],
            INTERVAL,
            self.extent.open_requests,
        );
        took.sort();
        for (name, percent) in [("p50", 50), ("p99", 99)] {
            let at = took.len() * percent / 100;
            let figure = format!("200 requests/s, {name}, µs");
            results.note(&figure, contender.name, took[at].as_secs_f64() * 1e6);
        }
    }

    /// What is resident after many requests of ten teams.
    fn many_requests(&self, product: &Contender, results: &mut Results) {
        let names: Vec<_> = (0..10)
            .map(|number| format!("team-brief-{number}"))
            .collect();
        let shapes = growth::of_teams(&self.files, &names);
        let (running, _) = product.start(&self.files, &shapes[0]);
        let amount = Amount::Requests(self.extent.requests);
        Connections::open(&self.runtime, &running.target, Protocol::Http1, 8).closed(
            &self.runtime,
            &shapes,
            amount,
        );
        results.note(report::MANY_REQUESTS, product.name, running.resident());
    }
}
