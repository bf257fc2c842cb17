//! `pull`: skills from registries into directories.

mod progress;
pub(super) mod report;

use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use self::progress::Progress;
use self::report::Report;
use super::registries::RegistryArgs;
use super::say;
use crate::names::Shown;
use crate::pull::failure::Failure;
use crate::pull::limits::Limits;
use crate::pull::signature::Keys;
use crate::pull::{Access, Destination, Puller, Wanted};
use crate::skill::{Reference, SkillName};

/// Enough for a skill that is unpacked, and for names that are looked up.
const BLOCKING_THREADS: usize = 4;

/// Pull skills from OCI registries, side by side, each into a directory of its own
///
/// Takes every format that skills are packed in, checks all digests and SKILL.md, and lets each skill appear whole or
/// not at all. Prints one line for each, with the digest that its reference stands for.
///
/// Exit codes: 0 done, 2 the flags or files cannot be used, 3 unauthorized (401), 4 forbidden (403), 5 not found
/// (404), 6 unavailable, 7 rate limited (429), 8 not done in time, 9 a certificate is not trusted, 10 the registry's
/// answer is not followed, 11 something else came than its digest or size says, 12 no skill, or one that is not safe
/// to unpack, 13 SKILL.md is not valid (--strict), 14 it cannot be written, 15 it is not signed (--verify-key), 143
/// ended by a signal. Of several failures, the first skill's counts.
#[derive(Debug, Args)]
pub struct Pull {
    /// A skill and where it is, such as web-research=ghcr.io/org/web-research:v1. Can be given several times
    #[arg(long = "skill", value_name = "NAME=REF", required = true)]
    skills: Vec<String>,

    /// The directory in which each skill gets a directory with its name
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    /// A file with public keys in PEM, as cosign.pub. A skill that cosign signed with none of them is refused. Can be
    /// given several times
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_VERIFY_KEY",
        value_name = "FILE",
        value_delimiter = ','
    )]
    verify_key: Vec<PathBuf>,

    /// Take a SKILL.md that does not follow the specification for an error, not for a warning
    #[arg(long, env = "AGENTTEAM_WEBHOOK_STRICT")]
    strict: bool,

    /// The most bytes that one skill may have, unpacked
    #[arg(long, env = "AGENTTEAM_WEBHOOK_MAX_BYTES", value_name = "BYTES", default_value_t = Limits::default().bytes)]
    max_bytes: u64,

    /// The most files, directories and links that one skill may have
    #[arg(long, env = "AGENTTEAM_WEBHOOK_MAX_ENTRIES", value_name = "NUMBER", default_value_t = Limits::default().entries)]
    max_entries: u32,

    /// Print what became of the skills as one JSON object
    #[arg(long)]
    json: bool,

    /// Write last words to this file, at most 4 KiB: which skills failed and why, or what was pulled
    #[arg(long, env = "AGENTTEAM_WEBHOOK_TERMINATION_LOG", value_name = "FILE")]
    termination_log: Option<PathBuf>,

    #[command(flatten)]
    registries: RegistryArgs,
}

impl Pull {
    /// Pulls.
    ///
    /// # Errors
    /// When flags do not go together, or nothing can be printed.
    pub fn run(self) -> Result<ExitCode> {
        let skills = self.skills.iter().map(|skill| wanted(skill));
        let skills = skills.collect::<Result<Vec<_>>>()?;
        let mut names = BTreeSet::new();
        if let Some(twice) = skills
            .iter()
            .find(|wanted| !names.insert(wanted.name.as_str()))
        {
            bail!(
                "--skill {} is there twice, and each needs a directory of its own",
                twice.name
            );
        }
        let report = match self.access() {
            Ok((access, keys)) => match run_until_signal(self.pull(&skills, &access, keys))? {
                Some(report) => report,
                None => return Ok(ended_by_signal()),
            },
            Err(failure) => Report::of_failure(&failure),
        };
        if let Some(file) = &self.termination_log
            && let Err(error) = std::fs::write(file, report.last_words())
        {
            let file = file.display();
            say(format_args!(
                "warning: --termination-log {file} cannot be written: {error}"
            ));
        }
        report.print(self.json)?;
        Ok(report.exit_code())
    }

    /// What the files mean that the flags name.
    fn access(&self) -> Result<(Access, Option<Keys>), Failure> {
        let keys = Keys::read(&self.verify_key)?;
        Ok((self.registries.access()?, keys))
    }

    async fn pull(&self, skills: &[Wanted], access: &Access, keys: Option<Keys>) -> Report {
        let destination = Destination {
            output: self.output.clone(),
            limits: Limits {
                bytes: self.max_bytes,
                entries: self.max_entries,
            },
            keys,
            is_strict: self.strict,
        };
        let progress = Progress::new(skills);
        let puller = Puller::new(access);
        let results = puller
            .pull(skills, &destination, &|index, event| {
                progress.show(index, &event);
            })
            .await;
        progress.end();
        Report::of(skills, results)
    }
}

/// Runs `work` on this thread; nothing when a signal ended it. In a container, this is the first process, which no
/// signal ends that it does not take itself.
pub(super) fn run_until_signal<T>(work: impl Future<Output = T>) -> Result<Option<T>> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .context("the runtime cannot be started")?;
    let done = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        std::io::Result::Ok(tokio::select! {
            done = work => Some(done),
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
        })
    });
    // What is being unpacked is not waited for: the next run begins anew.
    runtime.shutdown_background();
    done.context("signals cannot be waited for")
}

/// The exit code of a program that SIGTERM ended.
pub(super) fn ended_by_signal() -> ExitCode {
    say(format_args!(
        "ended by a signal; what is not complete does not appear"
    ));
    ExitCode::from(143)
}

/// Reads `NAME=REF`. Clap would show what it cannot read, with the credentials that may stand in it.
fn wanted(text: &str) -> Result<Wanted> {
    let (name, reference) = text
        .split_once('=')
        .context("--skill is not NAME=REF, such as web-research=ghcr.io/org/web-research:v1")?;
    let name = SkillName::parse(name).with_context(|| {
        let name = Shown(name);
        format!("--skill {name}=…: the name must be 1 to 64 characters of a-z, 0-9 and -, beginning and ending with a letter or digit")
    })?;
    let reference =
        Reference::parse(reference).with_context(|| format!("--skill {name}=…: the reference"))?;
    Ok(Wanted { name, reference })
}
