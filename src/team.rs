//! An `AgentTeam` as this crate keeps it: read once, with what is wrong in it kept beside what is right.
//!
//! Reading never fails as a whole, because only what concerns an agent decides about its Pods: a bad skill of one
//! agent does not stop another.

mod read;

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;

use crate::api::Keys;
use crate::condition::Reported;
use crate::names::Shown;
use crate::skill::{InvalidSkill, ObjectName, Skill};

/// A team, as far as skills are concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct Team {
    /// The namespace that the team and its Pods are in.
    pub namespace: Box<str>,
    /// The team's name.
    pub name: Box<str>,
    /// `metadata.generation`, 0 where the API server did not set it.
    pub generation: i64,
    /// Whether the team is being deleted.
    pub deleting: bool,
    /// The delivery mode that the team's annotation asks for, as it was written.
    pub delivery: Option<Box<str>>,
    /// The `ConfigMap` that the team's annotation names for the keys of its skills, as it was written.
    pub verify_key: Option<Box<str>>,
    /// What the team's status says of its skills already.
    pub reported: Reported,
    /// The Secrets of `spec.imagePullSecrets`, in order and without duplicates.
    pub pull_secrets: Vec<Result<ObjectName, InvalidPullSecret>>,
    /// The Secrets that `spec.imagePullSecrets` names more than once.
    pub repeated_secrets: Vec<ObjectName>,
    shared: Arc<[ReadSkill]>,
    agents: Vec<Agent>,
    problems: Vec<Problem>,
}

/// A skill, or what is wrong with it.
pub type ReadSkill = Result<Skill, NamedProblem>;

/// An agent and its skills.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// The agent's name.
    pub name: Box<str>,
    shared: Arc<[ReadSkill]>,
    own: Vec<ReadSkill>,
}

/// Something that is wrong with a team, and where.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Problem {
    /// A part of the spec that could not be read at all.
    #[error(transparent)]
    Malformed(Malformed),
    /// A pull secret.
    #[error(transparent)]
    PullSecret(InvalidPullSecret),
    /// A skill.
    #[error("{owner}: {problem}")]
    Skill {
        /// Whose skill it is: `agent lead`, or the place in the spec where the agent has no name of its own.
        owner: Box<str>,
        /// Which skill, and what is wrong with it.
        problem: NamedProblem,
    },
}

/// What is wrong with a skill, and which skill it is.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("skill {}: {}", Shown(skill), Joined(problems))]
pub struct NamedProblem {
    /// The skill's name as it was written, or its place in the spec where it has none.
    pub skill: String,
    /// Everything that is wrong with it.
    pub problems: Vec<InvalidSkill>,
}

/// What is wrong with a pull secret.
#[derive(Clone, Debug, Error, Hash, PartialEq, Eq)]
pub enum InvalidPullSecret {
    /// A name that no Secret can have.
    #[error("spec.imagePullSecrets names {}, which is not the name of a Secret", Shown(.0))]
    Name(String),
    /// No name at all.
    #[error("spec.imagePullSecrets[{0}] has no name")]
    Unnamed(usize),
    /// Not a list, so that no Secret is known.
    #[error("spec.imagePullSecrets is not a list")]
    NoList,
}

/// A part of the spec that could not be read at all.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{place} {problem}")]
pub struct Malformed {
    /// Where in the team.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

/// What a team's metadata says that matters here.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.generation`
    pub generation: i64,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// The value of the delivery annotation.
    pub delivery: Option<String>,
    /// The value of the annotation that names the keys.
    pub verify_key: Option<String>,
    /// What `status.conditions` says of the team's skills.
    pub reported: Reported,
}

impl Identity {
    /// Reads it from an object's `metadata`; what is not there is empty.
    #[must_use]
    pub fn of(metadata: &Value, keys: &Keys) -> Self {
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let annotation = |key: &str| metadata["annotations"].get(key).and_then(text);
        Self {
            namespace: text(&metadata["namespace"]).unwrap_or_default(),
            name: text(&metadata["name"]).unwrap_or_default(),
            generation: metadata["generation"].as_i64().unwrap_or_default(),
            deleting: !metadata["deletionTimestamp"].is_null(),
            delivery: annotation(&keys.delivery),
            verify_key: annotation(&keys.verify_key),
            reported: Reported::default(),
        }
    }
}

struct Joined<'a>(&'a [InvalidSkill]);

