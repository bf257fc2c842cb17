//! A skill and its source, parsed once: what these types hold is valid ever after.
//!
//! Nothing that could be read as a flag, a path or a variable gets through, so the rest of the crate can put a
//! skill's name into a path and its reference into an argument vector without looking at either again.

pub mod host;
pub mod reference;

use std::fmt::{self, Display, Formatter};

use serde_json::Value;
use thiserror::Error;

use crate::api::EXACTLY_ONE_SOURCE;
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
    /// The skills are something else than a list.
    #[error("it is not a list of skills")]
    NoList,
    /// The entry is something else than an object.
    #[error("it is not an object")]
    NoObject,
    /// The name is missing, or something else than text.
    #[error("it has no name")]
    Unnamed,
    /// The source is something else than an object.
    #[error("its source is not an object")]
    SourceNoObject,
    /// One of the sources is something else than text.
    #[error("source.{0} is not a string")]
    NoText(&'static str),
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
    /// Reads what a team says of a skill. A source that is absent, null or empty is not set.
    ///
    /// # Errors
    /// Says everything that is wrong: with the name, then with the number of sources or the one that is set.
    pub fn read(entry: &Value) -> Result<Self, Vec<InvalidSkill>> {
        if !entry.is_object() {
            return Err(vec![InvalidSkill::NoObject]);
        }
        let name = entry["name"].as_str().ok_or(InvalidSkill::Unnamed);
        let name = name.and_then(|name| SkillName::parse(name).ok_or(InvalidSkill::Name));
        match (name, Source::read(&entry["source"])) {
            (Ok(name), Ok(source)) => Ok(Self { name, source }),
            (name, source) => Err(name.err().into_iter().chain(source.err()).collect()),
        }
    }
}

impl Source {
    fn read(source: &Value) -> Result<Self, InvalidSkill> {
        if !source.is_object() && !source.is_null() {
            return Err(InvalidSkill::SourceNoObject);
        }
        let set = |key: &str| {
            source
                .get(key)
                .filter(|value| !value.is_null() && *value != "")
        };
        match (set("configMap"), set("oci")) {
            (Some(name), None) => {
                let name = name.as_str().ok_or(InvalidSkill::NoText("configMap"))?;
                ObjectName::parse(name)
                    .map(Self::ConfigMap)
                    .ok_or_else(|| InvalidSkill::ConfigMap(name.to_owned()))
            }
            (None, Some(reference)) => {
                let reference = reference.as_str().ok_or(InvalidSkill::NoText("oci"))?;
                Ok(Self::Oci(Reference::parse(reference)?))
            }
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
    use serde_json::json;

    fn skill(source: &Value) -> Result<Skill, Vec<InvalidSkill>> {
        Skill::read(&json!({"name": "a", "source": source}))
    }

    #[test]
    fn a_skill_has_exactly_one_source() {
        assert!(skill(&json!({"configMap": "cm"})).is_ok());
        assert!(skill(&json!({"oci": "ghcr.io/x/y:1", "git": "later"})).is_ok());
        for unset in [json!(null), json!("")] {
            assert!(skill(&json!({"configMap": "cm", "oci": unset})).is_ok());
            assert!(skill(&json!({"configMap": unset, "oci": "ghcr.io/x/y:1"})).is_ok());
        }
        let neither = [InvalidSkill::Sources { both: false }];
        for source in [
            json!({}),
            json!(null),
            json!({"configMap": "", "oci": null}),
            json!({"git": "x"}),
        ] {
            assert_eq!(skill(&source).unwrap_err(), neither);
        }
        assert_eq!(Skill::read(&json!({"name": "a"})).unwrap_err(), neither);
        let both = [InvalidSkill::Sources { both: true }];
        for oci in [json!("ghcr.io/x/y:1"), json!("no reference"), json!(7)] {
            assert_eq!(
                skill(&json!({"configMap": "cm", "oci": oci})).unwrap_err(),
                both
            );
        }
        for said in [&neither, &both] {
            assert!(said[0].to_string().starts_with(EXACTLY_ONE_SOURCE));
        }
    }

    #[test]
    fn what_is_no_skill_is_said_to_be_none() {
        let cases = [
            (json!(7), vec![InvalidSkill::NoObject]),
            (
                json!({}),
                vec![InvalidSkill::Unnamed, InvalidSkill::Sources { both: false }],
            ),
            (
                json!({"name": 7, "source": 7}),
                vec![InvalidSkill::Unnamed, InvalidSkill::SourceNoObject],
            ),
            (
                json!({"name": "A", "source": {"oci": {}}}),
                vec![InvalidSkill::Name, InvalidSkill::NoText("oci")],
            ),
        ];
        for (entry, problems) in cases {
            assert_eq!(Skill::read(&entry).unwrap_err(), problems, "{entry}");
        }
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
                skill(&json!({"configMap": bad})).unwrap_err(),
                [InvalidSkill::ConfigMap(bad.into())]
            );
        }
    }
}
