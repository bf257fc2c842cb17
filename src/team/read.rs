//! Reads a `spec`: in time and memory that grow with its size alone, for not every definition bounds its lists.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;

use serde_json::Value;

use super::{Agent, InvalidPullSecret, Malformed, NamedProblem, Problem, ReadSkill};
use crate::api::LEAD;
use crate::names::{LABEL_MAX, Shown, is_dns_label};
use crate::skill::{InvalidSkill, ObjectName, Skill};

/// What is read from a `spec`.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub pull_secrets: Vec<Result<ObjectName, InvalidPullSecret>>,
    pub repeated_secrets: Vec<ObjectName>,
    pub shared: Arc<[ReadSkill]>,
    pub agents: Vec<Agent>,
    pub problems: Vec<Problem>,
}

/// Reads whatever is there, in the order imagePullSecrets, skills, lead, teammates.
pub(super) fn read(spec: &Value) -> Parts {
    let mut parts = Parts::default();
    if !spec.is_object() && !spec.is_null() {
        parts.malformed("spec", "is not an object");
    }
    parts.read_pull_secrets(&spec["imagePullSecrets"]);
    let mut shared_names = HashSet::new();
    let owner = "every agent (spec.skills)";
    parts.shared = parts
        .read_skills(
            &spec["skills"],
            "spec.skills",
            owner,
            &mut shared_names,
            &HashSet::new(),
        )
        .into();
    parts.read_lead(&spec["lead"], &shared_names);
    parts.read_teammates(&spec["teammates"], &shared_names);
    // Teams are kept, by the ten thousands in a large cluster, and most have one agent and one secret.
    parts.agents.shrink_to_fit();
    parts.pull_secrets.shrink_to_fit();
    parts
}

impl Parts {
    fn malformed(&mut self, place: impl Display, problem: impl Display) {
        self.problems.push(Problem::Malformed(Malformed {
            place: place.to_string(),
            problem: problem.to_string(),
        }));
    }

    fn read_pull_secrets(&mut self, list: &Value) {
        let entries = match list {
            Value::Array(entries) => entries,
            Value::Null => return,
            // What needs the Secrets must learn that they are not known.
            _ => return self.bad_pull_secret(InvalidPullSecret::NoList),
        };
        let mut is_repeated = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            let Some(name) = entry["name"].as_str() else {
                self.bad_pull_secret(InvalidPullSecret::Unnamed(index));
                continue;
            };
            match (is_repeated.get_mut(name), ObjectName::parse(name)) {
                (None, Some(secret)) => self.pull_secrets.push(Ok(secret)),
                (None, None) => self.bad_pull_secret(InvalidPullSecret::Name(name.into())),
                (Some(false), Some(secret)) => self.repeated_secrets.push(secret),
                _ => {}
            }
            is_repeated
                .entry(name)
                .and_modify(|repeated| *repeated = true)
                .or_insert(false);
        }
    }

    fn bad_pull_secret(&mut self, problem: InvalidPullSecret) {
        self.problems.push(Problem::PullSecret(problem.clone()));
        self.pull_secrets.push(Err(problem));
    }

    fn read_lead(&mut self, lead: &Value, shared_names: &HashSet<&str>) {
        match lead {
            Value::Null => {}
            Value::Object(_) => self.read_agent(lead, "spec.lead", Some(LEAD), shared_names),
            _ => self.malformed("spec.lead", "is not an object"),
        }
    }

    fn read_teammates(&mut self, list: &Value, shared_names: &HashSet<&str>) {
        let entries = match list {
            Value::Array(entries) => entries,
            Value::Null => return,
            _ => return self.malformed("spec.teammates", "is not a list"),
        };
        let mut names = HashSet::new();
        for (index, entry) in entries.iter().enumerate() {
            let place = format!("spec.teammates[{index}]");
            if !entry.is_object() {
                self.malformed(place, "is not an object");
                continue;
            }
            let name = match &entry["name"] {
                Value::String(name) => {
                    let problem = name_problem(name, &mut names);
                    if let Some(problem) = problem {
                        self.malformed(
                            format!("{place}.name"),
                            format!("{}: it {problem}", Shown(name)),
                        );
                    }
                    problem.is_none().then_some(name.as_str())
                }
                Value::Null => {
                    self.malformed(&place, "has no name");
                    None
                }
                _ => {
                    self.malformed(format!("{place}.name"), "is not a string");
                    None
                }
            };
            self.read_agent(entry, &place, name, shared_names);
        }
    }

    /// Reads the skills of an agent, which is left out where it has no name to be found by.
    fn read_agent(
        &mut self,
        agent: &Value,
        place: &str,
        name: Option<&str>,
        shared_names: &HashSet<&str>,
    ) {
        let owner = name.map_or_else(|| place.to_owned(), |name| format!("agent {name}"));
        let own = self.read_skills(
            &agent["skills"],
            &format!("{place}.skills"),
            &owner,
            &mut HashSet::new(),
            shared_names,
        );
        if let Some(name) = name {
            self.agents.push(Agent {
                name: name.into(),
                shared: Arc::clone(&self.shared),
                own,
            });
        }
    }

    /// Reads a list of skills, whose names are added to `names` and must not be in `taken`.
    fn read_skills<'a>(
        &mut self,
        list: &'a Value,
        place: &str,
        owner: &str,
        names: &mut HashSet<&'a str>,
        taken: &HashSet<&str>,
    ) -> Vec<ReadSkill> {
        let entries = match list {
            Value::Array(entries) => entries,
            Value::Null => return Vec::new(),
            // In the place of skills that nobody can read, so that their agent does not go without.
            _ => {
                return vec![Err(self.bad_skill(
                    owner,
                    place,
                    vec![InvalidSkill::NoList],
                ))];
            }
        };
        let mut skills = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let name = entry["name"].as_str();
            let mut read = Skill::read(entry);
            if name.is_some_and(|name| taken.contains(name) || !names.insert(name)) {
                let mut problems = read.err().unwrap_or_default();
                problems.push(InvalidSkill::Duplicate);
                read = Err(problems);
            }
            skills.push(read.map_err(|problems| {
                let shown = name.map_or_else(|| format!("{place}[{index}]"), ToOwned::to_owned);
                self.bad_skill(owner, &shown, problems)
            }));
        }
        skills
    }

    fn bad_skill(&mut self, owner: &str, skill: &str, problems: Vec<InvalidSkill>) -> NamedProblem {
        let problem = NamedProblem {
            skill: skill.to_owned(),
            problems,
        };
        self.problems.push(Problem::Skill {
            owner: owner.into(),
            problem: problem.clone(),
        });
        problem
    }
}

/// What is wrong with a teammate's name, given those before it.
fn name_problem<'a>(name: &'a str, names: &mut HashSet<&'a str>) -> Option<&'static str> {
    if !is_dns_label(name, LABEL_MAX) {
        Some(
            "must be 1 to 63 characters of a-z, 0-9 and -, beginning and ending with a letter or digit",
        )
    } else if name == LEAD {
        Some("is the name of the agent of spec.lead")
    } else if !names.insert(name) {
        Some("is the name of another agent of the team")
    } else {
        None
    }
}