impl Display for Joined<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(formatter, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl Team {
    /// Reads a team from its metadata and its `spec`, whatever the `spec` holds.
    #[must_use]
    pub fn read(identity: Identity, spec: &Value) -> Self {
        let parts = read::read(spec);
        Self {
            namespace: identity.namespace.into(),
            name: identity.name.into(),
            generation: identity.generation,
            deleting: identity.deleting,
            delivery: identity.delivery.map(Into::into),
            verify_key: identity.verify_key.map(Into::into),
            reported: identity.reported,
            pull_secrets: parts.pull_secrets,
            repeated_secrets: parts.repeated_secrets,
            shared: parts.shared,
            agents: parts.agents,
            problems: parts.problems,
        }
    }

    /// The agent of this name.
    #[must_use]
    pub fn agent(&self, name: &str) -> Option<&Agent> {
        self.agents.iter().find(|agent| &*agent.name == name)
    }

    /// Every agent that could be read, the lead first.
    #[must_use]
    pub fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// The skills of `spec.skills`, which every agent has.
    pub fn shared_skills(&self) -> &[ReadSkill] {
        &self.shared
    }

    /// The parts that could not be read at all: an agent that is missing may be in one of them.
    pub fn malformed(&self) -> impl Iterator<Item = &Malformed> {
        self.problems.iter().filter_map(|problem| match problem {
            Problem::Malformed(malformed) => Some(malformed),
            _ => None,
        })
    }

    /// Everything that is wrong with the team, one sentence each, in the order of the spec.
    ///
    /// What is wrong with a skill of `spec.skills` is said once, and not again for every agent.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.problems.iter().map(ToString::to_string).collect()
    }
}

impl Agent {
    /// The agent's skills: the team's, then its own.
    pub fn skills(&self) -> impl Iterator<Item = &ReadSkill> {
        self.shared.iter().chain(&self.own)
    }

