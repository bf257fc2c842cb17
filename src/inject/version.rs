//! The version of the API server, and what it can do by it.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use thiserror::Error;

/// The version of the API server, as far as it decides anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    /// `1`
    pub major: u32,
    /// `35` in 1.35
    pub minor: u32,
}

/// Why a text is not a [`ServerVersion`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a version of Kubernetes, as 1.35 or v1.36.3 is")]
pub struct InvalidServerVersion(String);

/// The first version that mounts OCI images as volumes without being asked to.
pub(super) const IMAGE_VOLUMES_SINCE: ServerVersion = ServerVersion {
    major: 1,
    minor: 35,
};

impl ServerVersion {
    /// Whether an init container of a Pod that is never restarted may still be restarted itself.
    #[must_use]
    pub fn restarts_init_containers(self) -> bool {
        self >= Self {
            major: 1,
            minor: 35,
        }
    }
}

impl FromStr for ServerVersion {
    type Err = InvalidServerVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidServerVersion(text.to_owned());
        let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
        // Some providers say "35+".
        let mut number = || {
            parts
                .next()
                .and_then(|part| part.trim_end_matches('+').parse().ok())
                .ok_or_else(invalid)
        };
        Ok(Self {
            major: number()?,
            minor: number()?,
        })
    }
}

impl Display for ServerVersion {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_servers_say_them() {
        for text in ["1.35", "v1.35.2", "1.35+", "v1.35.0-gke.100"] {
            assert!(
                text.parse::<ServerVersion>()
                    .unwrap()
                    .restarts_init_containers(),
                "{text}"
            );
        }
        assert!(
            !"1.34"
                .parse::<ServerVersion>()
                .unwrap()
                .restarts_init_containers()
        );
        for bad in ["", "1", "one.two", "v"] {
            assert!(bad.parse::<ServerVersion>().is_err(), "{bad}");
        }
    }
}
