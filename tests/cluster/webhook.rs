//! The product's own binary, serving.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::Supervised;
use crate::registration::{MUTATING, Registration, VALIDATING, shipped};
use crate::rig::Rig;

/// Readiness waits for a list of the cluster's teams, on a machine that may be busy.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// More than the drain of a server that was told to stop.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// A running `agentteam-webhook serve`; told to stop, and waited for, when dropped.
pub struct Webhook<'rig> {
    // First, so that the API server stops to call before nobody answers.
    registrations: Vec<Registration<'rig>>,
    rig: &'rig Rig,
    process: Supervised,
    log: Log,
    /// Where it serves TLS.
    pub address: SocketAddr,
    /// Where it serves probes and metrics.
    pub admin: SocketAddr,
    /// The certificate of its authority, in PEM.
    pub ca: String,
    _dir: TempDir,
}

impl<'rig> Webhook<'rig> {
    /// Starts it with an administrator's rights, on free ports; ready when this returns.
    pub async fn start(rig: &'rig Rig, flags: &[&str]) -> Self {
        Self::start_as(rig, &rig.kubeconfig(), flags).await
    }

    /// Starts it with the rights of whom the kubeconfig names.
    pub async fn start_as(rig: &'rig Rig, kubeconfig: &Path, flags: &[&str]) -> Self {
        let webhook = Self::launch(rig, kubeconfig, flags).await;
        let start = Instant::now();
        loop {
            let answer = webhook.get("/readyz");
            if matches!(answer, Ok((200, _))) {
                return webhook;
            }
            assert!(
                start.elapsed() < READY_WITHIN,
                "/readyz says {answer:?}; its log:\n{}",
                webhook.log.text()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts it and waits only until it listens: for what happens before it is ready.
    pub async fn launch(rig: &'rig Rig, kubeconfig: &Path, flags: &[&str]) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("agentteam-webhook-")
            .tempdir()
            .expect("a temporary directory");
        let ca_file = dir.path().join("ca.crt");
        let mut command = Supervised::command(
            Path::new(env!("CARGO_BIN_EXE_agentteam-webhook")),
            dir.path(),
        );
        // A person's own settings must not decide what is tested.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("AGENTTEAM_WEBHOOK_") {
                command.env_remove(variable);
            }
        }
        command
            .env("KUBECONFIG", kubeconfig)
            .env("NO_PROXY", "127.0.0.1");
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ]);
        // Else its authority is not in memory.
        if !flags
            .iter()
            .any(|flag| ["--tls-cert-file", "--tls-mode"].contains(flag))
        {
            command.arg("--tls-ca-out").arg(&ca_file);
        }
        // No load balancer is there to learn that it stops, unless a test plays one.
        if !flags.contains(&"--drain-seconds") {
            command.args(["--drain-seconds", "0"]);
        }
        command
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = Supervised::spawn(command).expect("/bin/sh starts");
        let log = Log::of(process.take_stderr().expect("standard error is a pipe"));

