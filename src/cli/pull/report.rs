//! What became of the skills: for people, for programs, and for the kubelet.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cli::say;
use crate::pull::failure::{Failure, Kind};
use crate::pull::{Pulled, Wanted};

/// The longest message that the kubelet takes from a container.
const LAST_WORDS_MAX: usize = 4096;

/// What became of each skill.
pub struct Report {
    skills: Vec<Outcome>,
    /// What is wrong with the flags, and so with every skill.
    failure: Option<(Kind, String)>,
}

/// What became of one skill.
struct Outcome {
    name: String,
    reference: String,
    result: Result<Pulled, (Kind, String)>,
}

impl Report {
    /// The results in the order of `wanted`.
    pub fn of(wanted: &[Wanted], results: Vec<Result<Pulled, Failure>>) -> Self {
        let outcome = |(wanted, result): (&Wanted, Result<Pulled, Failure>)| Outcome {
            name: wanted.name.to_string(),
            reference: wanted.reference.to_string(),
            result: result.map_err(|failure| (failure.kind(), failure.to_string())),
        };
        Self {
            skills: wanted.iter().zip(results).map(outcome).collect(),
            failure: None,
        }
    }

    /// Nothing was pulled.
    pub fn of_failure(failure: &Failure) -> Self {
        Self {
            skills: Vec::new(),
            failure: Some((failure.kind(), failure.to_string())),
        }
    }

    /// The exit code of the first failure.
    pub fn exit_code(&self) -> ExitCode {
        let failures = self
            .skills
            .iter()
            .filter_map(|skill| skill.result.as_ref().err());
        match self.failure.iter().chain(failures).next() {
            None => ExitCode::SUCCESS,
            Some((kind, _)) => ExitCode::from(kind.exit_code()),
        }
    }

    /// Prints what was pulled to stdout, and what is wrong or unwise to stderr.
    pub fn print(&self, as_json: bool) -> Result<()> {
        let mut output = String::new();
        if as_json {
            writeln!(output, "{}", self.to_json())?;
        }
        for skill in &self.skills {
            let name = &skill.name;
            match &skill.result {
                Ok(pulled) => {
                    if !as_json {
                        writeln!(output, "{}", skill.line(pulled))?;
                    }
                    for warning in &pulled.unpacked.warnings {
                        say(format_args!("warning: skill {name}: {warning}"));
                    }
                }
                Err((_, why)) => say(format_args!("error: skill {name}: {why}")),
            }
        }
        if let Some((_, why)) = &self.failure {
            say(format_args!("error: {why}"));
        }
        io::stdout()
            .write_all(output.as_bytes())
            .context("stdout cannot be written")
    }

    fn to_json(&self) -> Value {
        let skills: Vec<_> = self.skills.iter().map(Outcome::to_json).collect();
        match &self.failure {
            None => json!({"skills": skills}),
            Some((kind, why)) => json!({"skills": skills, "error": error(*kind, why)}),
        }
    }

    /// What a Pod's status keeps of this run: every failure with its reason, a line each; without any, what was pulled.
    pub fn last_words(&self) -> String {
        let failures = self.skills.iter().filter_map(|skill| {
            let (_, why) = skill.result.as_ref().err()?;
            Some(format!("skill {}: {why}", skill.name))
        });
        let mut lines: Vec<_> = failures
            .chain(self.failure.iter().map(|(_, why)| why.clone()))
            .collect();
        if lines.is_empty() {
            let pulled = |skill: &Outcome| Some(skill.line(skill.result.as_ref().ok()?));
            lines = self.skills.iter().filter_map(pulled).collect();
        }
        let share = LAST_WORDS_MAX / lines.len().max(1);
        let mut words = String::new();
        for line in lines {
            words.push_str(cut(&line, share.saturating_sub(1)));
            words.push('\n');
        }
        words
    }
}

impl Outcome {
    fn line(&self, pulled: &Pulled) -> String {
        let unpacked = &pulled.unpacked;
        // A reference that has the digest says it already.
        let (reference, digest) = (self.reference.as_str(), pulled.digest.as_str());
        let named = reference
            .split_once('@')
            .map_or(reference, |(named, _)| named);
        format!(
            "{}: {named}@{digest} ({} files, {} bytes)",
            self.name, unpacked.files, unpacked.bytes
        )
    }

    fn to_json(&self) -> Value {
        let (name, reference) = (&self.name, &self.reference);
        match &self.result {
            Ok(Pulled {
                digest,
                path,
                unpacked,
            }) => {
                let warnings = unpacked.warnings.iter().map(ToString::to_string);
                json!({
                    "name": name,
                    "reference": reference,
                    "digest": digest.as_str(),
                    "path": path.to_string_lossy(),
                    "files": unpacked.files,
                    "bytes": unpacked.bytes,
                    "warnings": warnings.collect::<Vec<_>>(),
                })
            }
            Err((kind, why)) => {
                json!({"name": name, "reference": reference, "error": error(*kind, why)})
            }
        }
    }
}

/// A failure as programs read it.
pub fn error(kind: Kind, why: &str) -> Value {
    json!({"kind": <&str>::from(kind), "exitCode": kind.exit_code(), "message": why})
}

/// As much of a text as fits into `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pull::digest::Digest;
    use crate::pull::unpack::Unpacked;
    use crate::skill::{Reference, SkillName};

    fn report(results: Vec<Result<Pulled, Failure>>) -> Report {
        let wanted: Vec<_> = (0..results.len())
            .map(|index| Wanted {
                name: SkillName::parse(&format!("skill-{index}")).unwrap(),
                reference: Reference::parse(&format!("r.example/x/{index}:1")).unwrap(),
            })
            .collect();
        Report::of(&wanted, results)
    }

    fn pulled() -> Pulled {
        Pulled {
            digest: Digest::of(b""),
            path: "out/skill-0".into(),
            unpacked: Unpacked {
                files: 2,
                bytes: 10,
                warnings: Vec::new(),
            },
        }
    }

    fn failed(what: &str) -> Result<Pulled, Failure> {
        Err(Failure::Refused {
            host: "r.example".into(),
            what: what.into(),
        })
    }

    #[test]
    fn last_words_name_what_failed_or_else_what_was_pulled() {
        let words = report(vec![
            Ok(pulled()),
            failed("sends nonsense"),
            failed("is silent"),
        ])
        .last_words();
        assert_eq!(
            words,
            "skill skill-1: r.example sends nonsense\nskill skill-2: r.example is silent\n"
        );
        let words = report(vec![Ok(pulled())]).last_words();
        assert_eq!(
            words,
            format!(
                "skill-0: r.example/x/0:1@{} (2 files, 10 bytes)\n",
                Digest::of(b"")
            )
        );
    }

    #[test]
    fn last_words_are_what_the_kubelet_takes() {
        let long = || failed(&"ü".repeat(5000));
        for count in [1, 3, 100] {
            let words = report((0..count).map(|_| long()).collect()).last_words();
            assert!(
                words.len() <= LAST_WORDS_MAX + count,
                "{count}: {}",
                words.len()
            );
        }
    }
}
