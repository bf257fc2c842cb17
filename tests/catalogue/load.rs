//! Many clients: silent ones while others are answered, and ones that are denied again and again.

use std::fs;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Client, review_request};
use super::review::{pod, review};
use super::server::Server;
use super::teams::GOOD;

/// What 99 of 100 answers must keep to: 100 ms, and as much again for a machine that runs other tests meanwhile.
const P99: Duration = Duration::from_millis(200);

/// A thousand, or fewer where this process may not open so many files.
fn most_clients() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let most = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    most.unwrap_or(256_usize).saturating_sub(150).min(1_000)
}

#[test]
fn silent_clients_do_not_keep_others_waiting() {
    let server = Server::start(&[]);
    let request = review_request(&serde_json::to_vec(&review(&pod(GOOD, "mixed"))).unwrap());
    let silent: Vec<TcpStream> = (0..most_clients())
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    let begun = Instant::now();
    let mut durations: Vec<Duration> = thread::scope(|scope| {
        let talk = |connect_each_time: bool| {
            let (server, request) = (&server, &request);
            move || {
                let mut client = Client::connect(server);
                let mut durations = Vec::new();
                while begun.elapsed() < Duration::from_secs(3) {
                    let asked = Instant::now();
                    if connect_each_time {
                        client = Client::connect(server);
                    }
                    assert_eq!(client.exchange(request).unwrap().status, 200);
                    durations.push(asked.elapsed());
                    thread::sleep(Duration::from_millis(5));
                }
                durations
            }
        };
        let threads = [true, false, false].map(|each_time| scope.spawn(talk(each_time)));
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let open = server.metric("agentteam_webhook_connections");
    assert!(
        open >= silent.len() as u64,
        "only {open} connections are open"
    );
    durations.sort();
    let p99 = durations[durations.len() * 99 / 100];
    assert!(durations.len() > 100, "only {} answers", durations.len());
    assert!(p99 < P99, "p99 is {p99:?} of {} answers", durations.len());

    drop(silent);
    let dropped = Instant::now();
    while server.metric("agentteam_webhook_connections") > 0 {
        assert!(
            dropped.elapsed() < Duration::from_secs(5),
            "connections stay"
        );
        thread::sleep(Duration::from_millis(20));
    }
    server.assert_well();
}

#[test]
fn many_denials_make_few_log_lines() {
    const EACH: u64 = 500;
    const THREADS: u64 = 4;
    const LINES_PER_SECOND: u64 = 50;
    let server = Server::start(&[]);
    let request = review_request(&serde_json::to_vec(&review(&pod("nobody", "lead"))).unwrap());
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut client = Client::connect(&server);
                for _ in 0..EACH {
                    let answer = client.exchange(&request).unwrap();
                    assert!(answer.text().contains("TeamNotFound"));
                }
            });
        }
    });
    // The last answer may be in the second after the last whole one, and the first was in one that had begun.
    let seconds = begun.elapsed().as_secs() + 2;
    // The next one, a second later, says how many were held back.
    thread::sleep(Duration::from_millis(1_100));
    Client::connect(&server).exchange(&request).unwrap();
    thread::sleep(Duration::from_millis(100));

    let log = server.log();
    let denials: Vec<Value> = log
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["fields"]["decision"] == "denied")
        .collect();
    let lines = denials.len() as u64;
    assert!(
        lines <= LINES_PER_SECOND * seconds + 1,
        "{lines} lines in {seconds} s"
    );
    let held_back: u64 = denials
        .iter()
        .map(|line| line["fields"]["held_back"].as_u64().unwrap())
        .sum();
    assert_eq!(lines + held_back, EACH * THREADS + 1);
    server.assert_well();
}
