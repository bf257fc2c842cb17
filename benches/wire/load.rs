//! The load: closed loops over HTTP/1.1 and HTTP/2, new connections, and an open loop.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, TcpStream as BlockingStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::contender::Running;
use super::http1;
use super::shape::{Answers, Shape, UID_LENGTH};

/// Which version of HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// How much is sent.
#[derive(Clone, Copy)]
pub enum Amount {
    For(Duration),
    Requests(u64),
}

/// A server that is loaded.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub answers: Answers,
    tls: [Arc<ClientConfig>; 2],
}

impl Target {
    /// The server at `address`, whose certificate is signed by `authority`.
    pub fn new(address: SocketAddr, answers: Answers, authority: &CertificateDer<'static>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = |protocol: &[u8]| {
            let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.alpn_protocols = vec![protocol.to_vec()];
            // An API server resumes no session.
            config.resumption = Resumption::disabled();
            Arc::new(config)
        };
        Self {
            address,
            answers,
            tls: [config(b"http/1.1"), config(b"h2")],
        }
    }

    async fn connect(&self, protocol: Protocol, from: Ipv4Addr) -> Option<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        let stream = socket.connect(self.address).await.ok()?;
        stream.set_nodelay(true).unwrap();
        let tls = TlsConnector::from(Arc::clone(
            &self.tls[usize::from(protocol == Protocol::Http2)],
        ));
        tls.connect(name(), stream).await.ok()
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// Gives requests their uids, and ends a closed loop.
struct Pace {
    amount: Amount,
    started: Instant,
    sent: Cell<u64>,
}

impl Pace {
    fn new(amount: Amount) -> Self {
        Self {
            amount,
            started: Instant::now(),
            sent: Cell::new(0),
        }
    }

    fn next(&self) -> Option<(u64, [u8; UID_LENGTH])> {
        let number = self.sent.get();
        let goes_on = match self.amount {
            Amount::For(duration) => self.started.elapsed() < duration,
            Amount::Requests(most) => number < most,
        };
        self.sent.set(number + 1);
        goes_on.then(|| (number, uid(number)))
    }
}

fn uid(number: u64) -> [u8; UID_LENGTH] {
    format!("8fbcb1f6-9fee-4437-aa84-{number:012x}")
        .into_bytes()
        .try_into()
        .unwrap()
}

/// Connections to a server that nothing was asked on yet.
pub struct Connections {
    streams: Vec<TlsStream<TcpStream>>,
    protocol: Protocol,
    answers: Answers,
}

/// What requests cost.
pub struct Cost {
    pub per_second: f64,
    /// Milliseconds of the server's processor per 1,000 requests.
    pub cpu: f64,
}

impl Connections {
    pub fn open(runtime: &Runtime, target: &Target, protocol: Protocol, count: usize) -> Self {
        let open = (0..count).map(|_| target.connect(protocol, Ipv4Addr::LOCALHOST));
        let opened = runtime.block_on(awake(join_all(open)));
        Self {
            streams: opened.into_iter().map(Option::unwrap).collect(),
            protocol,
            answers: target.answers,
        }
    }

    /// Sends `shapes` in turn, on each connection one request at a time; how many were answered, and in what time.
    pub fn closed(self, runtime: &Runtime, shapes: &[Shape], amount: Amount) -> (u64, Duration) {
        let pace = &Pace::new(amount);
        let ask = |stream| async move {
            match self.protocol {
                Protocol::Http1 => http1(stream, self.answers, shapes, pace).await,
                Protocol::Http2 => http2(stream, self.answers, shapes, pace).await,
            }
        };
        let counts = runtime.block_on(awake(join_all(self.streams.into_iter().map(ask))));
        (counts.into_iter().sum(), pace.started.elapsed())
    }

    /// Sends `shapes` to `server` for as long as `cell`.
    pub fn cost(
        self,
        runtime: &Runtime,
        server: &Running,
        shapes: &[Shape],
        cell: Duration,
    ) -> Cost {
        let before = server.cpu();
        let (answered, took) = self.closed(runtime, shapes, Amount::For(cell));
        let used = server.cpu() - before;
        Cost {
            per_second: answered as f64 / took.as_secs_f64(),
            cpu: used.as_secs_f64() * 1e6 / answered as f64,
        }
    }
}

