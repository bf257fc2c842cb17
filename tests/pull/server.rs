//! A server that says whatever a test wants: a registry, a token service, a proxy, and all of them at once.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::identity::Identity;

/// A request that came.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// `https://host:port` or `http://host:port`: whom the client meant.
    pub origin: String,
    /// At which of this machine's addresses it came.
    pub address: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The first byte that is asked for.
    pub fn offset(&self) -> usize {
        let range = self.header("range").unwrap_or("bytes=0-");
        range
            .trim_start_matches("bytes=")
            .trim_end_matches('-')
            .parse()
            .unwrap()
    }
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// As announced.
    Whole,
    /// After so many bytes the connection is closed.
    Cut(usize),
    /// After so many bytes there is silence.
    Silent(usize),
    /// It repeats for ever, without a length that would say so.
    Endless,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub end: End,
}

impl Reply {
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            end: End::Whole,
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}

/// Any port on this machine.
const LOOPBACK: &str = "127.0.0.1:0";

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// A server that runs as long as this process.
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Without TLS.
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::run(LOOPBACK, None, handler)
    }

    /// As a proxy behind which hosts with this identity are spoken to with TLS, and others without; or with TLS by itself.
    pub fn start_tls(
        identity: &Identity,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::run(LOOPBACK, Some(identity), handler)
    }

    /// With TLS, at this address and port.
    pub fn start_tls_at(
        address: &str,
        identity: &Identity,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::run(address, Some(identity), handler)
    }

    fn run(
        address: &str,
        identity: Option<&Identity>,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let served = Served {
            tls: identity.map(tls),
            handler: Arc::new(handler),
            seen: Arc::clone(&seen),
        };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let served = served.clone();
                // A client that goes away is no concern of the server's.
                thread::spawn(move || drop(served.connection(stream.unwrap())));
            }
        });
        Self { address, seen }
    }

    /// HOST:PORT.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// What came so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Forgets what came so far.
    pub fn forget(&self) {
        self.seen.lock().unwrap().clear();
    }

    /// How many requests came for paths that contain `part`.
    pub fn count(&self, part: &str) -> usize {
        self.seen()
            .iter()
            .filter(|request| request.target.contains(part))
            .count()
    }
}

#[derive(Clone)]
struct Served {
    tls: Option<Arc<ServerConfig>>,
    handler: Arc<Handler>,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Served {
    fn connection(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let address = stream.local_addr()?.ip().to_string();
        let mut first = [0];
        stream.peek(&mut first)?;
        if first == [22] {
            return self.secure(stream, &address, None);
        }
        let mut reader = BufReader::new(stream);
        let request = read(&mut reader, &address, None)?;
        let mut stream = reader.into_inner();
        if request.method == "CONNECT" {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            return self.secure(stream, &address, Some(&request.target));
        }
        self.answer(&mut stream, &request)
    }

    /// One request over TLS, for the host that a proxy was asked for, if it was.
    fn secure(&self, stream: TcpStream, address: &str, host: Option<&str>) -> io::Result<()> {
        let config = self.tls.clone().ok_or(io::ErrorKind::Unsupported)?;
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut reader = BufReader::new(StreamOwned::new(connection, stream));
        let mut request = read(&mut reader, address, Some("https"))?;
        if let Some(host) = host {
            request.origin = format!("https://{host}");
        }
        let mut stream = reader.into_inner();
        self.answer(&mut stream, &request)?;
        stream.conn.send_close_notify();
        stream.flush()
    }

    fn answer(&self, stream: &mut impl Write, request: &Request) -> io::Result<()> {
        self.seen.lock().unwrap().push(request.clone());
        let reply = (self.handler)(request);
        let mut head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", reply.status);
        for (name, value) in &reply.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let has_length = reply
            .headers
            .iter()
            .any(|(name, _)| name == "content-length");
        if reply.end == End::Endless {
            stream.write_all(format!("{head}\r\n").as_bytes())?;
            loop {
                stream.write_all(&reply.body)?;
            }
        }
        if !has_length {
            let length = reply.body.len().to_string();
            head.extend(["content-length: ", &length, "\r\n"]);
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        match reply.end {
            End::Cut(at) => stream.write_all(&reply.body[..at.min(reply.body.len())]),
            End::Silent(at) => {
                stream.write_all(&reply.body[..at.min(reply.body.len())])?;
                stream.flush()?;
                thread::sleep(Duration::from_mins(1));
                Ok(())
            }
            _ => stream.write_all(&reply.body),
        }?;
        stream.flush()
    }
}

fn read(reader: &mut impl BufRead, address: &str, scheme: Option<&str>) -> io::Result<Request> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(ToOwned::to_owned);
    let mut request = Request {
        address: address.to_owned(),
        method: words.next().unwrap_or_default(),
        target: words.next().unwrap_or_default(),
        ..Request::default()
    };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        request.headers.push((name.to_owned(), value.to_owned()));
    }
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    request.body = String::from_utf8(body).unwrap();
    // A proxy is told the whole address.
    if let Some((scheme, rest)) = request.target.clone().split_once("://") {
        let slash = rest.find('/').unwrap_or(rest.len());
        request.origin = format!("{scheme}://{}", &rest[..slash]);
        rest[slash..].clone_into(&mut request.target);
    } else {
        let host = request.header("host").unwrap_or_default();
        request.origin = format!("{}://{host}", scheme.unwrap_or("http"));
    }
    Ok(request)
}

fn tls(identity: &Identity) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config)
}