        let start = Instant::now();
        let [address, admin] = loop {
            if let Some(line) = log.find("listening") {
                break ["address", "admin"].map(|field| {
                    let address = line["fields"][field]
                        .as_str()
                        .and_then(|address| address.parse().ok());
                    address.unwrap_or_else(|| panic!("no address in the field {field} of {line}"))
                });
            }
            let ended = process.ended();
            assert!(
                ended.is_none(),
                "it ended ({ended:?}); its log:\n{}",
                log.text()
            );
            assert!(
                start.elapsed() < READY_WITHIN,
                "it does not listen; its log:\n{}",
                log.text()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let ca = std::fs::read_to_string(&ca_file).unwrap_or_default();
        Self {
            registrations: Vec::new(),
            rig,
            process,
            log,
            address,
            admin,
            ca,
            _dir: dir,
        }
    }

    /// Has the API server call this process for Pods in these namespaces, as the shipped configuration says;
    /// until this value is dropped. In force when this returns.
    pub async fn register(&mut self, namespaces: &[&str]) {
        self.register_for("kagents.dev", namespaces).await;
    }

    /// The same for another API group.
    pub async fn register_for(&mut self, group: &str, namespaces: &[&str]) {
        self.register_as(MUTATING, group, namespaces).await;
    }

    /// Has the API server call this process for teams in these namespaces, as the shipped configuration says.
    pub async fn register_door(&mut self, group: &str, namespaces: &[&str]) {
        self.register_as(VALIDATING, group, namespaces).await;
    }

    async fn register_as(&mut self, configuration: &str, group: &str, namespaces: &[&str]) {
        let server = format!("https://{}", self.address);
        let manifest = shipped(configuration)
            .to_string()
            .replace("kagents.dev", group);
        let manifest = serde_json::from_str(&manifest).expect("the group is a plain word");
        let registration =
            Registration::create(self.rig, manifest, &server, &self.ca, namespaces).await;
        self.registrations.push(registration);
    }

    /// Ends the registrations, for what happens to Pods that no webhook saw.
    pub fn unregister(&mut self) {
        self.registrations.clear();
    }

    /// Status and body of a GET on the plain port: `/livez`, `/readyz`, `/metrics`.
    pub fn get(&self, path: &str) -> io::Result<(u16, String)> {
        let limit = Duration::from_secs(5);
        let mut stream = TcpStream::connect_timeout(&self.admin, limit)?;
        stream.set_read_timeout(Some(limit))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.admin
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        match (status, answer.split_once("\r\n\r\n")) {
            (Some(status), Some((_, body))) => Ok((status, body.to_owned())),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, answer)),
        }
    }

    /// What it answers to a review of the creation of a Pod, asked as an API server asks.
    pub fn review(&self, pod: &Value) -> Value {
        self.review_in("default", pod)
    }

    /// The same in another namespace.
    pub fn review_in(&self, namespace: &str, pod: &Value) -> Value {
        let review = serde_json::json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "1", "operation": "CREATE", "namespace": namespace, "object": pod,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"}}})
        .to_string();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.ca.as_bytes()).unwrap())
            .unwrap();
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, TcpStream::connect(self.address).unwrap());
        let length = review.len();
        write!(
            stream,
            "POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{review}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str::<Value>(body).unwrap()["response"].clone()
    }

    /// What it has logged until now, line by line; what is not JSON (a panic's words) as a string.
    pub fn log(&self) -> Vec<Value> {
        self.log.lines()
    }

    /// The first line of the log with this message, for which it waits if need be.
    pub async fn logged(&self, message: &str) -> Value {
        let start = Instant::now();
        loop {
            if let Some(line) = self.log.find(message) {
                return line;
            }
            assert!(
                start.elapsed() < READY_WITHIN,
                "no {message:?} in its log:\n{}",
                self.log.text()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The memory it has resident, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let pid = self.process.program_id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .expect("Linux says");
        line.split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse().ok())
            .expect("a number of KiB")
    }

    /// Sends a signal by its name without `SIG`: `TERM`, `STOP`, `CONT`, `KILL`.
    pub fn signal(&mut self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for its end, after a signal; none within 15 s is a failure. Killed, its code is 137.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        let ended = self.process.ends_within(ENDS_WITHIN);
        ended.unwrap_or_else(|| panic!("it does not end; its log:\n{}", self.log.text()))
    }
}

impl Drop for Webhook<'_> {
    fn drop(&mut self) {
        self.registrations.clear();
        self.process.signal("TERM");
        let ended = self.process.ends_within(ENDS_WITHIN);
        // A second panic would abort the process and hide the first; the supervisor kills it in any case.
        if !std::thread::panicking() {
            assert!(
                ended.is_some(),
                "it ignores SIGTERM; its log:\n{}",
                self.log.text()
            );
        }
    }
}

/// The lines of a log, gathered by a thread as they come, so that the writer never waits for a reader.
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn of(source: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let gathered = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                gathered
                    .lock()
                    .expect("no reader panics while it holds the lock")
                    .push(line);
            }
        });
        Self(lines)
    }

    fn text(&self) -> String {
        self.0.lock().expect("the writer never panics").join("\n")
    }

    fn lines(&self) -> Vec<Value> {
        let text = self.text();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| line.into()))
            .collect()
    }

    fn find(&self, message: &str) -> Option<Value> {
        self.lines()
            .into_iter()
            .find(|line| line["fields"]["message"] == message)
    }
}
