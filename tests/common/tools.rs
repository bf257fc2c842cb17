//! The tools of `tests/tools`: an `oras`, and registries of one's own.
//!
//! ```ignore
//! let registry = Registry::start();                          // plain, open
//! let digest = registry.push("skills/web-research:v1", &directory); // as `oras push … .` from inside it
//! ```

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::identity::Identity;
use crate::process::{Supervised, programs};

/// Where a tool is; built if need be.
pub fn tool(name: &str) -> PathBuf {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS
        .get_or_init(|| programs("tests/tools/build.sh").unwrap())
        .join(name)
}

/// Runs `oras` in a directory.
pub fn oras(directory: &Path, args: &[&str]) -> Output {
    Command::new(tool("oras"))
        .args(args)
        .current_dir(directory)
        // A person's own credentials must not decide what is tested.
        .env("DOCKER_CONFIG", directory.join(".no-docker"))
        .output()
        .unwrap()
}

/// A running registry; it ends with this value, and with this process.
pub struct Registry {
    /// HOST:PORT, as in a reference.
    pub address: String,
    /// The certificate of its authority, in PEM, if it serves TLS.
    pub ca: Option<String>,
    /// The user that may push and pull, where not everybody may.
    user: Option<(String, String)>,
    flags: Vec<String>,
    process: Option<Supervised>,
    dir: TempDir,
}

impl Registry {
    /// An open one that speaks plain HTTP, on loopback.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0", None, None)
    }

    /// One at `listen` (port 0: a free one); over TLS if it has an identity, and for one user alone if one is named.
    pub fn start_at(listen: &str, identity: Option<&Identity>, user: Option<(&str, &str)>) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("agentteam-registry-")
            .tempdir()
            .unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let mut flags = vec!["--data".to_owned(), path("data")];
        if let Some(identity) = identity {
            std::fs::write(path("tls.crt"), &identity.certificate).unwrap();
            std::fs::write(path("tls.key"), &identity.key).unwrap();
            std::fs::write(path("ca.crt"), &identity.ca).unwrap();
            flags.extend(["--tls-cert".to_owned(), path("tls.crt")]);
            flags.extend(["--tls-key".to_owned(), path("tls.key")]);
        }
        if let Some((name, password)) = user {
            flags.extend(["--user".to_owned(), format!("{name}:{password}")]);
        }
        let mut registry = Self {
            address: listen.to_owned(),
            ca: identity.map(|identity| identity.ca.clone()),
            user: user.map(|(name, password)| (name.to_owned(), password.to_owned())),
            flags,
            process: None,
            dir,
        };
        registry.resume();
        registry
    }

    /// Ends it; what was pushed stays.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again at the same address.
    pub fn resume(&mut self) {
        let mut command = Supervised::command(&tool("registry"), &self.dir.path().join("none"));
        command
            .args(["--listen", &self.address])
            .args(&self.flags)
            .stdout(Stdio::piped());
        let mut process = Supervised::spawn(command).unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(process.take_stdout().unwrap());
        output.read_line(&mut line).unwrap();
        assert!(
            !line.is_empty(),
            "no registry at {}: {:?}, it says why above",
            self.address,
            process.ended()
        );
        line.trim().clone_into(&mut self.address);
        self.process = Some(process);
    }

    /// Pushes a directory as its author does, by `oras push … .` from inside it; gives the digest.
    pub fn push(&self, repository: &str, directory: &Path) -> String {
        self.push_with(repository, directory, &["."])
    }

    /// The same with other arguments: files, directories, flags.
    pub fn push_with(&self, repository: &str, directory: &Path, args: &[&str]) -> String {
        let reference = format!("{}/{repository}", self.address);
        let ca = self.dir.path().join("ca.crt").display().to_string();
        let mut all = vec!["push", &reference];
        match &self.ca {
            Some(_) => all.extend(["--ca-file", &ca]),
            None => all.push("--plain-http"),
        }
        if let Some((name, password)) = &self.user {
            all.extend(["--username", name, "--password", password]);
        }
        all.extend(args);
        let done = oras(directory, &all);
        let stdout = String::from_utf8_lossy(&done.stdout);
        assert!(
            done.status.success(),
            "oras push to {reference}: {stdout}{}",
            String::from_utf8_lossy(&done.stderr)
        );
        let digest = stdout
            .lines()
            .find_map(|line| line.strip_prefix("Digest: "));
        digest.expect("a push prints the digest").to_owned()
    }
}
