//! The flags that say how registries are spoken to, the same for `pull` and `check`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};

use crate::inject::settings::PlainHttpHost;
use crate::pull::Access;
use crate::pull::credentials::Credentials;
use crate::pull::failure::Failure;

/// How registries are spoken to.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Registries")]
pub struct RegistryArgs {
    /// A docker configuration with credentials. Can be given several times: the most specific key of all of them
    /// counts. With none, $DOCKER_CONFIG/config.json, else ~/.docker/config.json, if it is there
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_REGISTRY_CONFIG",
        value_name = "FILE",
        value_delimiter = ','
    )]
    registry_config: Vec<PathBuf>,

    /// A registry that is spoken to without TLS, a host with its port. Can be given several times
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_PLAIN_HTTP_REGISTRIES",
        value_name = "HOST",
        value_delimiter = ','
    )]
    plain_http_registry: Vec<PlainHttpHost>,

    /// How long all of it may take, with everything that is tried again
    #[arg(long, env = "AGENTTEAM_WEBHOOK_TIMEOUT", value_name = "SECONDS", default_value_t = 120, value_parser = value_parser!(u32).range(1..))]
    timeout: u32,
}

impl RegistryArgs {
    /// What the flags mean.
    ///
    /// # Errors
    /// When a docker configuration cannot be read.
    pub fn access(&self) -> Result<Access, Failure> {
        Ok(Access {
            credentials: Credentials::read(&self.registry_config)?,
            plain_http: self.plain_http_registry.clone(),
            timeout: Duration::from_secs(self.timeout.into()),
        })
    }
}
