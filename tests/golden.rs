//! Golden files: an input, what comes out of it, and the report on stderr, through the command line and the webhook alike.
//!
//! `tests/golden/NAME.input.yaml` is picked up by itself. `make golden` writes `NAME.output.yaml` and `NAME.report` anew.
//! A first line `# flags: …` gives flags.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what it expects by failing"
)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use agentteam_webhook::offline::{self, Context};
use agentteam_webhook::yaml;
use common::Flags;
use serde_json::Value;

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

struct Golden {
    name: String,
    input: String,
    flags: Vec<String>,
}

impl Golden {
    fn all() -> Vec<Self> {
        let mut names: Vec<_> = files()
            .filter_map(|file| Some(file.strip_suffix(".input.yaml")?.to_owned()))
            .collect();
        names.sort();
        assert!(names.len() > 50, "the golden files are not where they were");
        names.into_iter().map(Self::read).collect()
    }

    fn read(name: String) -> Self {
        let input = fs::read_to_string(path(&name, "input.yaml")).unwrap();
        let first = input.lines().next().unwrap_or_default();
        let flags = first
            .strip_prefix("# flags: ")
            .map(|flags| flags.split(' ').map(Into::into).collect());
        Self {
            name,
            input,
            flags: flags.unwrap_or_default(),
        }
    }

    fn expected(&self, kind: &str) -> String {
        fs::read_to_string(path(&self.name, kind)).unwrap_or_default()
    }
}

fn files() -> impl Iterator<Item = String> {
    fs::read_dir(DIRECTORY)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
}

fn path(name: &str, kind: &str) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{name}.{kind}"))
}

fn teams() -> PathBuf {
    Path::new(DIRECTORY).join("teams")
}

/// Runs the program: stdout, stderr and exit code.
fn inject(input: &str, flags: &[String]) -> (String, String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentteam-webhook"));
    command.args(["inject", "-f", "-", "--teams"]).arg(teams());
    common::run(command.args(flags), input)
}

#[test]
fn the_command_line_writes_what_the_golden_files_say() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for golden in Golden::all() {
        let (output, report, code) = inject(&golden.input, &golden.flags);
        assert_eq!(
            code,
            i32::from(golden.name.starts_with("denied-")),
            "{}: {report}",
            golden.name
        );
        if update {
            if output.is_empty() {
                let _ = fs::remove_file(path(&golden.name, "output.yaml"));
            } else {
                fs::write(path(&golden.name, "output.yaml"), &output).unwrap();
            }
            fs::write(path(&golden.name, "report"), &report).unwrap();
        }
        let hint = "run `make golden` and read the difference";
        assert_eq!(
            output,
            golden.expected("output.yaml"),
            "{}: {hint}",
            golden.name
        );
        assert_eq!(report, golden.expected("report"), "{}: {hint}", golden.name);
    }
}

#[test]
fn twice_is_nothing() {
    for golden in Golden::all() {
        let (once, _, _) = inject(&golden.input, &golden.flags);
        if once.is_empty() {
            continue;
        }
        let (twice, report, _) = inject(&once, &golden.flags);
        assert_eq!(once, twice, "{}", golden.name);
        assert!(!report.contains("injected"), "{}: {report}", golden.name);
    }
}

#[test]
fn no_golden_file_is_left_over() {
    let names: BTreeSet<_> = Golden::all()
        .into_iter()
        .map(|golden| golden.name)
        .collect();
    for file in files().filter(|file| file != "teams") {
        let name = file.split('.').next().unwrap_or_default();
        let known = names.iter().any(|known| {
            file.strip_prefix(known.as_str())
                .is_some_and(|kind| kind.starts_with('.'))
        });
        assert!(known, "{file} belongs to no input ({name})");
    }
}

/// What the webhook answers for each Pod of the input is what the command line wrote and said.
#[tokio::test]
async fn the_webhook_answers_what_the_golden_files_say() {
    for golden in Golden::all() {
        let flags = Flags::parse_words(&golden.flags);
        let app = common::webhook(common::teams(&teams()), &flags);
        let settings = flags.settings.settings().unwrap();
        let index = common::teams(&teams());
        let context = Context {
            teams: &index,
            namespace: "default",
            settings: &settings,
            server: flags.settings.server_version,
        };
        let report = offline::run(&golden.input, &context).unwrap().report;
        let (before, after) = (pods(&golden.input), pods(&golden.expected("output.yaml")));
        assert_eq!(before.len(), report.len(), "{}", golden.name);
        for (index, (pod, entry)) in before.into_iter().zip(report).enumerate() {
            let response = common::answer(&app, &common::review(&pod, "default")).await;
            match entry.result {
                Some(Err(reason)) => {
                    assert_eq!(response["allowed"], false, "{}", golden.name);
                    assert_eq!(
                        response["status"]["reason"],
                        reason.word(),
                        "{}",
                        golden.name
                    );
                    assert_eq!(
                        response["status"]["message"],
                        format!("{}: {reason}", reason.word())
                    );
                }
                result => {
                    assert_eq!(response["allowed"], true, "{}", golden.name);
                    let mut patched = pod;
                    json_patch::patch(&mut patched, &common::patch(&response)).unwrap();
                    assert_eq!(patched, after[index], "{}", golden.name);
                    let warnings = result.map_or(vec![], |done| done.unwrap().injection.warnings);
                    assert_eq!(
                        response["warnings"].as_array().map_or(0, Vec::len),
                        warnings.len()
                    );
                }
            }
        }
    }
}

/// Every Pod and Pod template of a stream of documents, in order.
fn pods(documents: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for document in yaml::documents(documents) {
        let object = document.parse().unwrap();
        let items = object["items"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![object]);
        for item in items {
            let pointers = if item["kind"] == "Pod" {
                vec![""]
            } else {
                vec![
                    "/spec/template",
                    "/spec/jobTemplate/spec/template",
                    "/template",
                ]
            };
            found.extend(
                pointers
                    .iter()
                    .filter_map(|pointer| item.pointer(pointer).cloned()),
            );
        }
    }
    found
}
