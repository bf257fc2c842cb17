//! The command blocks of the documentation, as something that can be run.
//!
//! - A fenced block with a `title` is a file of that name, written when its turn comes.
//! - `sh` is a script that must succeed.
//! - `console` is what a terminal shows: lines after `$ ` are commands, and the others are what they must print. In these, `…`
//!   stands for anything in a line, and on a line of its own for any number of lines. The width of white space does not count.
//! - `<!-- on a node -->` before a block: it needs Pods that run.
//! - `<!-- not run: REASON -->` before a block: it is for reading only.
//!
//! All other languages are for reading. A page is one session: its blocks are run in order, in one shell and one directory.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each target uses a part of it, and a test says what it expects by failing"
)]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The pages that are run: on the test cluster, which has an API server and no node, and on a node with the blocks that
/// need one.
pub const RUN: [&str; 9] = [
    "README.md",
    "examples/README.md",
    "manifests/README.md",
    "certs/README.md",
    "docs/how-to/install.md",
    "docs/how-to/label-your-own-workload.md",
    "docs/how-to/author-skills.md",
    "docs/how-to/choose-a-delivery.md",
    "docs/how-to/sign-skills.md",
];

/// What of the repository the commands find in their directory.
const PARTS: [&str; 3] = ["certs", "examples", "manifests"];

/// One block that does something.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it begins, from 1.
    pub line: usize,
    /// What it needs.
    pub needs: Needs,
    /// What it is.
    pub content: Content,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Needs {
    /// An API server and the programs in `PATH`.
    Cluster,
    /// Pods that run.
    Node,
    /// A person, for this reason.
    Person(String),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Content {
    File {
        name: String,
        text: String,
    },
    Script(String),
    /// Commands, each with what it prints.
    Session(Vec<(String, String)>),
}

/// The blocks of a page.
pub fn read(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut needs = Needs::Cluster;
    let mut lines = markdown.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if let Some(reason) = marker(line, "not run:") {
            needs = Needs::Person(reason.to_owned());
        } else if marker(line, "on a node").is_some() {
            needs = Needs::Node;
        } else if let Some(info) = line.trim_start().strip_prefix("```") {
            let text: String = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| line.trim() != "```")
                .fold(String::new(), |text, line| text + line + "\n");
            let needs = std::mem::replace(&mut needs, Needs::Cluster);
            let title = info
                .split_once("title=\"")
                .and_then(|(_, rest)| rest.split('"').next());
            let content = match (title, info.split_whitespace().next().unwrap_or_default()) {
                (Some(name), _) => Content::File {
                    name: name.to_owned(),
                    text,
                },
                (None, "sh") => Content::Script(text),
                (None, "console") => Content::Session(session(&text)),
                (None, "bash" | "shell") => {
                    panic!("line {}: write it as sh, which is run", index + 1)
                }
                _ => continue,
            };
            blocks.push(Block {
                line: index + 1,
                needs,
                content,
            });
        } else if !line.trim().is_empty() {
            assert!(
                needs == Needs::Cluster,
                "line {}: a marker with no block after it",
                index + 1
            );
        }
    }
    blocks
}

fn marker<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let rest = line
        .trim()
        .strip_prefix("<!--")?
        .trim_start()
        .strip_prefix(word)?;
    Some(rest.strip_suffix("-->")?.trim())
}

/// The commands of a `console` block, each with the lines that follow it.
fn session(text: &str) -> Vec<(String, String)> {
    let mut session: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), session.last_mut()) {
            (Some(command), _) => session.push((command.to_owned(), String::new())),
            (None, Some((command, _))) if command.ends_with('\\') => command.extend(["\n", line]),
            (None, Some((_, output))) => output.extend([line, "\n"]),
            (None, None) => panic!("a console block begins with a command, not with {line:?}"),
        }
    }
    session
}

/// Where a page is run.
pub struct Place<'a> {
    /// An empty directory, in which the page finds itself in a copy of this repository.
    pub directory: &'a Path,
    /// Whether there is a node.
    pub has_node: bool,
    /// What a page says, and what stands for it here: a registry of the test in place of a public one.
    pub instead: &'a [(&'a str, String)],
    /// Variables of the shell, `PATH` among them.
    pub environment: &'a [(&'a str, String)],
}

