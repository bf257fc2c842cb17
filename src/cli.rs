//! The command line: one file a subcommand.

#![allow(
    clippy::doc_markdown,
    clippy::struct_field_names,
    reason = "doc comments are help texts here, and fields are named as their flags"
)]

pub mod check;
pub mod crd;
pub mod inject;
pub mod pull;
pub mod registries;
pub mod serve;
pub mod settings;
pub mod tls;
pub mod validate;

use std::fmt;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

/// Gives AI-agent Pods on Kubernetes their skills.
#[derive(Debug, Parser)]
#[command(
    name = "agentteam-webhook",
    version,
    max_term_width = 100,
    propagate_version = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Inject(Box<inject::Inject>),
    Validate(Box<validate::Validate>),
    Pull(Box<pull::Pull>),
    Check(Box<check::Check>),
    Crd(crd::Crd),
}

impl Cli {
    /// Runs the subcommand. An error is one line on stderr.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Serve(serve) => serve.run(),
            Command::Inject(inject) => inject.run(),
            Command::Validate(validate) => validate.run(),
            Command::Pull(pull) => pull.run(),
            Command::Check(check) => check.run(),
            Command::Crd(crd) => crd.run(),
        };
        done.unwrap_or_else(|error| {
            say(format_args!("error: {error:#}"));
            ExitCode::from(2)
        })
    }
}

/// Says a line on stderr. Where nobody listens any more it is lost, and nothing else is: `eprintln!` would end the program.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Reads a file, or stdin for `-`.
fn read(filename: &Path) -> Result<String> {
    if filename.as_os_str() != "-" {
        return std::fs::read_to_string(filename)
            .with_context(|| format!("{} cannot be read", filename.display()));
    }
    let mut input = String::new();
    io::stdin()
        .read_to_string(&mut input)
        .context("stdin cannot be read")?;
    Ok(input)
}
