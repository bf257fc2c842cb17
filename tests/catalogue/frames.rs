//! HTTP/2: frames made by hand for what no client would send, and a client for what all do.

use std::io;

use axum::http::{Method, Request, StatusCode};
use bytes::Bytes;
use h2::client::SendRequest;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::client::Client;
use super::server::Server;

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The most that a frame carries unless the peer allows more.
const FRAME_MAX: usize = 16 << 10;

/// `POST /mutate` of https, in HPACK without compression.
const POST_MUTATE: &[u8] = b"\x83\x87\x04\x07/mutate\x01\x07webhook";

/// A connection that speaks in frames.
pub struct Frames(Client);

/// The end of a connection, with the error code of its last words if it had any.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended(pub Option<u32>);

impl Frames {
    pub fn connect(server: &Server) -> Self {
        let mut client =
            Client::handshake(server, server.tls(rustls::DEFAULT_VERSIONS, b"h2")).unwrap();
        assert_eq!(client.tls().alpn_protocol(), Some(&b"h2"[..]));
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        client.send(&frame(SETTINGS, 0, 0, &[])).unwrap();
        Self(client)
    }

    /// Opens `count` streams, and takes each back at once.
    pub fn open_and_reset(&mut self, first: u32, count: u32) -> io::Result<()> {
        let mut bytes = Vec::new();
        for index in 0..count {
            let stream = first + 2 * index;
            bytes.extend(frame(HEADERS, END_HEADERS, stream, POST_MUTATE));
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        self.0.send(&bytes)
    }

    /// Opens a stream whose head is `count` headers of `length` bytes each.
    pub fn open_with_headers(&mut self, count: usize, length: usize) -> io::Result<()> {
        let mut block = POST_MUTATE.to_vec();
        for _ in 0..count {
            block.extend(b"\x00\x05x-pad");
            block.extend(integer(length));
            block.extend(vec![b'x'; length]);
        }
        let mut chunks = block.chunks(FRAME_MAX).peekable();
        let mut kind = HEADERS;
        while let Some(chunk) = chunks.next() {
            let end = if chunks.peek().is_none() {
                END_HEADERS
            } else {
                0
            };
            let start = if kind == HEADERS { END_STREAM } else { 0 };
            self.0.send(&frame(kind, start | end, 1, chunk))?;
            kind = CONTINUATION;
        }
        Ok(())
    }

    /// Opens a stream whose head never ends, until the server has enough.
    pub fn continue_for_ever(&mut self) {
        let mut sent = self.0.send(&frame(HEADERS, END_STREAM, 1, POST_MUTATE));
        let mut budget = 10_000;
        while sent.is_ok() {
            budget -= 1;
            assert!(budget > 0, "the server reads a head without end");
            sent = self
                .0
                .send(&frame(CONTINUATION, 0, 1, b"\x00\x05x-pad\x03abc"));
        }
    }

    /// Reads frames until a head comes or the connection ends.
    pub fn answer(&mut self) -> Result<Vec<u8>, Ended> {
        let mut bytes = Vec::new();
        let mut code = None;
        loop {
            while bytes.len() >= 9 {
                let length = usize::from(bytes[0]) << 16
                    | usize::from(bytes[1]) << 8
                    | usize::from(bytes[2]);
                if bytes.len() < 9 + length {
                    break;
                }
                let frame: Vec<u8> = bytes.drain(..9 + length).collect();
                match frame[3] {
                    HEADERS => return Ok(frame[9..].to_vec()),
                    GOAWAY => code = Some(u32::from_be_bytes(frame[13..17].try_into().unwrap())),
                    _ => {}
                }
            }
            match self.0.read() {
                Ok(read) if !read.is_empty() => bytes.extend(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("it is not closed")
                }
                _ => return Err(Ended(code)),
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The length of a string, as HPACK writes it.
fn integer(mut number: usize) -> Vec<u8> {
    if number < 127 {
        return vec![u8::try_from(number).unwrap()];
    }
    number -= 127;
    let mut bytes = vec![127];
    while number >= 128 {
        bytes.push(u8::try_from(number % 128).unwrap() | 128);
        number /= 128;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

/// A connection as any client has it, and the task that drives it.
pub async fn connect(server: &Server) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let connector = TlsConnector::from(server.tls(rustls::DEFAULT_VERSIONS, b"h2"));
    let socket = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::from(server.address.ip());
    let stream = connector.connect(name, socket).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    (requests, tokio::spawn(connection))
}

/// Sends a review, and reads the whole answer.
pub async fn post(
    requests: &mut SendRequest<Bytes>,
    body: Vec<u8>,
) -> Result<(StatusCode, Vec<u8>), h2::Error> {
    let request = Request::builder()
        .method(Method::POST)
        .uri("https://webhook/mutate?timeout=5s")
        .header("content-type", "application/json")
        .body(())
        .unwrap();
    std::future::poll_fn(|context| requests.poll_ready(context)).await?;
    let (response, mut stream) = requests.send_request(request, false)?;
    stream.send_data(body.into(), true)?;
    let (head, mut body) = response.await?.into_parts();
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        whole.extend(data);
    }
    Ok((head.status, whole))
}
