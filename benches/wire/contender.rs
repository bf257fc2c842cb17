//! The servers that are measured, each started by itself and on a core of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::CertificateDer;

use super::common::free_address;
use super::load::{Target, answers};
use super::shape::{Answers, Shape};

/// The core of the server; the load has the other.
pub const SERVER_CORE: &str = "0";
pub const LOAD_CORE: &str = "1";

/// What all servers are given.
pub struct Files {
    pub directory: PathBuf,
    pub authority: CertificateDer<'static>,
}

/// A server that can be started.
pub struct Contender {
    /// What the table calls it.
    pub name: &'static str,
    pub program: PathBuf,
    pub answers: Answers,
    /// The arguments, given the address.
    pub arguments: Vec<String>,
}

/// A server that runs.
pub struct Running {
    pub target: Target,
    child: Child,
}

impl Files {
    /// A certificate for `localhost` in `directory`, as every server reads it.
    pub fn new(directory: PathBuf) -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of the benchmark");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        fs::write(directory.join("tls.crt"), certificate.pem()).unwrap();
        fs::write(directory.join("tls.key"), key.serialize_pem()).unwrap();
        let authority = authority.der().clone();
        Self {
            directory,
            authority,
        }
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

impl Contender {
    /// Starts the server and waits for its first right answer; how long that took from exec.
    pub fn start(&self, files: &Files, shape: &Shape) -> (Running, Duration) {
        shape.forget();
        let (address, admin) = (free_address(), free_address());
        let arguments = self.arguments.iter().map(|argument| {
            argument
                .replace("ADDRESS", &address.to_string())
                .replace("ADMIN", &admin.to_string())
        });
        let target = Target::new(address, self.answers, &files.authority);
        let mut command = Command::new("taskset");
        command
            .args(["-c", SERVER_CORE])
            .arg(&self.program)
            .args(arguments);
        let log = fs::File::create(files.path("log")).unwrap();
        let start = Instant::now();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let running = Running { target, child };
        while !answers(&running.target, shape) {
            assert!(
                start.elapsed() < Duration::from_mins(2),
                "{} does not answer; see {}",
                self.name,
                files.path("log")
            );
            std::thread::sleep(Duration::from_micros(100));
        }
        (running, start.elapsed())
    }

    /// The size of the program in MiB.
    pub fn size(&self) -> f64 {
        mib(fs::metadata(&self.program).unwrap().len() >> 10)
    }
}

impl Running {
    /// What the server's threads have used of the processor so far.
    pub fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let used = |task: fs::DirEntry| {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            text.split(' ')
                .next()
                .and_then(|number| number.parse().ok())
                .unwrap_or(0)
        };
        Duration::from_nanos(tasks.map(|task| used(task.unwrap())).sum())
    }

    /// Resident memory now in MiB.
    pub fn resident(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// The most resident memory so far in MiB.
    pub fn peak(&self) -> f64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with(field)).unwrap();
        mib(line.split_whitespace().nth(1).unwrap().parse().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// KiB in MiB.
fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap()) / 1024.0
}

/// Arguments for a program, in which `ADDRESS` and `ADMIN` stand for the ports.
pub fn arguments(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}
