//! SIGTERM under load.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Client, review_request};
use super::frames;
use super::review::{pod, response, review};
use super::server::Server;
use super::teams::GOOD;

/// Until when clients come back: an endpoint is gone before its server closes.
const CLIENTS_LEARN: Duration = Duration::from_millis(1_700);

/// Asks again and again until told to stop, over a new connection where the server says so, and counts the answers.
fn ask(server: &Server, stop: &AtomicBool) -> (u32, u32) {
    let review = review(&pod(GOOD, "lead"));
    let request = review_request(&serde_json::to_vec(&review).unwrap());
    let (mut answers, mut connections) = (0, 1);
    let mut client = Client::connect(server);
    while !stop.load(Ordering::Relaxed) {
        let answer = client.exchange(&request).unwrap();
        assert_eq!(response(&answer, &review)["allowed"], true);
        answers += 1;
        if answer.header("connection") == Some("close") {
            client = Client::connect(server);
            connections += 1;
        }
    }
    (answers, connections)
}

/// The same over one HTTP/2 connection, until the server says goodbye.
fn ask_in_http_2(server: &Server) -> u32 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let body = serde_json::to_vec(&review(&pod(GOOD, "lead"))).unwrap();
    runtime.block_on(async {
        let (mut requests, connection) = frames::connect(server).await;
        let mut answers = 0;
        loop {
            match frames::post(&mut requests, body.clone()).await {
                Ok((status, _)) => assert_eq!(status, 200),
                // The request was not begun, and a client sends it elsewhere.
                Err(error) if error.reason() == Some(h2::Reason::NO_ERROR) => break,
                Err(error) => panic!("after {answers} answers: {error}"),
            }
            answers += 1;
        }
        connection.abort();
        answers
    })
}

#[test]
fn sigterm_loses_no_request() {
    let server = Server::start(&["--drain-seconds", "2"]);
    let stop = AtomicBool::new(false);
    let review = review(&pod(GOOD, "lead"));
    let request = review_request(&serde_json::to_vec(&review).unwrap());
    let mut slow = Client::connect(&server);
    let mut idle = Client::connect(&server);
    assert!(
        !idle
            .exchange(&request)
            .unwrap()
            .head
            .contains("connection: close")
    );
    thread::scope(|scope| {
        let clients = [(); 3].map(|()| scope.spawn(|| ask(&server, &stop)));
        let modern = scope.spawn(|| ask_in_http_2(&server));
        thread::sleep(Duration::from_millis(300));
        server.terminate();
        let terminated = Instant::now();
        thread::sleep(Duration::from_millis(200));
        let (status, why) = server.probe("/readyz");
        assert_eq!((status, &*why), (503, "not ready: shutting down"));
        assert_eq!(server.probe("/livez").0, 200);

        // Half of a request comes before the port is closed, and the rest after.
        slow.send(&request[..request.len() / 2]).unwrap();
        thread::sleep(CLIENTS_LEARN.saturating_sub(terminated.elapsed()));
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            let (answers, connections) = client.join().unwrap();
            assert!(
                answers > 20 && connections > 3,
                "{answers} answers, {connections} connections"
            );
        }
        while TcpStream::connect(server.address).is_ok() {
            assert!(
                terminated.elapsed() < Duration::from_secs(4),
                "the port is open"
            );
            thread::sleep(Duration::from_millis(20));
        }
        assert!(
            terminated.elapsed() > Duration::from_millis(1_900),
            "closed before its time"
        );
        let answer = slow.exchange(&request[request.len() / 2..]).unwrap();
        assert_eq!(response(&answer, &review)["patchType"], "JSONPatch");
        assert_eq!(answer.header("connection"), Some("close"));
        // An idle connection ends in order, without a reset.
        assert_eq!(idle.read().unwrap(), b"");
        assert!(modern.join().unwrap() > 20);
    });
    let closed = Instant::now();
    assert!(server.ended_well());
    assert!(closed.elapsed() < Duration::from_secs(2));
    server.assert_log();
    assert!(server.log().iter().any(|line| line.contains("\"stopped\"")));
}
