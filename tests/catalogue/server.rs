//! The server under test: its own binary, in its own process.

use std::io::{BufRead, BufReader, Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, SupportedProtocolVersion};
use serde_json::Value;

use super::client::{SECRET, client_config};
use super::teams;

/// How long a server may take to start, on a machine that is busy compiling.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the server, ends it when stdin closes, which the death of this process does too, and removes its files.
const GUARD: &str = r#"
    exec 3<&0
    "$@" </dev/null 3<&- & server=$!
    (read -r _ <&3; kill $server) >/dev/null 2>&1 &
    wait $server; status=$?
    rm -rf -- "$0"
    exit $status
"#;

/// The server that all tests share which need nothing special of it.
pub fn shared() -> &'static Server {
    static SHARED: LazyLock<Server> = LazyLock::new(|| Server::start(&[]));
    &SHARED
}

/// A server that allows certain registries only, and digests only.
pub fn strict() -> &'static Server {
    static STRICT: LazyLock<Server> = LazyLock::new(|| {
        let allowed = teams::SPECIAL_HOSTS.map(|host| host.to_owned() + "/skills/*");
        let allowed = allowed.join(",") + ",ghcr.io/example/*";
        Server::start(&["--require-digest", "--allowed-registries", &allowed])
    });
    &STRICT
}

/// A process that serves, until this is dropped.
pub struct Server {
    /// Where the webhook listens.
    pub address: SocketAddr,
    /// What a client needs that trusts it, speaking HTTP/1.1.
    pub tls: Arc<ClientConfig>,
    authority: CertificateDer<'static>,
    admin: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    /// How many lines of the log were judged, so that what is wrong fails one test and not all that follow.
    judged: Mutex<usize>,
    child: Mutex<Child>,
    stdin: Mutex<Option<ChildStdin>>,
}

impl Server {
    /// Starts a server with `flags`, and waits until it is ready.
    pub fn start(flags: &[&str]) -> Self {
        let files = tempfile::tempdir().unwrap().keep();
        let authority = files.join("ca.pem");
        teams::write(&files.join("teams"));
        let mut child = command(&files, flags).spawn().unwrap();
        let stdin = child.stdin.take();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let (listening, addresses) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn({
            let log = Arc::clone(&log);
            move || follow(stderr, &log, &listening)
        });
        let (address, admin) = addresses
            .recv_timeout(START_TIMEOUT)
            .unwrap_or_else(|_| panic!("the server does not listen: {:?}", log.lock().unwrap()));
        let authority = CertificateDer::from_pem_file(authority).unwrap();
        let server = Self {
            address,
            tls: client_config(&authority, rustls::DEFAULT_VERSIONS, b"http/1.1"),
            authority,
            admin,
            log,
            judged: Mutex::default(),
            child: Mutex::new(child),
            stdin: Mutex::new(stdin),
        };
        let begun = Instant::now();
        while server.probe("/readyz").0 != 200 {
            assert!(begun.elapsed() < START_TIMEOUT, "the server is not ready");
            thread::sleep(Duration::from_millis(10));
        }
        server
    }

    /// What a client needs that trusts this server.
    pub fn tls(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocol: &[u8],
    ) -> Arc<ClientConfig> {
        client_config(&self.authority, versions, protocol)
    }

    /// Gets a path of the admin port: its status and body.
    pub fn probe(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    /// The value of a metric without labels.
    pub fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.probe("/metrics");
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse().unwrap()
    }

    /// The lines that were logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.stdin.lock().unwrap().take();
    }

    /// Waits for the end of a server that was terminated, and says whether it ended well.
    pub fn ended_well(&self) -> bool {
        self.child.lock().unwrap().wait().unwrap().success()
    }

    /// Panics unless the server lives, nothing in it panicked, and its log keeps what must be kept.
    pub fn assert_well(&self) {
        assert_eq!(
            self.child.lock().unwrap().try_wait().unwrap(),
            None,
            "it ended"
        );
        assert_eq!(self.probe("/livez").0, 200);
        assert_eq!(self.probe("/readyz").0, 200);
        self.assert_log();
    }

    /// Panics unless nothing in the server panicked, and its log keeps what must be kept.
    pub fn assert_log(&self) {
        let log = self.log();
        let judged = mem::replace(&mut *self.judged.lock().unwrap(), log.len());
        for line in log.iter().skip(judged) {
            assert!(!line.contains(SECRET), "a secret is logged: {line}");
            assert!(!line.contains("panicked"), "{line}");
            assert!(!line.contains("mountPath"), "an object is logged: {line}");
            assert!(line.len() < 4096, "an object is logged: {line}");
        }
    }
}

fn command(files: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", GUARD]).arg(files);
    command.arg(env!("CARGO_BIN_EXE_agentteam-webhook"));
    command.args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    command.arg("--teams").arg(files.join("teams"));
    command.arg("--tls-ca-out").arg(files.join("ca.pem"));
    if !flags.contains(&"--drain-seconds") {
        command.args(["--drain-seconds", "0"]);
    }
    command.args(flags);
    let ours = |name: &str| name.starts_with("AGENTTEAM_WEBHOOK_");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Keeps what is logged, and tells the addresses when they are.
fn follow(
    stderr: impl BufRead,
    log: &Mutex<Vec<String>>,
    listening: &Sender<(SocketAddr, SocketAddr)>,
) {
    for line in stderr.lines().map_while(Result::ok) {
        if let Ok(event) = serde_json::from_str::<Value>(&line)
            && event["fields"]["message"] == "listening"
        {
            let address = |name: &str| event["fields"][name].as_str()?.parse().ok();
            let _ = listening.send((address("address").unwrap(), address("admin").unwrap()));
        }
        log.lock().unwrap().push(line);
    }
}
