//! What others see in an archive: GNU tar, and Go's archive/tar.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use agentteam_webhook::pull::archive::{Archive, EntryKind};
use agentteam_webhook::pull::digest::Digest;
use agentteam_webhook::pull::limits::{Budget, Limits};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::tools::tool;

/// An entry as every reader can show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Without `.`, doubled slashes and a slash at the end.
    pub path: Vec<u8>,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File {
        size: u64,
        executable: bool,
    },
    Link(Vec<u8>),
    /// What only others read.
    Other(String),
}

/// What we see: the entries, and the content of each; or the word for why not.
pub fn ours(archive: &[u8]) -> Result<(Vec<Seen>, Vec<Vec<u8>>), &'static str> {
    let mut archive = Archive::new(archive);
    let mut budget = Budget::new(Limits::default());
    let (mut seen, mut contents) = (Vec::new(), Vec::new());
    while let Some(entry) = archive
        .next(&mut budget)
        .map_err(|error| error.problem.word())?
    {
        let mut content = Vec::new();
        loop {
            let chunk = archive.chunk().map_err(|error| error.problem.word())?;
            if chunk.is_empty() {
                break;
            }
            content.extend_from_slice(chunk);
        }
        contents.push(content);
        seen.push(Seen {
            path: entry.path.as_str().into(),
            kind: match entry.kind {
                EntryKind::Directory => Kind::Directory,
                EntryKind::File { size, executable } => Kind::File { size, executable },
                EntryKind::Link(target) => Kind::Link(target.into()),
            },
        });
    }
    Ok((seen, contents))
}

/// A running `tarlist`.
pub struct Go {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// What Go sees.
pub struct GoListing {
    pub entries: Vec<Seen>,
    /// The sum of each entry's content.
    pub sums: Vec<String>,
    pub error: Option<String>,
}

#[derive(Deserialize)]
struct RawListing {
    entries: Vec<RawEntry>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct RawEntry {
    name: String,
    link: String,
    r#type: String,
    size: i64,
    mode: i64,
    sha256: String,
}

impl Go {
    pub fn start() -> Self {
        let mut child = Command::new(tool("tarlist"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    pub fn list(&mut self, archive: &[u8]) -> GoListing {
        let input = self.input.as_mut().unwrap();
        let length = u32::try_from(archive.len()).unwrap();
        input.write_all(&length.to_be_bytes()).unwrap();
        input.write_all(archive).unwrap();
        input.flush().unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let raw: RawListing = serde_json::from_str(&line).expect("tarlist answers every archive");
        GoListing {
            sums: raw
                .entries
                .iter()
                .map(|entry| entry.sha256.clone())
                .collect(),
            entries: raw.entries.into_iter().map(RawEntry::seen).collect(),
            error: raw.error,
        }
    }
}

impl Drop for Go {
    fn drop(&mut self) {
        self.input = None; // It ends with its input.
        let _ = self.child.wait();
    }
}

impl RawEntry {
    fn seen(self) -> Seen {
        let decode = |text: &str| STANDARD.decode(text).unwrap();
        let kind = match &*self.r#type {
            "0" => Kind::File {
                size: self.size.cast_unsigned(),
                executable: self.mode & 0o111 != 0,
            },
            "2" => Kind::Link(decode(&self.link)),
            "5" => Kind::Directory,
            other => Kind::Other(other.to_owned()),
        };
        Seen {
            path: clean(&decode(&self.name)),
            kind,
        }
    }
}

pub fn sum(content: &[u8]) -> String {
    let digest = Digest::of(content);
    digest.as_str().trim_start_matches("sha256:").to_owned()
}

/// What GNU tar sees: the entries, and the content of all files together; or what it says.
pub fn gnu(archive: &[u8]) -> Result<(Vec<Seen>, Vec<u8>), String> {
    let flags = [
        "--list",
        "--verbose",
        "--numeric-owner",
        "--full-time",
        "--quoting-style=c",
    ];
    let listing = gnu_tar(&flags, archive)?;
    let seen = listing
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(gnu_entry)
        .collect();
    let content = gnu_tar(&["--extract", "--to-stdout"], archive)?;
    Ok((seen, content))
}

fn gnu_tar(flags: &[&str], archive: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new("tar")
        .args(flags)
        .args(["--absolute-names", "--file=-"])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("GNU tar is needed");
    // It stops reading where it sees the end.
    let _ = child.stdin.take().unwrap().write_all(archive);
    let done = child.wait_with_output().unwrap();
    if done.status.success() {
        Ok(done.stdout)
    } else {
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }
}

/// An entry of `-rwxr-xr-x 0/0 7 2023-11-14 22:13:20 "name" -> "target"`.
fn gnu_entry(line: &[u8]) -> Seen {
    let quote = line.iter().position(|&byte| byte == b'"').unwrap();
    let columns = String::from_utf8(line[..quote].to_vec()).unwrap();
    let columns: Vec<_> = columns.split_whitespace().collect();
    let (name, rest) = unquote(&line[quote..]);
    let mode = columns[0].as_bytes();
    let kind = match mode[0] {
        b'd' => Kind::Directory,
        b'-' => Kind::File {
            size: columns[2].parse().unwrap(),
            // s and t are execution and more, S and T only more.
            executable: [3, 6, 9]
                .iter()
                .any(|&at| matches!(mode[at], b'x' | b's' | b't')),
        },
        b'l' => Kind::Link(unquote(rest.strip_prefix(b" -> ").unwrap()).0),
        _ => Kind::Other(String::from_utf8_lossy(line).into_owned()),
    };
    Seen {
        path: clean(&name),
        kind,
    }
}

/// The text in C's quotes that a line begins with, and the rest of the line.
fn unquote(line: &[u8]) -> (Vec<u8>, &[u8]) {
    let (mut text, mut at) = (Vec::new(), 1);
    while line[at] != b'"' {
        if line[at] != b'\\' {
            text.push(line[at]);
            at += 1;
            continue;
        }
        let (byte, length) = match line[at + 1] {
            b'n' => (b'\n', 2),
            b't' => (b'\t', 2),
            b'r' => (b'\r', 2),
            b'a' => (7, 2),
            b'b' => (8, 2),
            b'v' => (11, 2),
            b'f' => (12, 2),
            b'0'..=b'7' => {
                let digits = str::from_utf8(&line[at + 1..at + 4]).unwrap();
                (u8::from_str_radix(digits, 8).unwrap(), 4)
            }
            other => (other, 2),
        };
        text.push(byte);
        at += length;
    }
    (text, &line[at + 1..])
}

/// A path without what says nothing.
fn clean(path: &[u8]) -> Vec<u8> {
    let names: Vec<_> = path
        .split(|&byte| byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
        .collect();
    let start = if path.starts_with(b"/") {
        &b"/"[..]
    } else {
        b""
    };
    [start, &names.join(&b'/')].concat()
}
