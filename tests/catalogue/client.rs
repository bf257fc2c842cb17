//! A client that sends exactly the bytes that it is told to.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::server::Server;

/// Planted where a careless server would log it.
pub const SECRET: &str = "hunter2";

/// How long a client waits before it calls it a hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client needs that trusts one authority.
pub fn client_config(
    authority: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
    protocol: &[u8],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

/// A connection.
pub struct Client {
    tls: ClientConnection,
    socket: TcpStream,
    unread: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Client {
    /// Connects for HTTP/1.1, and finishes the handshake.
    pub fn connect(server: &Server) -> Self {
        Self::try_connect(server).unwrap()
    }

    pub fn try_connect(server: &Server) -> io::Result<Self> {
        Self::handshake(server, Arc::clone(&server.tls))
    }

    /// Connects with `config`, and finishes the handshake.
    pub fn handshake(server: &Server, config: Arc<ClientConfig>) -> io::Result<Self> {
        let socket = TcpStream::connect(server.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::from(server.address.ip());
        let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut client = Self {
            tls,
            socket,
            unread: Vec::new(),
        };
        client.tls.complete_io(&mut client.socket)?;
        Ok(client)
    }

    pub fn tls(&self) -> &ClientConnection {
        &self.tls
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = rustls::Stream::new(&mut self.tls, &mut self.socket);
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// Reads what comes next; empty where the server closed the connection in order. This writes nothing, so what the
    /// server said before it closed can be read even where it did not read all that was sent.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.tls.reader().read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok(length) => {
                    buffer.truncate(length);
                    return Ok(buffer);
                }
            }
            self.tls.read_tls(&mut self.socket)?;
            self.tls.process_new_packets().map_err(io::Error::other)?;
        }
    }

    /// Reads one HTTP/1.1 answer.
    pub fn receive(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(end) = self
                .unread
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
            {
                break end;
            }
            self.read_more()?;
        };
        let head = String::from_utf8(self.unread[..end].to_vec())
            .unwrap()
            .to_lowercase();
        self.unread.drain(..end + 4);
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            self.read_more()?;
        }
        Ok(Answer {
            status: head["http/1.1 ".len()..][..3].parse().unwrap(),
            head,
            body: self.unread.drain(..length).collect(),
        })
    }

    fn read_more(&mut self) -> io::Result<()> {
        let more = self.read()?;
        if more.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.unread.extend(more);
        Ok(())
    }

    /// Sends a request and reads its answer, which must come within a second. The server may answer and close before it
    /// has read all.
    pub fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        let sent = self.send(request);
        let begun = Instant::now();
        let answer = self
            .receive()
            .map_err(|error| sent.err().unwrap_or(error))?;
        let took = begun.elapsed();
        assert!(
            took < Duration::from_secs(1),
            "answered after {took:?}: {answer:?}"
        );
        Ok(answer)
    }

    /// Reads until the server closes the connection, and says how long that took.
    pub fn wait_for_end(&mut self) -> Duration {
        let begun = Instant::now();
        while self.read().is_ok_and(|read| !read.is_empty()) {}
        let took = begun.elapsed();
        assert!(took < PATIENCE, "the connection is not closed");
        took
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The head and body of a POST, with the headers of `headers`, each ending a line.
pub fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: webhook\r\n{headers}content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A request as an API server makes it.
pub fn review_request(body: &[u8]) -> Vec<u8> {
    post("/mutate", "content-type: application/json\r\n", body)
}
