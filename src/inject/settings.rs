//! What an administrator sets, checked once at the start.

mod quantity;

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde_json::{Value, json};
use thiserror::Error;

use super::delivery::Delivery;
use super::reason::Unavailable;
use super::registry::RegistryPolicy;
use super::version::{IMAGE_VOLUMES_SINCE, ServerVersion};
use crate::api::{Group, Keys};
use crate::skill::ObjectName;
use crate::skill::host::Host;

pub use quantity::Quantity;

/// The image of the pullers unless another is set: what the original operator uses.
pub const DEFAULT_PULLER_IMAGE: &str = "ghcr.io/oras-project/oras:v1.2.0";

/// The first ORAS release without known ways out of the skill's directory.
const FIRST_SAFE_ORAS: [u32; 3] = [1, 3, 3];

/// Everything that injection depends on besides the Pod and its team.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The API group of teams.
    pub group: Group,
    /// The labels and annotations that have a meaning.
    pub keys: Keys,
    /// The delivery mode where neither Pod nor team names one.
    pub delivery: Delivery,
    /// How pullers look.
    pub puller: PullerSettings,
    /// Which registries skills may come from.
    pub registries: RegistryPolicy,
}

/// How pullers look.
#[derive(Clone, Debug, Default)]
pub struct PullerSettings {
    /// The image with ORAS in it.
    pub image: ImageName,
    /// The image with this program in it, which delivery `puller` needs.
    pub webhook_image: Option<ImageName>,
    /// CPU and memory.
    pub resources: Resources,
    /// The most that a skill may take on the node's disk.
    pub size_limit: Quantity,
    /// A `ConfigMap` in each Pod's namespace that holds certificates of more authorities, PEM, in any of its keys.
    pub ca_config_map: Option<ObjectName>,
    /// Registries that are spoken to without TLS.
    pub plain_http: Vec<PlainHttpHost>,
    /// Proxy variables for the pullers.
    pub proxy: Proxy,
}

/// Requests and limits of a puller.
#[derive(Clone, Debug)]
pub struct Resources {
    /// `requests.cpu`
    pub cpu_request: Quantity,
    /// `limits.cpu`
    pub cpu_limit: Quantity,
    /// `requests.memory`
    pub memory_request: Quantity,
    /// `limits.memory`
    pub memory_limit: Quantity,
}

/// The variables that ORAS finds its proxy by.
#[derive(Clone, Debug, Default)]
pub struct Proxy {
    /// `HTTPS_PROXY`
    pub https: Option<String>,
    /// `HTTP_PROXY`
    pub http: Option<String>,
    /// `NO_PROXY`
    pub no_proxy: Option<String>,
}

/// A mode that can deliver, and what it needs for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means<'a> {
    /// One init container a skill.
    Oras,
    /// One init container of this image.
    Puller(&'a ImageName),
    /// Image volumes.
    Image,
}

/// Why a setting cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidSetting {
    /// Not a quantity.
    #[error("{0:?} is not a quantity: write a number with a unit as in 100m, 64Mi or 2")]
    Quantity(String),
    /// A request above its limit.
    #[error("the {what} request {request} is more than its limit {limit}")]
    RequestAboveLimit {
        /// CPU or memory.
        what: &'static str,
        /// The request.
        request: Quantity,
        /// The limit.
        limit: Quantity,
    },
    /// Not an image.
    #[error("{0:?} is not the name of an image, as ghcr.io/oras-project/oras:v1.3.3 is")]
    Image(String),
    /// Not a host.
    #[error(
        "{0:?} is not the host of a registry, with its port if it has one, as registry.local:5000 is"
    )]
    Host(String),
    /// A proxy with a password in it, which would stand in every Pod.
    #[error("a proxy address must not carry credentials: they would stand readable in every Pod")]
    ProxyCredentials,
}

impl Settings {
    /// The settings of a server that was told nothing, for `group`.
    #[must_use]
    pub fn new(group: &Group) -> Self {
        Self {
            group: group.clone(),
            keys: Keys::of(group),
            delivery: Delivery::default(),
            puller: PullerSettings::default(),
            registries: RegistryPolicy::default(),
        }
    }

    /// What `delivery` delivers with on a server of this version.
    ///
    /// # Errors
    /// When it cannot deliver there.
    pub fn means(
        &self,
        delivery: Delivery,
        server: Option<ServerVersion>,
    ) -> Result<Means<'_>, Unavailable> {
        match delivery {
            Delivery::Oras => Ok(Means::Oras),
            Delivery::Puller => {
                let image = self.puller.webhook_image.as_ref();
                image.map(Means::Puller).ok_or(Unavailable::NoWebhookImage)
            }
            Delivery::Image => match server {
                None => Err(Unavailable::UnknownServer),
                Some(version) if version < IMAGE_VOLUMES_SINCE => {
                    Err(Unavailable::OldServer(version))
                }
                Some(_) => Ok(Means::Image),
            },
        }
    }
}

