//! Row 21, and which protocols are spoken.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, SupportedProtocolVersion};

use super::client::{Client, post, review_request};
use super::frames::{self, Ended, Frames};
use super::review::{Session, pod, response, review};
use super::server::shared;
use super::teams::GOOD;

/// "You behave in a way that might be generating excessive load."
const ENHANCE_YOUR_CALM: u32 = 11;

fn body() -> Vec<u8> {
    serde_json::to_vec(&review(&pod(GOOD, "lead"))).unwrap()
}

#[test]
fn tls_1_2_and_1_3() {
    let server = shared();
    for (version, expected) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let version: &'static SupportedProtocolVersion = version;
        let mut client = Client::handshake(server, server.tls(&[version], b"http/1.1")).unwrap();
        assert_eq!(client.tls().protocol_version(), Some(expected));
        let review = review(&pod(GOOD, "lead"));
        let answer = client
            .exchange(&review_request(&serde_json::to_vec(&review).unwrap()))
            .unwrap();
        assert_eq!(response(&answer, &review)["allowed"], true);
    }
}

#[test]
fn http_1_0_1_1_and_2() {
    let server = shared();
    // Without a word on the protocol, it is HTTP/1.1.
    let mut config = (*server.tls).clone();
    config.alpn_protocols.clear();
    let mut client = Client::handshake(server, config.into()).unwrap();
    assert_eq!(
        client.exchange(&review_request(&body())).unwrap().status,
        200
    );

    let mut client = Client::connect(server);
    let old = String::from_utf8(review_request(&body()))
        .unwrap()
        .replacen("HTTP/1.1", "HTTP/1.0", 1);
    client.send(old.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while let Ok(read) = client.read()
        && !read.is_empty()
    {
        answer.extend(read);
    }
    assert!(
        answer.starts_with(b"HTTP/1.0 200 OK\r\n"),
        "{}",
        String::from_utf8_lossy(&answer)
    );

    runtime().block_on(async {
        let (mut requests, connection) = frames::connect(server).await;
        for _ in 0..3 {
            let (status, answer) = frames::post(&mut requests, body()).await.unwrap();
            assert_eq!(status, 200);
            assert!(String::from_utf8(answer).unwrap().contains("JSONPatch"));
            let (status, _) = frames::post(&mut requests, b"{".to_vec()).await.unwrap();
            assert_eq!(status, 400);
        }
        connection.abort();
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn what_is_not_tls_1_2_or_1_3_is_closed() {
    // A TLS 1.1 hello: record and hello say 3.2, with suites of that time, no compression and no extensions.
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 6, 0xc0, 0x13, 0xc0, 0x14, 0, 0x2f, 1, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    let record = [&[0x16, 3, 2, 0, length + 4, 1, 0, 0, length], &hello[..]].concat();
    let plain = post("/mutate", "content-type: application/json\r\n", &body());
    for bytes in [
        &record[..],
        &plain,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0; 1024],
        b"SSH-2.0-x\r\n",
    ] {
        let mut socket = TcpStream::connect(shared().address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        socket.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let ended = socket
            .read_to_end(&mut answer)
            .map_err(|error| error.kind());
        assert!(
            matches!(ended, Ok(_) | Err(ErrorKind::ConnectionReset)),
            "{ended:?}"
        );
        // An alert, if anything.
        assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
    }
    Session::open().patched(&review(&pod(GOOD, "lead")));
}

/// Runs `attack` while another client is answered all the time.
fn unaffected(attack: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut session = Session::open();
            let mut answered = 0;
            while !over.load(Ordering::Relaxed) || answered < 10 {
                session.patched(&review(&pod(GOOD, "lead")));
                answered += 1;
            }
        });
        attack();
        over.store(true, Ordering::Relaxed);
        other.join().unwrap();
    });
}

#[test]
fn row_21_large_head() {
    unaffected(|| {
        let long = format!(
            "content-type: application/json\r\nx-pad: {}\r\n",
            "x".repeat(64 << 10)
        );
        let many = "x-pad: x\r\n".repeat(6_500);
        let path = format!("/mutate?{}", "x".repeat(64 << 10));
        for request in [
            post("/mutate", &long, b"{}"),
            post("/mutate", &many, b"{}"),
            post(&path, "", b"{}"),
        ] {
            let mut client = Client::connect(shared());
            match client.exchange(&request) {
                Ok(answer) => assert!([431, 414].contains(&answer.status), "{answer:?}"),
                Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock),
            }
            client.wait_for_end();
        }
    });
}

#[test]
fn row_21_large_head_in_http_2() {
    unaffected(|| {
        for (count, length) in [(1, 64 << 10), (64, 1 << 10), (6_500, 1)] {
            let mut frames = Frames::connect(shared());
            let sent = frames.open_with_headers(count, length);
            match frames.answer() {
                // Status 431, which HPACK has no short form for.
                Ok(head) => assert!(
                    !head.is_empty() && !matches!(head[0], 0x88..=0x8e),
                    "{head:?}"
                ),
                Err(ended) => assert!(sent.is_err() || ended.0.is_some(), "{ended:?}"),
            }
        }
        Frames::connect(shared()).continue_for_ever();
    });
}

#[test]
fn row_21_reset_flood() {
    unaffected(|| {
        let mut frames = Frames::connect(shared());
        let mut opened = 0;
        while frames.open_and_reset(2 * opened + 1, 500).is_ok() {
            opened += 500;
            assert!(opened < 100_000, "the connection stays open");
        }
        assert_eq!(frames.answer(), Err(Ended(Some(ENHANCE_YOUR_CALM))));
    });
}
