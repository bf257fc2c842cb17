//! `inject`: what the webhook would do, to files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;

use super::settings::SettingsArgs;
use crate::offline::{self, Context};
use crate::teams::{Index, directory};

/// Give the Pods and Pod templates in files their skills, as the webhook would
///
/// Reads YAML or JSON: Pods, everything with a Pod template, Lists, several documents. Writes them to stdout, those that
/// are not concerned byte for byte, and a report to stderr. When a Pod is denied, nothing is written to stdout.
///
/// Exit codes: 0 done, 1 a Pod was denied, 2 the flags or files cannot be used.
#[derive(Debug, Args)]
pub struct Inject {
    /// A file to read; - is stdin. Can be given several times
    #[arg(short, long = "filename", value_name = "FILE", default_value = "-")]
    filenames: Vec<PathBuf>,

    /// Read teams from this file, or this directory's .yaml, .yml and .json files
    #[arg(long, env = "AGENTTEAM_WEBHOOK_TEAMS", value_name = "PATH")]
    teams: PathBuf,

    /// The namespace of objects that name none
    #[arg(short, long, value_name = "NAMESPACE", default_value = directory::DEFAULT_NAMESPACE)]
    namespace: String,

    #[command(flatten)]
    settings: SettingsArgs,
}

impl Inject {
    /// Injects.
    ///
    /// # Errors
    /// When a file cannot be read, or is not YAML or JSON.
    pub fn run(self) -> Result<ExitCode> {
        let settings = self.settings.settings()?;
        let teams = read_teams(&self.teams, &self.settings)?;
        let context = Context {
            teams: &teams,
            namespace: &self.namespace,
            settings: &settings,
            server: self.settings.server_version,
        };
        let (mut output, mut denied) = (String::new(), false);
        for filename in &self.filenames {
            let input = super::read(filename)?;
            let outcome =
                offline::run(&input, &context).with_context(|| filename.display().to_string())?;
            for entry in &outcome.report {
                super::say(format_args!("{entry}"));
            }
            denied |= outcome.is_denied();
            output.push_str(&outcome.output);
        }
        if denied {
            super::say(format_args!(
                "nothing was written, because something was denied"
            ));
            return Ok(ExitCode::FAILURE);
        }
        io::stdout()
            .write_all(output.as_bytes())
            .context("stdout cannot be written")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads teams, and says on stderr what is left out.
fn read_teams(path: &Path, settings: &SettingsArgs) -> Result<Index> {
    let loaded = directory::load(path, &settings.api_group)
        .with_context(|| format!("--teams {} cannot be read", path.display()))?;
    for problem in &loaded.problems {
        super::say(format_args!("left out: {problem}"));
    }
    let index = Index::default();
    index.replace(loaded.teams);
    Ok(index)
}