impl Place<'_> {
    /// Runs a page of this repository and compares what it prints; says how many blocks were run.
    pub fn run(&self, page: &str) -> usize {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let blocks: Vec<_> = read(&std::fs::read_to_string(repository.join(page)).unwrap())
            .into_iter()
            .filter(|block| match block.needs {
                Needs::Cluster => true,
                Needs::Node => self.has_node,
                Needs::Person(_) => false,
            })
            .collect();
        let (home, log) = (self.directory.join("home"), self.directory.join("log"));
        for directory in [&home, &log] {
            std::fs::create_dir_all(directory).unwrap();
        }
        for part in PARTS {
            self.copy(&repository.join(part), &home.join(part));
        }
        let (script, expected) = self.script(&blocks, &log);
        let ended = Command::new("bash")
            .args(["-c", &script])
            .current_dir(&home)
            .env_clear()
            .env("HOME", &home)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .status()
            .unwrap();
        for (number, (place, output)) in expected.iter().enumerate() {
            let Ok(printed) = std::fs::read_to_string(log.join(number.to_string())) else {
                break;
            };
            let printed = self.as_written(&printed);
            let is_last = !log.join((number + 1).to_string()).exists();
            assert!(
                ended.success() || !is_last,
                "{page}:{place} failed ({ended}):\n{printed}"
            );
            if let Some(output) = output {
                let output = &self.as_written(output);
                assert!(
                    matches(output, &printed),
                    "{page}:{place} prints\n{printed}\nand not\n{output}"
                );
            }
        }
        assert!(ended.success(), "{page} failed ({ended})");
        blocks.len()
    }

    /// The script of all blocks, and for each step of it its place and what it must print.
    fn script<'b>(
        &self,
        blocks: &'b [Block],
        log: &Path,
    ) -> (String, Vec<(String, Option<&'b str>)>) {
        let mut script = "set -euo pipefail\n".to_owned();
        let mut steps = Vec::new();
        let mut step = |line: usize, command: &str, output: Option<&'b str>| {
            let log = log.join(steps.len().to_string());
            writeln!(script, "exec > '{}' 2>&1\n{command}", log.display()).unwrap();
            steps.push((line.to_string(), output));
        };
        for (number, block) in blocks.iter().enumerate() {
            match &block.content {
                Content::File { name, text } => {
                    let file = log.join(format!("file-{number}"));
                    std::fs::write(&file, self.as_run(text)).unwrap();
                    let command = format!(
                        "(cd ~ && mkdir -p \"$(dirname '{name}')\" && cp '{}' '{name}')",
                        file.display()
                    );
                    step(block.line, &command, None);
                }
                Content::Script(text) => step(block.line, &self.as_run(text), None),
                // That one fails is seen from what it prints.
                Content::Session(commands) => {
                    for (command, output) in commands {
                        let command = format!("set +e\n{}\nset -e", self.as_run(command));
                        step(block.line, &command, Some(output));
                    }
                }
            }
        }
        (script, steps)
    }

    /// What is in a directory, with the words of this place.
    fn copy(&self, from: &Path, to: &Path) {
        std::fs::create_dir(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let from = entry.unwrap().path();
            let to = to.join(from.file_name().unwrap());
            if from.is_dir() {
                self.copy(&from, &to);
            } else {
                // With its mode.
                std::fs::copy(&from, &to).unwrap();
                let text = std::fs::read_to_string(&from).unwrap();
                std::fs::write(&to, self.as_run(&text)).unwrap();
            }
        }
    }

    fn as_run(&self, text: &str) -> String {
        let replace = |text: String, (from, to): &(&str, String)| text.replace(from, to);
        self.instead.iter().fold(text.to_owned(), replace)
    }

    fn as_written(&self, text: &str) -> String {
        // A name may be the beginning of another.
        let mut instead: Vec<_> = self.instead.iter().collect();
        instead.sort_by_key(|(_, to)| std::cmp::Reverse(to.len()));
        let replace = |text: String, (from, to): &(&str, String)| text.replace(to, from);
        instead.into_iter().fold(text.to_owned(), replace)
    }
}

/// Whether `printed` is what `expected` says.
fn matches(expected: &str, printed: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        text.trim()
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    lines_match(&lines(expected), &lines(printed))
}

fn lines_match(expected: &[String], printed: &[String]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "…" => (0..=printed.len())
            .any(|skipped| lines_match(rest, printed.get(skipped..).unwrap_or_default())),
        Some((first, rest)) => printed
            .split_first()
            .is_some_and(|(line, others)| line_matches(first, line) && lines_match(rest, others)),
    }
}

fn line_matches(expected: &str, printed: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = printed.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

/// All Markdown of the repository that people read, by its path in it.
pub fn all() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut directories = vec![root.clone()];
    let mut pages = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    directories.push(path);
                }
            } else if name.ends_with(".md") {
                let inside = path.strip_prefix(&root).unwrap().display().to_string();
                pages.push((inside, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    pages.sort();
    pages
}
