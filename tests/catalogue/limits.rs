//! Clients that take their time, and as many as there may be.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, review_request};
use super::frames;
use super::review::{Session, assert_refused, pod, response, review};
use super::server::{Server, shared};
use super::teams::GOOD;

/// How much longer than it should something may take on a busy machine.
const SLACK: Duration = Duration::from_millis(1_500);

/// Waits until the server closes the connection, while `drip` is sent every half second.
fn closed_after(mut socket: TcpStream, drip: &[u8]) -> Duration {
    let begun = Instant::now();
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    while begun.elapsed() < Duration::from_secs(20) {
        match socket.read(&mut [0; 64]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let _ = socket.write_all(drip);
            }
            Ok(length) if length > 0 => {}
            _ => break,
        }
    }
    begun.elapsed()
}

#[test]
fn a_handshake_without_end_is_closed_after_five_seconds() {
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let durations: Vec<Duration> = thread::scope(|scope| {
        let started =
            [(&hello[..0], &b""[..]), (&hello, b""), (&hello, b"\0")].map(|(first, drip)| {
                scope.spawn(move || {
                    let mut socket = TcpStream::connect(shared().address).unwrap();
                    socket.write_all(first).unwrap();
                    closed_after(socket, drip)
                })
            });
        started
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let expected = Duration::from_secs(5);
    for took in durations {
        assert!(took.abs_diff(expected) < SLACK, "{took:?}");
    }
}

#[test]
fn a_body_a_byte_a_second_is_refused_after_ten_seconds() {
    let request = review_request(&serde_json::to_vec(&review(&pod(GOOD, "lead"))).unwrap());
    let split = request
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .unwrap()
        + 4;
    let mut client = Client::connect(shared());
    client.send(&request[..split]).unwrap();
    let begun = Instant::now();
    for byte in &request[split..][..9] {
        client.send(&[*byte]).unwrap();
        thread::sleep(Duration::from_secs(1));
    }
    assert_refused(&client.receive().unwrap(), 408);
    let (took, expected) = (begun.elapsed(), Duration::from_secs(10));
    assert!(took.abs_diff(expected) < SLACK, "{took:?}");
    assert!(client.wait_for_end() < SLACK);
}

#[test]
fn an_idle_connection_is_not_reset() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut session = Session::open();
    let review = review(&pod(GOOD, "lead"));
    let body = serde_json::to_vec(&review).unwrap();
    runtime.block_on(async {
        let (mut requests, connection) = frames::connect(shared()).await;
        for pause in [0, 1, 5] {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            let answer = session.exchange(&body).unwrap();
            assert_eq!(response(&answer, &review)["allowed"], true);
            let (status, _) = frames::post(&mut requests, body.clone()).await.unwrap();
            assert_eq!(status, 200);
        }
        connection.abort();
    });
}

#[test]
fn the_ninth_connection_waits_for_one_of_eight_to_close() {
    let server = Server::start(&["--max-connections", "8"]);
    let request = review_request(&serde_json::to_vec(&review(&pod(GOOD, "lead"))).unwrap());
    let mut eight: Vec<Client> = (0..8).map(|_| Client::connect(&server)).collect();
    for client in &mut eight {
        assert_eq!(client.exchange(&request).unwrap().status, 200);
    }
    thread::scope(|scope| {
        let ninth = scope.spawn(|| {
            let mut client = Client::connect(&server);
            let status = client.exchange(&request).unwrap().status;
            (status, Instant::now())
        });
        thread::sleep(Duration::from_millis(700));
        assert!(!ninth.is_finished());
        for client in &mut eight {
            assert_eq!(client.exchange(&request).unwrap().status, 200);
        }
        let closed = Instant::now();
        eight.pop();
        let (status, answered) = ninth.join().unwrap();
        assert_eq!(status, 200);
        assert!(answered > closed && answered - closed < Duration::from_secs(1));
    });
    server.assert_well();
}
