//! An `AgentTeam` as this crate keeps it: read once, with what is wrong in it kept beside what is right.
//!
//! Reading never fails as a whole, because only what concerns an agent decides about its Pods: a bad skill of one
//! agent does not stop another.

use serde::de::{Deserialize, DeserializeOwned};
use serde_json::Value;
use thiserror::Error;

use crate::api::{LEAD, LeadSpec, SecretReference, SkillSpec, TeammateSpec};
use crate::condition::Reported;
use crate::json::{Object, problem};
use crate::names::{LABEL_MAX, Shown, is_dns_label};
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
    /// What the team's status says of its skills already.
    pub reported: Reported,
    /// The Secrets of `spec.imagePullSecrets`, in order and without duplicates.
    pub pull_secrets: Vec<Result<ObjectName, InvalidPullSecret>>,
    agents: Vec<Agent>,
    malformed: Vec<Malformed>,
}

/// An agent and its skills: the team's, then its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// The agent's name.
    pub name: Box<str>,
    /// Each skill, or what is wrong with it.
    pub skills: Vec<Result<Skill, NamedProblem>>,
}

/// What is wrong with a skill, and which skill it is.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("skill {}: {problem}", Shown(skill))]
pub struct NamedProblem {
    /// The skill's name as it was written, or its place in the list where it has none.
    pub skill: String,
    /// What is wrong with it.
    pub problem: InvalidSkill,
}

/// A Secret name that is none.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("spec.imagePullSecrets names {}, which is not the name of a Secret", Shown(.0))]
pub struct InvalidPullSecret(pub String);

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
    /// What `status.conditions` says of the team's skills.
    pub reported: Reported,
}