/// Does `work` without ever sleeping. On loopback the sender pays for waking the receiver: in a virtual machine, as much as
/// for all else that the system does for an answer, but only where the load is faster than the server and waits for it.
async fn awake<T>(work: impl Future<Output = T>) -> T {
    let spin = async {
        loop {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        done = work => done,
        () = spin => unreachable!(),
    }
}

async fn http1(
    mut stream: TlsStream<TcpStream>,
    answers: Answers,
    shapes: &[Shape],
    pace: &Pace,
) -> u64 {
    let (mut request, mut buffer) = (Vec::new(), Vec::with_capacity(64 << 10));
    let mut count = 0;
    while let Some((number, uid)) = pace.next() {
        let shape = &shapes[turn(number, shapes)];
        shape.write(&uid, &mut request);
        let (status, answer) = http1::exchange(&mut stream, &request, &mut buffer).await;
        shape.check(answers, &uid, status, &answer);
        count += 1;
    }
    count
}

async fn http2(
    stream: TlsStream<TcpStream>,
    answers: Answers,
    shapes: &[Shape],
    pace: &Pace,
) -> u64 {
    let (mut sender, connection) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 20)
        .handshake(stream)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let mut request = Vec::new();
    let mut count = 0;
    while let Some((number, uid)) = pace.next() {
        let shape = &shapes[turn(number, shapes)];
        let body_at = shape.write(&uid, &mut request);
        sender = sender.ready().await.unwrap();
        let head = axum::http::Request::post(
            "https://agentteam-webhook.agentteam-system.svc/mutate?timeout=5s",
        )
        .header("content-type", "application/json")
        .header("user-agent", "kube-apiserver-admission")
        .body(())
        .unwrap();
        let (response, mut body) = sender.send_request(head, false).unwrap();
        body.send_data(Bytes::copy_from_slice(&request[body_at..]), true)
            .unwrap();
        let response = response.await.unwrap();
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut answer = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            answer.extend_from_slice(&data);
        }
        shape.check(answers, &uid, status, &answer);
        count += 1;
    }
    drop(sender);
    connection.abort();
    count
}

fn turn(number: u64, shapes: &[Shape]) -> usize {
    usize::try_from(number).unwrap() % shapes.len()
}

/// Connects, asks once and closes, eight at a time; how many times. Each call has a source address of its own, and with it
/// ports that no call before it has left waiting.
pub fn new_connections(
    runtime: &Runtime,
    target: &Target,
    shape: &Shape,
    duration: Duration,
    call: u8,
) -> u64 {
    let from = Ipv4Addr::new(127, 0, 1, call);
    let pace = &Pace::new(Amount::For(duration));
    let connect = |_| async move {
        let (mut request, mut buffer) = (Vec::new(), Vec::new());
        let mut count = 0;
        while let Some((_, uid)) = pace.next() {
            let mut stream = target.connect(Protocol::Http1, from).await.unwrap();
            shape.write(&uid, &mut request);
            let (status, answer) = http1::exchange(&mut stream, &request, &mut buffer).await;
            shape.check(target.answers, &uid, status, &answer);
            count += 1;
        }
        count
    };
    runtime
        .block_on(awake(join_all((0..8).map(connect))))
        .into_iter()
        .sum()
}

/// Sends `count` requests, one every `interval` whether or not those before it were answered, over eight connections in
/// turn; how long each took from when it was due.
pub fn open(target: &Target, shape: &Shape, interval: Duration, count: u32) -> Vec<Duration> {
    let mut streams: Vec<_> = (0..8).map(|_| blocking(target).unwrap()).collect();
    let (mut request, mut buffer) = (Vec::new(), Vec::new());
    let start = Instant::now() + interval;
    let mut took = Vec::new();
    for number in 0..count {
        let due = start + interval * number;
        // The system would wake us too late; the core is ours.
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        let uid = uid(u64::from(number));
        shape.write(&uid, &mut request);
        let stream = &mut streams[number as usize % 8];
        let (status, answer) = http1::exchange_blocking(stream, &request, &mut buffer);
        took.push(due.elapsed());
        shape.check(target.answers, &uid, status, &answer);
    }
    took
}

fn blocking(target: &Target) -> Option<StreamOwned<ClientConnection, BlockingStream>> {
    let stream = BlockingStream::connect(target.address).ok()?;
    stream.set_nodelay(true).unwrap();
    let tls = ClientConnection::new(Arc::clone(&target.tls[0]), name()).unwrap();
    Some(StreamOwned::new(tls, stream))
}

/// Whether a request is answered with 200 and allowed by now.
pub fn answers(target: &Target, shape: &Shape) -> bool {
    let Some(mut stream) = blocking(target) else {
        return false;
    };
    let (mut request, mut buffer) = (Vec::new(), Vec::new());
    let uid = uid(0);
    shape.write(&uid, &mut request);
    let (status, answer) = http1::exchange_blocking(&mut stream, &request, &mut buffer);
    if super::shape::find(&answer, br#""allowed":true"#).is_none() {
        return false;
    }
    shape.check(target.answers, &uid, status, &answer);
    true
}
