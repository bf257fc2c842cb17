//! The accept loops: TLS for the webhook, plain for the admin port; and how they end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures::FutureExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may wait for the head of its next request. It is the keep-alive time as well, and must be
/// longer than the 90 s that API servers keep idle connections for: a shorter one closes them under a request.
const HEAD_TIMEOUT: Duration = Duration::from_mins(2);

/// The largest head of a request. An API server's has a few hundred bytes.
const HEAD_MAX: u32 = 32 << 10;

/// Requests on one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 250;

/// How often a silent HTTP/2 peer is asked whether it lives, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How many connections may wait to be accepted, as far as the system allows. With the usual 128, a burst of clients
/// fills the queue, and whoever comes then is kept waiting for a second by TCP itself.
const BACKLOG: u32 = 4096;

/// How long connections may take to finish what they are at when the process ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a connection that was just made has to ask something before it is closed for the end of the process.
const FIRST_REQUEST_GRACE: Duration = Duration::from_millis(250);

/// How long to wait when the system has no file descriptor for one more connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// TLS 1.2 and 1.3 with `certificate`, for HTTP/2 and HTTP/1.1.
///
/// # Errors
/// When the crypto provider has neither version.
pub fn tls(certificate: Arc<dyn ResolvesServerCert>) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A port that is open, and what is served there.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    routes: Router,
    connections_max: usize,
    open: Gauge,
}

impl Server {
    /// Opens `address` for at most `connections_max` connections at once, which are counted in `open`.
    ///
    /// # Errors
    /// When the port cannot be opened.
    pub fn bind(
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
        routes: Router,
        connections_max: usize,
        open: Gauge,
    ) -> io::Result<Self> {
        Ok(Self {
            listener: listen(address)?,
            tls,
            routes,
            connections_max,
            open,
        })
    }

    /// The address that was opened.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `end`, then lets open connections finish what they are at.
    pub async fn serve(self, end: impl Future<Output = ()>) {
        let graceful = GracefulShutdown::new();
        let slots = Arc::new(Semaphore::new(self.connections_max));
        tokio::pin!(end);
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.listener, &slots) => accepted,
                () = &mut end => break,
            };
            match accepted {
                Ok(accepted) => self.answer(accepted, &graceful),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
        // Clients believe that what waits in the system's queue is accepted.
        while let Some(Ok(accepted)) = accept(&self.listener, &slots).now_or_never() {
            self.answer(accepted, &graceful);
        }
        drop(self.listener);
        tokio::time::sleep(FIRST_REQUEST_GRACE).await;
        if timeout(CLOSE_TIMEOUT, graceful.shutdown()).await.is_err() {
            tracing::warn!("some connections did not finish in time and are closed");
        }
    }

    fn answer(
        &self,
        (stream, slot): (TcpStream, OwnedSemaphorePermit),
        graceful: &GracefulShutdown,
    ) {
        let connection = Connection {
            tls: self.tls.clone(),
            routes: self.routes.clone(),
            graceful: graceful.watcher(),
            _slot: slot,
            open: Open::count(self.open.clone()),
        };
        tokio::spawn(connection.run(stream));
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Waits for a slot before it accepts: above the limit, connections wait in the system's queue.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

/// A connection that is counted while it is open.
struct Open(Gauge);

impl Open {
    fn count(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

struct Connection {
    tls: Option<TlsAcceptor>,
    routes: Router,
    graceful: Watcher,
    _slot: OwnedSemaphorePermit,
    open: Open,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        match self.tls.clone() {
            None => self.answer(stream).await,
            Some(tls) => match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.answer(stream).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            },
        }
    }

    async fn answer(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self {
            routes,
            graceful,
            _slot,
            open: _open,
            ..
        } = self;
        let asked = Arc::new(Notify::new());
        let service = routes.map_request({
            let asked = Arc::clone(&asked);
            move |request: Request<Incoming>| {
                asked.notify_one();
                request.map(Body::new)
            }
        });
        let service = TowerToHyperService::new(service.map_err(|never: Infallible| match never {}));
        let connection = builder()
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        tokio::select! {
            ended = graceful.watch(connection) => if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            },
            () = silence(&asked) => tracing::debug!("a connection asked nothing and is closed"),
        }
    }
}

/// Resolves when nothing was asked for too long. Only the first request is waited for: HTTP/1.1 bounds the wait for the
/// others, and HTTP/2 pings, but neither is begun before the client says which of the two it speaks.
async fn silence(asked: &Notify) {
    if timeout(HEAD_TIMEOUT, asked.notified()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX as usize)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