impl Team {
    /// Reads a team from its metadata and its `spec`, whatever the `spec` holds.
    #[must_use]
    pub fn read(identity: Identity, spec: &Value) -> Self {
        let mut malformed = Vec::new();
        if !spec.is_object() && !spec.is_null() {
            malformed.push(Malformed {
                place: "spec".into(),
                problem: "is not an object".into(),
            });
        }
        let pull_secrets = read_pull_secrets(&spec["imagePullSecrets"], &mut malformed);
        let shared = read_skills(&spec["skills"], "spec.skills", &mut malformed);
        let agents = read_agents(spec, &shared, &mut malformed);
        Self {
            namespace: identity.namespace.into(),
            name: identity.name.into(),
            generation: identity.generation,
            deleting: identity.deleting,
            delivery: identity.delivery.map(Into::into),
            reported: identity.reported,
            pull_secrets,
            agents,
            malformed,
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

    /// The parts that could not be read at all: an agent that is missing may be in one of them.
    #[must_use]
    pub fn malformed(&self) -> &[Malformed] {
        &self.malformed
    }

    /// Everything that is wrong with the team, one sentence each, in the order of the spec.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let malformed = self.malformed.iter().map(ToString::to_string);
        let secrets = self
            .pull_secrets
            .iter()
            .filter_map(|secret| Some(secret.as_ref().err()?.to_string()));
        let skills = self.agents.iter().flat_map(|agent| {
            let problems = agent.skills.iter().filter_map(|skill| skill.as_ref().err());
            problems.map(|problem| format!("agent {}: {problem}", agent.name))
        });
        malformed.chain(secrets).chain(skills).collect()
    }
}

fn read_agents(
    spec: &Value,
    shared: &[Result<Skill, NamedProblem>],
    malformed: &mut Vec<Malformed>,
) -> Vec<Agent> {
    let mut agents = Vec::new();
    let lead = &spec["lead"];
    if !lead.is_null() {
        let own = read_skills(&lead["skills"], "spec.lead.skills", malformed);
        if let Some(LeadSpec { .. }) = shape(&without_skills(lead), "spec.lead", malformed) {
            agents.push(Agent::new(LEAD, shared, own));
        }
    }
    for (index, entry) in items(&spec["teammates"], "spec.teammates", malformed)
        .iter()
        .enumerate()
    {
        let place = format!("spec.teammates[{index}]");
        let own = read_skills(&entry["skills"], &format!("{place}.skills"), malformed);
        let Some(TeammateSpec { name, .. }) = shape(&without_skills(entry), &place, malformed)
        else {
            continue;
        };
        let problem = if !is_dns_label(&name, LABEL_MAX) {
            Some(
                "must be 1 to 63 characters of a-z, 0-9 and -, beginning and ending with a letter or digit",
            )
        } else if name == LEAD {
            Some("is the name of the agent of spec.lead")
        } else if agents.iter().any(|agent| *agent.name == name) {
            Some("is the name of another agent of the team")
        } else {
            None
        };
        match problem {
            Some(problem) => malformed.push(Malformed {
                place: format!("{place}.name"),
                problem: format!("{}: it {problem}", Shown(&name)),
            }),
            None => agents.push(Agent::new(&name, shared, own)),
        }
    }
    agents
}

impl Agent {
    fn new(
        name: &str,
        shared: &[Result<Skill, NamedProblem>],
        own: Vec<Result<Skill, NamedProblem>>,
    ) -> Self {
        let mut skills = Vec::with_capacity(shared.len() + own.len());
        for skill in shared.iter().cloned().chain(own) {
            let duplicate = skill.as_ref().ok().filter(|skill| {
                let taken = |other: &Skill| other.name == skill.name;
                skills
                    .iter()
                    .any(|other: &Result<Skill, NamedProblem>| other.as_ref().is_ok_and(taken))
            });
            let problem = duplicate.map(|skill| NamedProblem {
                skill: skill.name.to_string(),
                problem: InvalidSkill::Duplicate,
            });
            skills.push(problem.map_or(skill, Err));
        }
        Self {
            name: name.into(),
            skills,
        }
    }
}

fn read_skills(
    list: &Value,
    place: &str,
    malformed: &mut Vec<Malformed>,
) -> Vec<Result<Skill, NamedProblem>> {
    let read = |(index, entry): (usize, &Value)| {
        let name = entry["name"]
            .as_str()
            .map_or_else(|| format!("{place}[{index}]"), ToOwned::to_owned);
        let spec = parse::<SkillSpec>(entry).map_err(InvalidSkill::Shape);
        spec.and_then(|spec| Skill::parse(&spec))
            .map_err(|problem| NamedProblem {
                skill: name,
                problem,
            })
    };
    items(list, place, malformed)
        .iter()
        .enumerate()
        .map(read)
        .collect()
}

fn read_pull_secrets(
    list: &Value,
    malformed: &mut Vec<Malformed>,
) -> Vec<Result<ObjectName, InvalidPullSecret>> {
    let place = "spec.imagePullSecrets";
    let mut secrets = Vec::new();
    for (index, entry) in items(list, place, malformed).iter().enumerate() {
        let Some(SecretReference { name }) = shape(entry, &format!("{place}[{index}]"), malformed)
        else {
            continue;
        };
        let secret = ObjectName::parse(&name).ok_or(InvalidPullSecret(name));
        if !secrets.contains(&secret) {
            secrets.push(secret);
        }
    }
    secrets
}

/// The items of a list that may be absent.
fn items<'a>(list: &'a Value, place: &str, malformed: &mut Vec<Malformed>) -> &'a [Value] {
    match list {
        Value::Array(items) => items,
        Value::Null => &[],
        _ => {
            malformed.push(Malformed {
                place: place.into(),
                problem: "is not a list".into(),
            });
            &[]
        }
    }
}

/// What an agent is apart from its skills, which are read one by one.
fn without_skills(agent: &Value) -> Value {
    let mut agent = agent.clone();
    if let Some(fields) = agent.as_object_mut() {
        fields.remove("skills");
    }
    agent
}

fn shape<T: DeserializeOwned>(
    value: &Value,
    place: &str,
    malformed: &mut Vec<Malformed>,
) -> Option<T> {
    parse(value)
        .map_err(|problem| {
            malformed.push(Malformed {
                place: place.into(),
                problem: format!("cannot be read: {problem}"),
            });
        })
        .ok()
}

fn parse<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    let object = Object::deserialize(value);
    object
        .map(|Object(value)| value)
        .map_err(|error| problem(&error))
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
            .skills
            .iter()
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
        assert!(team.agent("lead").unwrap().skills.iter().all(Result::is_ok));
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
        let problem = team.agent("lead").unwrap().skills[1].as_ref().unwrap_err();
        assert_eq!(problem.problem, InvalidSkill::Duplicate);
    }

    #[test]
    fn agents_are_unique_and_named_as_labels_are() {
        let team = team(&json!({"lead": {}, "teammates": [
            {"name": "a"}, {"name": "a"}, {"name": "lead"}, {"name": "A_B"}, {}, 7,
        ]}));
        let agents: Vec<_> = team.agents().iter().map(|agent| &*agent.name).collect();
        assert_eq!(agents, ["lead", "a"]);
        assert_eq!(team.malformed().len(), 5);
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
    }
}
