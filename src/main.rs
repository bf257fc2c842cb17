//! Parses the command line, runs what it says, and ends with its exit code.

use std::process::ExitCode;

use agentteam_webhook::cli::Cli;
use clap::Parser;

fn main() -> ExitCode {
    Cli::parse().run()
}
