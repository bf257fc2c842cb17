//! `crd`: prints the `CustomResourceDefinition`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::api::Group;
use crate::yaml;

/// Print the CustomResourceDefinition of AgentTeam
#[derive(Debug, Args)]
pub struct Crd {
    /// The API group of AgentTeam
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_API_GROUP",
        value_name = "GROUP",
        default_value_t
    )]
    api_group: Group,
}

impl Crd {
    /// Prints it.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which would be a mistake in this program.
    pub fn run(self) -> Result<ExitCode> {
        print!(
            "{}",
            yaml::to_string(&serde_json::to_value(self.api_group.definition())?)
        );
        Ok(ExitCode::SUCCESS)
    }
}
