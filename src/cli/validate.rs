//! `validate`: what the webhook would say of teams, to files.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::settings::SettingsArgs;
use crate::teams::directory::Loaded;
use crate::validation::Judgement;

/// Say what is wrong with the AgentTeams in files, and what is unwise in them, as the webhook would
///
/// Reads YAML or JSON: AgentTeams, Lists of them, several documents; other objects are passed over. The teams of a
/// cluster are judged with `kubectl get agentteams -A -o yaml | agentteam-webhook validate`.
///
/// Exit codes: 0 every team is valid, 1 one is not or cannot be read, 2 the flags or files cannot be used.
#[derive(Debug, Args)]
pub struct Validate {
    /// A file, or a directory with .yaml, .yml and .json files; - is stdin. Can be given several times
    #[arg(short, long = "filename", value_name = "PATH", default_value = "-")]
    filenames: Vec<PathBuf>,

    #[command(flatten)]
    settings: SettingsArgs,
}

impl Validate {
    /// Judges.
    ///
    /// # Errors
    /// When a file cannot be opened, or there is no team in any.
    pub fn run(self) -> Result<ExitCode> {
        let settings = self.settings.settings()?;
        let loaded = self.load()?;
        if loaded.teams.is_empty() && loaded.problems.is_empty() {
            bail!("there is no AgentTeam to validate");
        }
        let mut is_valid = loaded.problems.is_empty();
        let mut output = String::new();
        for (team, place) in loaded.teams.iter().zip(&loaded.places) {
            let server = self.settings.server_version;
            let Judgement { problems, warnings } = Judgement::of(team, &settings, server);
            let (namespace, name) = (&team.namespace, &team.name);
            let verdict = if problems.is_empty() {
                "valid"
            } else {
                "invalid"
            };
            writeln!(output, "{place}: AgentTeam {namespace}/{name}: {verdict}")?;
            for problem in &problems {
                writeln!(output, "  problem: {problem}")?;
            }
            for warning in &warnings {
                writeln!(output, "  warning: {warning}")?;
            }
            is_valid &= problems.is_empty();
        }
        for problem in &loaded.problems {
            writeln!(output, "{problem}")?;
        }
        io::stdout()
            .write_all(output.as_bytes())
            .context("stdout cannot be written")?;
        Ok(if is_valid {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn load(&self) -> Result<Loaded> {
        let (mut loaded, group) = (Loaded::default(), &self.settings.api_group);
        for path in &self.filenames {
            if path.as_os_str() == "-" {
                loaded.add_text(&super::read(path)?, Path::new("stdin"), group);
            } else {
                loaded
                    .add(path, group)
                    .with_context(|| format!("{} cannot be read", path.display()))?;
            }
        }
        Ok(loaded)
    }
}
