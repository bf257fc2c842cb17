//! `check`: what a reference is, and which ways of delivery can make a skill of it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::json;

use super::pull::report::error;
use super::pull::{ended_by_signal, run_until_signal};
use super::registries::RegistryArgs;
use crate::inject::delivery::Delivery;
use crate::names::Shown;
use crate::pull::Puller;
use crate::pull::failure::{Failure, Kind};
use crate::pull::inspect::{self, Inspection};
use crate::pull::transfer::Event;
use crate::skill::Reference;

/// Say what a reference is, and which ways of delivery can make a skill of it
///
/// Reads the manifest, and an image's configuration. Layers are not looked into: whether SKILL.md is in an archive is
/// found when it is pulled.
///
/// Exit codes: 0 it can be delivered, 12 it cannot, and those of pull.
#[derive(Debug, Args)]
pub struct Check {
    /// A reference, such as ghcr.io/org/web-research:v1
    #[arg(value_name = "REF")]
    reference: String,

    /// Ask whether this way can deliver it, not whether any can: oras, puller or image
    #[arg(long, value_name = "MODE")]
    delivery: Option<Delivery>,

    /// Print it as one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    registries: RegistryArgs,
}

impl Check {
    /// Checks.
    ///
    /// # Errors
    /// When the reference is none, or nothing can be printed.
    pub fn run(self) -> Result<ExitCode> {
        // Clap would show what it cannot read, with the credentials that may stand in it.
        let reference = Reference::parse(&self.reference).context("the reference")?;
        let Some(found) = run_until_signal(self.inspect(&reference))? else {
            return Ok(ended_by_signal());
        };
        let (output, code) = match found {
            Ok(inspection) => {
                let is_possible = match self.delivery {
                    Some(delivery) => inspection.is_possible(delivery),
                    None => inspection
                        .deliveries
                        .iter()
                        .any(|verdict| verdict.problem.is_none()),
                };
                let code = if is_possible {
                    0
                } else {
                    Kind::NoSkill.exit_code()
                };
                (self.found(&reference, &inspection)?, code)
            }
            Err(failure) => {
                let (kind, why) = (failure.kind(), failure.to_string());
                super::say(format_args!("error: {why}"));
                let output = if self.json {
                    let said = json!({"reference": reference.as_str(), "error": error(kind, &why)});
                    format!("{said}\n")
                } else {
                    String::new()
                };
                (output, kind.exit_code())
            }
        };
        io::stdout()
            .write_all(output.as_bytes())
            .context("stdout cannot be written")?;
        Ok(ExitCode::from(code))
    }

    async fn inspect(&self, reference: &Reference) -> Result<Inspection, Failure> {
        let access = self.registries.access()?;
        let puller = Puller::new(&access);
        puller
            .inspect(reference, &|event| {
                if let Event::Waiting(failure, pause) = event {
                    let pause = pause.as_secs_f64();
                    super::say(format_args!("{failure}; again in {pause:.1} s"));
                }
            })
            .await
    }

    fn found(&self, reference: &Reference, inspection: &Inspection) -> Result<String> {
        let mut output = String::new();
        if self.json {
            let mut said = serde_json::to_value(inspection)?;
            if let Some(fields) = said.as_object_mut() {
                fields.shift_insert(0, "reference".to_owned(), reference.as_str().into());
            }
            writeln!(output, "{said}")?;
            return Ok(output);
        }
        let Inspection {
            digest,
            kind,
            index,
            artifact_type,
            layers,
            bytes,
            packing,
            deliveries,
        } = inspection;
        let named = reference.as_str();
        let named = named.split_once('@').map_or(named, |(named, _)| named);
        writeln!(output, "{named}@{digest}")?;
        let what = match kind {
            inspect::Kind::Image => "an image",
            inspect::Kind::Artifact => "an artifact",
        };
        write!(output, "  is {what}")?;
        if let Some(artifact_type) = artifact_type {
            write!(output, " of type {}", Shown(artifact_type))?;
        }
        if let Some(index) = index {
            write!(output, ", out of {index} in an index")?;
        }
        let packing = packing.unwrap_or("nothing that is known");
        writeln!(
            output,
            ", {layers} layers, {bytes} bytes, packed as {packing}"
        )?;
        for verdict in deliveries {
            let answer = match &verdict.problem {
                None => "yes".to_owned(),
                Some(problem) => format!("no: {problem}"),
            };
            writeln!(output, "  delivery {}: {answer}", verdict.delivery)?;
        }
        Ok(output)
    }
}