    /// The skills that only this agent has.
    pub fn own_skills(&self) -> &[ReadSkill] {
        &self.own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn team(spec: &Value) -> Team {
        Team::read(
            Identity {
                namespace: "ns".into(),
                name: "t".into(),
                ..Identity::default()
            },
            spec,
        )
    }

    fn names(agent: &Agent) -> Vec<&str> {
        agent
            .skills()
            .map(|skill| skill.as_ref().map_or("!", |skill| skill.name.as_str()))
            .collect()
    }

    #[test]
    fn an_agent_has_the_team_s_skills_then_its_own() {
        let team = team(&json!({
            "auth": {"apiKeySecret": "unknown to us"},
            "skills": [{"name": "house-style", "source": {"configMap": "style"}}],
            "lead": {"prompt": "x", "skills": [{"name": "plan", "source": {"oci": "ghcr.io/x/plan:1"}}]},
            "teammates": [{"name": "researcher", "model": "x"}],
        }));
        assert_eq!(names(team.agent("lead").unwrap()), ["house-style", "plan"]);
        assert_eq!(names(team.agent("researcher").unwrap()), ["house-style"]);
        assert!(team.agent("nobody").is_none());
        assert!(team.problems().is_empty(), "{:?}", team.problems());
    }

    #[test]
    fn a_bad_skill_stays_with_its_agent() {
        let team = team(&json!({
            "lead": {"skills": [{"name": "ok", "source": {"configMap": "c"}}]},
            "teammates": [{"name": "a", "skills": [
                {"name": "none", "source": {}},
                {"name": "both", "source": {"configMap": "c", "oci": "ghcr.io/x/y:1"}},
                {"name": "../up", "source": {"configMap": "c"}},
                {"source": {"configMap": "c"}},
                {"name": "no-source"},
                {"name": "twice", "source": {"configMap": "c"}},
                {"name": "twice", "source": {"configMap": "d"}},
                "text",
            ]}],
        }));
        assert!(team.agent("lead").unwrap().skills().all(Result::is_ok));
        assert_eq!(
            names(team.agent("a").unwrap()),
            ["!", "!", "!", "!", "!", "twice", "!", "!"]
        );
        assert_eq!(team.problems().len(), 7);
    }

    #[test]
    fn a_skill_of_the_team_cannot_be_taken_by_an_agent() {
        let team = team(&json!({
            "skills": [{"name": "s", "source": {"configMap": "a"}}],
            "lead": {"skills": [{"name": "s", "source": {"configMap": "b"}}]},
        }));
        let problem = team.agent("lead").unwrap().skills().nth(1).unwrap();
        assert_eq!(
            problem.as_ref().unwrap_err().problems,
            [InvalidSkill::Duplicate]
        );
    }

    #[test]
    fn agents_are_unique_and_named_as_labels_are() {
        let team = team(&json!({"lead": {}, "teammates": [
            {"name": "a"}, {"name": "a"}, {"name": "lead"}, {"name": "A_B"}, {}, 7,
        ]}));
        let agents: Vec<_> = team.agents().iter().map(|agent| &*agent.name).collect();
        assert_eq!(agents, ["lead", "a"]);
        assert_eq!(team.malformed().count(), 5);
    }

    #[test]
    fn whatever_the_spec_is_reading_does_not_fail() {
        for spec in [
            json!(null),
            json!(7),
            json!([]),
            json!({"lead": 7}),
            json!({"teammates": {}, "skills": "x"}),
        ] {
            assert!(team(&spec).agents().is_empty(), "{spec}");
        }
        assert_eq!(
            team(&json!({"teammates": {}, "skills": "x"}))
                .problems()
                .len(),
            2
        );
    }

    #[test]
    fn all_problems_are_said_once_in_the_order_of_the_spec() {
        let team = team(&json!({
            "teammates": [
                {"name": "a", "skills": [{"name": "b", "source": {"configMap": "c"}}]},
                {"name": "a", "skills": [{"name": "x", "source": {}}]},
                {"skills": {}},
            ],
            "lead": {"skills": [{"name": "s", "source": null}, {"name": "s", "source": {"oci": "x"}}, 7]},
            "skills": [{"name": "A", "source": {"configMap": "c", "oci": "ghcr.io/x/y:1"}}, {"name": "b", "source": {"configMap": 7}}],
            "imagePullSecrets": [{"name": "A/b"}, {}, 7],
        }));
        assert_eq!(
            team.problems(),
            [
                r#"spec.imagePullSecrets names "A/b", which is not the name of a Secret"#,
                "spec.imagePullSecrets[1] has no name",
                "spec.imagePullSecrets[2] has no name",
                r#"every agent (spec.skills): skill "A": its name must be 1 to 64 characters of a-z, 0-9 and -, beginning and ending with a letter or digit; skill source must set exactly one of configMap or oci, and this one sets both"#,
                r#"every agent (spec.skills): skill "b": source.configMap is not a string"#,
                r#"agent lead: skill "s": skill source must set exactly one of configMap or oci, and this one sets neither"#,
                r#"agent lead: skill "s": source.oci "x" does not begin with the host of a registry; write it as registry.example/org/skill:v1; the agent has another skill of this name, and each needs a directory of its own"#,
                r#"agent lead: skill "spec.lead.skills[2]": it is not an object"#,
                r#"agent a: skill "b": the agent has another skill of this name, and each needs a directory of its own"#,
                r#"spec.teammates[1].name "a": it is the name of another agent of the team"#,
                r#"spec.teammates[1]: skill "x": skill source must set exactly one of configMap or oci, and this one sets neither"#,
                "spec.teammates[2] has no name",
                r#"spec.teammates[2]: skill "spec.teammates[2].skills": it is not a list of skills"#,
            ]
        );
    }

    #[test]
    fn skills_that_cannot_be_read_are_not_skills_that_are_not_there() {
        let team = team(&json!({"skills": "x", "lead": {}, "imagePullSecrets": "x"}));
        assert_eq!(names(team.agent("lead").unwrap()), ["!"]);
        assert_eq!(team.pull_secrets, [Err(InvalidPullSecret::NoList)]);
    }

    #[test]
    fn a_team_without_bounds_is_read_in_little_time_and_memory() {
        let many = |text: &str| -> Vec<_> {
            (0..20_000)
                .map(|n| json!({"name": format!("{text}{n}"), "source": {"configMap": "c"}}))
                .collect()
        };
        let secrets = [many("a"), many("a")].concat();
        let team = team(
            &json!({"skills": many("s"), "teammates": many("a"), "lead": {"skills": many("l")}, "imagePullSecrets": secrets}),
        );
        assert_eq!(team.agents().len(), 20_001);
        assert_eq!(team.agent("lead").unwrap().skills().count(), 40_000);
        assert_eq!(team.repeated_secrets.len(), 20_000);
    }

    #[test]
    fn pull_secrets_keep_their_order_once() {
        let team = team(
            &json!({"imagePullSecrets": [{"name": "b"}, {"name": "a"}, {"name": "b"}, {"name": "A/b"}]}),
        );
        let names: Vec<_> = team
            .pull_secrets
            .iter()
            .map(|s| s.as_ref().map_or("!", ObjectName::as_str))
            .collect();
        assert_eq!(names, ["b", "a", "!"]);
        assert_eq!(team.repeated_secrets, [ObjectName::parse("b").unwrap()]);
    }
}