impl Resources {
    /// These resources, if no request is above its limit.
    ///
    /// # Errors
    /// When one is: the API server would refuse every Pod.
    pub fn checked(self) -> Result<Self, InvalidSetting> {
        let pairs = [
            ("CPU", &self.cpu_request, &self.cpu_limit),
            ("memory", &self.memory_request, &self.memory_limit),
        ];
        for (what, request, limit) in pairs {
            if request.value > limit.value {
                return Err(InvalidSetting::RequestAboveLimit {
                    what,
                    request: request.clone(),
                    limit: limit.clone(),
                });
            }
        }
        Ok(self)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "requests": {"cpu": self.cpu_request.as_str(), "memory": self.memory_request.as_str()},
            "limits": {"cpu": self.cpu_limit.as_str(), "memory": self.memory_limit.as_str()},
        })
    }
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            cpu_request: Quantity::known("10m", 0.01),
            cpu_limit: Quantity::known("1", 1.0),
            memory_request: Quantity::known("32Mi", 33_554_432.0),
            memory_limit: Quantity::known("256Mi", 268_435_456.0),
        }
    }
}

impl Proxy {
    /// This proxy, if its addresses carry no credentials.
    ///
    /// # Errors
    /// When one does.
    pub fn checked(self) -> Result<Self, InvalidSetting> {
        let has_credentials = |address: &String| address.contains('@');
        if self.https.iter().chain(&self.http).any(has_credentials) {
            return Err(InvalidSetting::ProxyCredentials);
        }
        Ok(self)
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("HTTPS_PROXY", &self.https),
            ("HTTP_PROXY", &self.http),
            ("NO_PROXY", &self.no_proxy),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

/// The name of a container image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName(String);

impl ImageName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the tag says that this is an ORAS older than the first one without known ways out of its directory.
    #[must_use]
    pub fn is_unsafe_oras(&self) -> bool {
        let without_digest = self.0.split('@').next().unwrap_or_default();
        let Some((name, tag)) = without_digest.rsplit_once(':') else {
            return false;
        };
        let mut numbers = tag
            .trim_start_matches('v')
            .split(['.', '-', '+'])
            .map(str::parse::<u32>);
        let mut number = || numbers.next().and_then(Result::ok);
        match (number(), number(), number()) {
            (Some(major), Some(minor), Some(patch)) => {
                name.ends_with("/oras") && [major, minor, patch] < FIRST_SAFE_ORAS
            }
            _ => false,
        }
    }
}

impl Default for ImageName {
    fn default() -> Self {
        Self(DEFAULT_PULLER_IMAGE.to_owned())
    }
}

impl Display for ImageName {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for ImageName {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = |found: char| found.is_ascii_alphanumeric() || "._-/:@[]".contains(found);
        let starts_well =
            text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[');
        if starts_well && !text.contains("://") && text.chars().all(known) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSetting::Image(text.to_owned()))
        }
    }
}

/// The host of a registry that is spoken to without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainHttpHost(Host);

impl PlainHttpHost {
    /// Whether it is this host.
    #[must_use]
    pub fn is(&self, host: &Host) -> bool {
        self.0 == *host
    }
}

impl Display for PlainHttpHost {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str())
    }
}

impl FromStr for PlainHttpHost {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Host::parse(text)
            .map(Self)
            .ok_or_else(|| InvalidSetting::Host(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_stays_within_its_limit() {
        assert!(Resources::default().checked().is_ok());
        let resources = Resources {
            cpu_request: "2".parse().unwrap(),
            ..Resources::default()
        };
        assert_eq!(
            resources.checked().unwrap_err().to_string(),
            "the CPU request 2 is more than its limit 1"
        );
    }

    #[test]
    fn old_oras_is_told_by_its_tag() {
        for old in [
            "ghcr.io/oras-project/oras:v1.2.0",
            "mirror:5000/oras:1.3.2",
            "x/oras:v1.3.2-debug@sha256:00",
        ] {
            assert!(ImageName(old.into()).is_unsafe_oras(), "{old}");
        }
        for safe in [
            "ghcr.io/oras-project/oras:v1.3.3",
            "x/oras:latest",
            "x/oras",
            "mirror:5000/oras",
            "x/other:v1.0.0",
            "x/oras:v2.0.0",
        ] {
            assert!(!ImageName(safe.into()).is_unsafe_oras(), "{safe}");
        }
    }

    #[test]
    fn a_proxy_carries_no_password() {
        let proxy = Proxy {
            https: Some("http://user:pw@proxy:3128".into()),
            ..Proxy::default()
        };
        let message = proxy.checked().unwrap_err().to_string();
        assert!(!message.contains("pw@"), "{message}");
    }
}
