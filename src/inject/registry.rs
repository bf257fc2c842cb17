//! Which registries skills may come from.

use thiserror::Error;
use wildmatch::WildMatch;

use super::reason::Reason;
use crate::skill::{Reference, SkillName};

/// Which references are allowed.
#[derive(Clone, Debug, Default)]
pub struct RegistryPolicy {
    /// The allowed registries. With none, all are allowed but special hosts.
    pub allowed: Vec<RegistryPattern>,
    /// Whether a digest is required.
    pub require_digest: bool,
}

/// A pattern for `host/repository`: `*` is any number of characters, also `/`, and `?` is one.
///
/// A pattern without `/` is a host, with all its repositories.
#[derive(Clone, Debug)]
pub struct RegistryPattern {
    host: String,
    repository: WildMatch,
}

/// Why a text is not a [`RegistryPattern`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is not a registry pattern: write host or host/repository, with * and ? where they may vary, as in ghcr.io/org/*"
)]
pub struct InvalidPattern(String);

impl std::str::FromStr for RegistryPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, repository) = text.split_once('/').unwrap_or((text, "*"));
        let known = |found: char| found.is_ascii_alphanumeric() || "._-/:*?[]".contains(found);
        if host.is_empty() || repository.is_empty() || !text.chars().all(known) {
            return Err(InvalidPattern(text.to_owned()));
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            repository: WildMatch::new(repository),
        })
    }
}

impl RegistryPattern {
    /// A special host must be named: a wildcard that would also match a thousand others does not open it.
    fn allows(&self, reference: &Reference) -> bool {
        let host = reference.host();
        let host_allowed = self.host == host.as_str()
            || (!host.is_special() && WildMatch::new(&self.host).matches(host.as_str()));
        host_allowed && self.repository.matches(reference.repository())
    }
}

impl RegistryPolicy {
    /// Whether the registry may be pulled from.
    #[must_use]
    pub fn allows(&self, reference: &Reference) -> bool {
        if self.allowed.is_empty() {
            return !reference.host().is_special();
        }
        self.allowed.iter().any(|pattern| pattern.allows(reference))
    }

    /// Whether a digest is required and missing.
    #[must_use]
    pub fn lacks_digest(&self, reference: &Reference) -> bool {
        self.require_digest && reference.digest().is_none()
    }

    /// Allows a skill's reference, or says why not.
    ///
    /// # Errors
    /// When the registry is not allowed, or a digest is required and there is none.
    pub fn check(&self, skill: &SkillName, reference: &Reference) -> Result<(), Reason> {
        if !self.allows(reference) {
            return Err(Reason::RegistryNotAllowed {
                skill: skill.to_string(),
                reference: reference.to_string(),
                special: reference.host().is_special(),
            });
        }
        if self.lacks_digest(reference) {
            return Err(Reason::DigestRequired {
                skill: skill.to_string(),
                reference: reference.to_string(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(patterns: &[&str], reference: &str) -> bool {
        let allowed = patterns
            .iter()
            .map(|pattern| pattern.parse().unwrap())
            .collect();
        let policy = RegistryPolicy {
            allowed,
            require_digest: false,
        };
        policy
            .check(
                &SkillName::parse("s").unwrap(),
                &Reference::parse(reference).unwrap(),
            )
            .is_ok()
    }

    #[test]
    fn with_no_pattern_all_but_special_hosts_are_allowed() {
        assert!(allowed(&[], "ghcr.io/x/y:1"));
        assert!(allowed(&[], "10.0.0.1:5000/x/y:1"));
        for special in [
            "localhost:5000/x:1",
            "127.1/x:1",
            "169.254.169.254/x:1",
            "[fd00:ec2::254]/x:1",
        ] {
            assert!(!allowed(&[], special), "{special}");
        }
    }

    #[test]
    fn patterns_are_for_the_whole_of_host_and_repository() {
        assert!(allowed(&["ghcr.io"], "ghcr.io/x/y:1"));
        assert!(allowed(&["GHCR.io/x/*"], "ghcr.io/x/y/z:1"));
        assert!(allowed(&["*.example/team-?/*"], "eu.example/team-a/y:1"));
        assert!(!allowed(&["ghcr.io/x"], "ghcr.io/x/y:1"));
        assert!(!allowed(&["ghcr.io/x/*"], "ghcr.io/xx/y:1"));
        assert!(!allowed(&["ghcr.io"], "ghcr.io:5000/x:1"));
        assert!(!allowed(
            &["*.example"],
            "example/x.example:80/y:1".trim_start_matches("example/")
        ));
    }

    #[test]
    fn a_special_host_must_be_named() {
        assert!(!allowed(&["*"], "127.0.0.1:5000/x:1"));
        assert!(!allowed(&["127.0.0.?:5000"], "127.0.0.1:5000/x:1"));
        assert!(allowed(&["127.0.0.1:5000/*"], "127.0.0.1:5000/x:1"));
        assert!(allowed(&["*"], "ghcr.io/x:1"));
    }
}
