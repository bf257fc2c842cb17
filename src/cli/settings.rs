//! The flags that decide what is injected, the same for the server and for the command line.

use anyhow::{Context, Result};
use clap::{Args, builder::NonEmptyStringValueParser};

use crate::api::{Group, Keys};
use crate::inject::delivery::Delivery;
use crate::inject::reason::Unavailable;
use crate::inject::registry::{RegistryPattern, RegistryPolicy};
use crate::inject::settings::{
    ImageName, PlainHttpHost, Proxy, PullerSettings, Quantity, Resources,
};
use crate::inject::{ServerVersion, Settings};
use crate::skill::ObjectName;

/// What is injected, and what is allowed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Injection")]
pub struct SettingsArgs {
    /// The API group of AgentTeam, and the prefix of every label and annotation
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_API_GROUP",
        value_name = "GROUP",
        default_value_t
    )]
    pub api_group: Group,

    /// How OCI skills are delivered where neither the Pod nor its team says so: oras, one init container a skill;
    /// puller, one init container for all; or image, volumes that the kubelet mounts, which takes Kubernetes 1.35
    #[arg(long, env = "AGENTTEAM_WEBHOOK_SKILL_DELIVERY", value_name = "MODE", default_value_t, value_parser = delivery)]
    skill_delivery: Delivery,

    /// The image of agentteam-webhook itself, which is the init container of delivery puller
    #[arg(long, env = "AGENTTEAM_WEBHOOK_WEBHOOK_IMAGE", value_name = "IMAGE")]
    webhook_image: Option<ImageName>,

    /// The image with ORAS that pulls OCI skills; releases before v1.3.3 have known security holes
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_SKILL_PULLER_IMAGE",
        value_name = "IMAGE",
        default_value_t
    )]
    skill_puller_image: ImageName,

    /// The most that one skill may take on the node's disk
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_SKILL_SIZE_LIMIT",
        value_name = "QUANTITY",
        default_value_t
    )]
    skill_size_limit: Quantity,

    /// The version of the API server, such as 1.35; found by asking it where this is not set.
    /// Offline, what depends on it is left out unless it is set
    #[arg(long, env = "AGENTTEAM_WEBHOOK_SERVER_VERSION", value_name = "VERSION")]
    pub server_version: Option<ServerVersion>,

    #[command(flatten)]
    registries: RegistryArgs,

    #[command(flatten)]
    resources: ResourceArgs,

    #[command(flatten)]
    proxy: ProxyArgs,
}

/// Registries.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Registries")]
struct RegistryArgs {
    /// Where OCI skills may come from: host or host/repository, with * and ? where they may vary,
    /// divided by commas. With none, any registry but loopback, link-local and metadata addresses;
    /// such an address is allowed when a pattern names its host without * and ?
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_ALLOWED_REGISTRIES",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    allowed_registries: Vec<RegistryPattern>,

    /// Refuse OCI skills that are referenced by a tag alone
    #[arg(long, env = "AGENTTEAM_WEBHOOK_REQUIRE_DIGEST")]
    require_digest: bool,

    /// The registries that are spoken to without TLS, each a host with its port, divided by commas
    #[arg(
        long,
        env = "AGENTTEAM_WEBHOOK_PLAIN_HTTP_REGISTRIES",
        value_name = "HOST",
        value_delimiter = ','
    )]
    plain_http_registries: Vec<PlainHttpHost>,

    /// A ConfigMap in the Pod's namespace with certificates of more authorities, in PEM, in any of its
    /// keys. A Pod with OCI skills waits until it is there
    #[arg(long, env = "AGENTTEAM_WEBHOOK_REGISTRY_CA_CONFIG_MAP", value_name = "NAME", value_parser = object_name)]
    registry_ca_config_map: Option<ObjectName>,
}

/// CPU and memory.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Puller resources")]
struct ResourceArgs {
    /// What a puller requests of CPU
    #[arg(long, env = "AGENTTEAM_WEBHOOK_PULLER_CPU_REQUEST", value_name = "QUANTITY", default_value_t = Resources::default().cpu_request)]
    puller_cpu_request: Quantity,

    /// What a puller may use of CPU
    #[arg(long, env = "AGENTTEAM_WEBHOOK_PULLER_CPU_LIMIT", value_name = "QUANTITY", default_value_t = Resources::default().cpu_limit)]
    puller_cpu_limit: Quantity,

    /// What a puller requests of memory
    #[arg(long, env = "AGENTTEAM_WEBHOOK_PULLER_MEMORY_REQUEST", value_name = "QUANTITY", default_value_t = Resources::default().memory_request)]
    puller_memory_request: Quantity,

    /// What a puller may use of memory
    #[arg(long, env = "AGENTTEAM_WEBHOOK_PULLER_MEMORY_LIMIT", value_name = "QUANTITY", default_value_t = Resources::default().memory_limit)]
    puller_memory_limit: Quantity,
}

/// The proxy that pullers use.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Puller proxy")]
struct ProxyArgs {
    /// HTTPS_PROXY of the pullers, without credentials
    #[arg(long, env = "AGENTTEAM_WEBHOOK_PULLER_HTTPS_PROXY", value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    puller_https_proxy: Option<String>,

    /// HTTP_PROXY of the pullers, without credentials
    #[arg(long, env = "AGENTTEAM_WEBHOOK_PULLER_HTTP_PROXY", value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    puller_http_proxy: Option<String>,

    /// NO_PROXY of the pullers
    #[arg(long, env = "AGENTTEAM_WEBHOOK_PULLER_NO_PROXY", value_name = "HOSTS", value_parser = NonEmptyStringValueParser::new())]
    puller_no_proxy: Option<String>,
}

impl SettingsArgs {
    /// The settings that the flags mean.
    ///
    /// # Errors
    /// When two of them do not go together.
    pub fn settings(&self) -> Result<Settings> {
        let resources = self.resources.clone();
        let proxy = self.proxy.clone();
        let settings = Settings {
            group: self.api_group.clone(),
            keys: Keys::of(&self.api_group),
            delivery: self.skill_delivery,
            puller: PullerSettings {
                image: self.skill_puller_image.clone(),
                webhook_image: self.webhook_image.clone(),
                resources: Resources {
                    cpu_request: resources.puller_cpu_request,
                    cpu_limit: resources.puller_cpu_limit,
                    memory_request: resources.puller_memory_request,
                    memory_limit: resources.puller_memory_limit,
                }
                .checked()?,
                size_limit: self.skill_size_limit.clone(),
                ca_config_map: self.registries.registry_ca_config_map.clone(),
                plain_http: self.registries.plain_http_registries.clone(),
                proxy: Proxy {
                    https: proxy.puller_https_proxy,
                    http: proxy.puller_http_proxy,
                    no_proxy: proxy.puller_no_proxy,
                }
                .checked()?,
            },
            registries: RegistryPolicy {
                allowed: self.registries.allowed_registries.clone(),
                require_digest: self.registries.require_digest,
            },
        };
        match settings.means(settings.delivery, self.server_version) {
            // A cluster's version may be found yet.
            Ok(_) | Err(Unavailable::UnknownServer) => Ok(settings),
            Err(problem) => Err(problem).context("--skill-delivery"),
        }
    }
}

fn object_name(text: &str) -> Result<ObjectName, String> {
    ObjectName::parse(text)
        .ok_or_else(|| "it is not the name of a ConfigMap: give a DNS name".to_owned())
}

fn delivery(text: &str) -> Result<Delivery, String> {
    text.parse()
        .map_err(|_| "it must be oras, puller or image".to_owned())
}
