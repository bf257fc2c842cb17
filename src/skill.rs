//! A skill and its source, parsed once: what these types hold is valid ever after.
//!
//! Nothing that could be read as a flag, a path or a variable gets through, so the rest of the crate can put a
//! skill's name into a path and its reference into an argument vector without looking at either again.

pub mod host;
pub mod reference;

use std::fmt::{self, Display, Formatter};

use thiserror::Error;

use crate::api::{EXACTLY_ONE_SOURCE, SkillSource, SkillSpec};
use crate::names::{Shown, is_dns_label, is_dns_subdomain};

pub use reference::{InvalidReference, Reference};

/// The longest name that the Agent Skills specification allows.
const NAME_MAX: usize = 64;

/// A skill of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skill {
    /// The name of the skill and of its directory.
    pub name: SkillName,
    /// Where the skill comes from.
    pub source: Source,
}

/// Where a skill comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The `ConfigMap` of this name.
    ConfigMap(ObjectName),
    /// The OCI artifact that this reference names.
    Oci(Reference),
}

/// The name of a skill: 1 to 64 of a-z, 0-9 and inner `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SkillName(Box<str>);

/// The name of a Secret or `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectName(Box<str>);

/// What is wrong with a skill of a team.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidSkill {
    /// The entry has not the shape of a skill.
    #[error("it cannot be read: {0}")]
    Shape(String),
    /// The name is not a skill's name.
    #[error(
        "its name must be 1 to 64 characters of a-z, 0-9 and -, beginning and ending with a letter or digit"
    )]
    Name,
    /// No source, or two.
    #[error("{EXACTLY_ONE_SOURCE}, and this one sets {}", if *both { "both" } else { "neither" })]
    Sources {
        /// Whether both are set, or neither.
        both: bool,
    },
    /// The `ConfigMap` has a name that no `ConfigMap` can have.
    #[error("source.configMap {} is not the name of a ConfigMap", Shown(.0))]
    ConfigMap(String),
    /// The reference is not one.
    #[error("source.oci {0}")]
    Reference(#[from] InvalidReference),
    /// The agent has two skills of this name.
    #[error("the agent has another skill of this name, and each needs a directory of its own")]
    Duplicate,
}

impl Skill {
    /// Reads what a team says of a skill.
    ///
    /// # Errors
    /// Says what is wrong; the first thing found, in the order name, number of sources, source.
    pub fn parse(spec: &SkillSpec) -> Result<Self, InvalidSkill> {
        let name = SkillName::parse(&spec.name).ok_or(InvalidSkill::Name)?;
        Ok(Self {
            name,
            source: Source::parse(&spec.source)?,
        })
    }
}

impl Source {
    fn parse(source: &SkillSource) -> Result<Self, InvalidSkill> {
        let set = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        match (set(&source.config_map), set(&source.oci)) {
            (Some(name), None) => ObjectName::parse(&name)
                .map(Self::ConfigMap)
                .ok_or(InvalidSkill::ConfigMap(name)),
            (None, Some(reference)) => Ok(Self::Oci(Reference::parse(&reference)?)),
            (config_map, _) => Err(InvalidSkill::Sources {
                both: config_map.is_some(),
            }),
        }
    }
}

impl SkillName {
    /// The name, if `text` is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_dns_label(text, NAME_MAX).then(|| Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ObjectName {
    /// The name, if `text` is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_dns_subdomain(text).then(|| Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for SkillName {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Display for ObjectName {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skill(
        name: &str,
        config_map: Option<&str>,
        oci: Option<&str>,
    ) -> Result<Skill, InvalidSkill> {
        let source = SkillSource {
            config_map: config_map.map(Into::into),
            oci: oci.map(Into::into),
        };
        Skill::parse(&SkillSpec {
            name: name.into(),
            source,
        })
    }

    #[test]
    fn a_skill_has_exactly_one_source() {
        assert!(skill("a", Some("cm"), None).is_ok());
        assert!(skill("a", None, Some("ghcr.io/x/y:1")).is_ok());
        assert!(
            skill("a", Some("cm"), Some("")).is_ok(),
            "an empty string counts as not set"
        );
        let neither = skill("a", None, None).unwrap_err();
        assert_eq!(neither, InvalidSkill::Sources { both: false });
        assert_eq!(skill("a", Some(""), Some("")).unwrap_err(), neither);
        let both = skill("a", Some("cm"), Some("ghcr.io/x/y:1")).unwrap_err();
        assert_eq!(both, InvalidSkill::Sources { both: true });
        assert!(both.to_string().contains(EXACTLY_ONE_SOURCE));
    }

    #[test]
    fn a_name_is_one_directory() {
        let longest = "x".repeat(64);
        for good in ["a", "web-research", "a--b", "0", &longest] {
            assert!(SkillName::parse(good).is_some(), "{good}");
        }
        let too_long = "x".repeat(65);
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "/x",
            "a/b",
            "A_B",
            "A",
            "a_b",
            "-a",
            "a-",
            "%2e%2e",
            "а",
            "a b",
            "a\n",
            "a\0",
            "$(x)",
            "a.b",
            "\u{202e}a",
            &too_long,
        ] {
            assert!(SkillName::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_config_map_has_a_config_map_s_name() {
        let too_long = "x".repeat(254);
        for bad in ["a/b", "A", "a_b", "..", &too_long] {
            assert_eq!(
                skill("a", Some(bad), None).unwrap_err(),
                InvalidSkill::ConfigMap(bad.into())
            );
        }
    }
}
