//! The command, run in a directory of its own, and what it leaves behind.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::artifact::{SKILL_MD, large};
use crate::server::Server;

/// What must not be seen: the password of every user in these tests.
pub const SECRET: &str = "hunter2-is-secret";

/// What a run of the command needs.
pub struct Run {
    pub dir: TempDir,
    command: Command,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
    /// What the kubelet is left.
    pub last_words: String,
    /// The files below `out`, each with its content.
    pub files: Vec<(String, Vec<u8>)>,
    /// The names in `out`, or in the volume that is mounted there for the skill.
    pub left: Vec<String>,
}

impl Run {
    /// `pull --output out`, with nothing of a person's own environment.
    pub fn pull() -> Self {
        let mut run = Self::command("pull");
        let log = run.path("last-words");
        let output = run.path("out");
        run.command
            .arg("--output")
            .arg(output)
            .arg("--termination-log")
            .arg(log);
        run
    }

    /// Another subcommand.
    pub fn command(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentteam-webhook"));
        command
            .arg(name)
            .env_clear()
            .env("HOME", dir.path())
            .env("TMPDIR", dir.path());
        Self { dir, command }
    }

    /// The skill `web` of a registry that is spoken to without TLS.
    pub fn web(host: &str) -> Self {
        Self::pull()
            .skill("web", &format!("{host}/org/web:v1"))
            .arg("--plain-http-registry")
            .arg(host)
    }

    /// The same through a proxy that is every host.
    pub fn web_behind(proxy: &Server, host: &str) -> Self {
        Self::web(host).env("HTTP_PROXY", &format!("http://{}", proxy.host()))
    }

    /// The skill `web` of a registry with TLS, behind a proxy that is every host.
    pub fn secure_web_behind(proxy: &Server, host: &str, ca: &str) -> Self {
        let proxied = format!("http://{}", proxy.host());
        let run = Self::pull().skill("web", &format!("{host}/org/web:v1"));
        run.env("HTTP_PROXY", &proxied)
            .env("HTTPS_PROXY", &proxied)
            .trusting(ca)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn skill(self, name: &str, reference: &str) -> Self {
        self.arg("--skill").arg(&format!("{name}={reference}"))
    }

    /// Trusts one more authority.
    pub fn trusting(self, ca: &str) -> Self {
        let directory = self.path("authorities");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("ca.crt"), ca).unwrap();
        let directory = directory.display().to_string();
        self.env("SSL_CERT_DIR", &directory)
    }

    /// Gives one more docker configuration.
    pub fn config(self, config: &Value) -> Self {
        let count = fs::read_dir(self.dir.path()).unwrap().count();
        let file = self.path(&format!("config-{count}.json"));
        fs::write(&file, config.to_string()).unwrap();
        self.arg("--registry-config")
            .arg(&file.display().to_string())
    }

    /// Runs it on a terminal; what is seen there.
    pub fn seen_on_a_terminal(self) -> String {
        let words = [self.command.get_program()]
            .into_iter()
            .chain(self.command.get_args());
        let words: Vec<_> = words
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        let mut terminal = Command::new("script");
        terminal
            .args(["-qec", &words.join(" "), "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::null());
        for (name, value) in self.command.get_envs() {
            terminal.env(name, value.unwrap());
        }
        let done = terminal.output().expect("script, of util-linux, is there");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// Starts it, to be ended by the caller.
    pub fn spawn(&mut self) -> std::process::Child {
        self.command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The same, with a pipe for what it says that nobody reads any more.
    pub fn spawn_unheard(&mut self) -> std::process::Child {
        let command = self.command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stderr.take());
        child
    }

    /// Runs it to its end, once and for all.
    pub fn done(mut self) -> Done {
        self.go()
    }

    /// Runs it to its end, and looks for secrets in what it says.
    pub fn go(&mut self) -> Done {
        let before = names(self.dir.path());
        let began = Instant::now();
        let Output {
            status,
            stdout,
            stderr,
        } = self.command.output().unwrap();
        let last_words = fs::read_to_string(self.path("last-words")).unwrap_or_default();
        let done = Done {
            code: status.code().expect("no signal ends it"),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
            took: began.elapsed(),
            last_words,
            files: files(&self.path("out")),
            left: left(&self.path("out")),
        };
        for name in names(self.dir.path()) {
            let is_known = before.contains(&name) || ["out", "last-words"].contains(&&*name);
            assert!(is_known, "{name} is beside the output");
        }
        for text in [&done.stdout, &done.stderr, &done.last_words] {
            for secret in [SECRET, &STANDARD.encode(SECRET)[..20], "Basic ", "Bearer "] {
                assert!(!text.contains(secret), "{text}");
            }
            assert!(!text.contains("panicked"), "{text}");
        }
        done
    }
}

impl Done {
    /// The skill `web` is there, whole, and nothing else is.
    pub fn is_web(&self) {
        assert_eq!(self.code, 0, "{}", self.stderr);
        let expected = [
            ("web/SKILL.md", SKILL_MD.as_bytes().to_vec()),
            ("web/data.bin", large()),
        ];
        let found: Vec<_> = self
            .files
            .iter()
            .map(|(path, content)| (path.as_str(), content.clone()))
            .collect();
        assert!(
            found == expected,
            "{:?}",
            found.iter().map(|(path, _)| path).collect::<Vec<_>>()
        );
    }

    /// Nothing is there, and why is said on stderr and to the kubelet in one line.
    pub fn failed(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        assert_eq!(self.left, [""; 0]);
        let last = self.stderr.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("error: ") && last.contains(words),
            "{}",
            self.stderr
        );
        assert_eq!(format!("error: {}", self.last_words.trim_end()), last);
    }

    /// The same for what was tried until that was often enough, or the time was over.
    pub fn gave_up(&self, words: &str) {
        let code = if self.code == 8 { 8 } else { 6 };
        self.failed(code, words);
    }
}

/// A docker configuration with one password.
pub fn password(key: &str, user: &str) -> Value {
    json!({"auths": {key: {"auth": STANDARD.encode(format!("{user}:{SECRET}"))}}})
}

/// The header that shows it.
pub fn basic(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{SECRET}")))
}

/// What is in the output, or in the volume that is mounted there for the skill.
fn left(output: &Path) -> Vec<String> {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let volume = output.join("web");
    let is_mounted = device(&volume).is_some_and(|there| Some(there) != device(output));
    let mut left = names(output);
    if is_mounted {
        left.retain(|name| name != "web");
        left.extend(names(&volume));
    }
    left
}

/// The names in a directory, if there is one.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// The files below a directory, sorted, each with its content.
pub fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    fn add(directory: &Path, prefix: &str, found: &mut Vec<(String, Vec<u8>)>) {
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let entry = entry.unwrap();
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type().unwrap().is_dir() {
                add(&entry.path(), &format!("{path}/"), found);
            } else {
                found.push((path, fs::read(entry.path()).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    add(directory, "", &mut found);
    found.sort();
    found
}
