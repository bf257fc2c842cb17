//! Whose Pod it is, and which of its containers is the agent's.

use super::naming::VOLUME_PREFIX;
use super::plan::SKILLS_PATH;
use super::pod::{Container, Pod};
use super::reason::Reason;
use crate::api::{COMPONENT_LABEL, DEFAULT_CONTAINER_ANNOTATION, Keys, LEAD};
use crate::names::is_dns_subdomain;
use crate::team::{Agent, Team};

/// The container that the original operator gives its agents.
const AGENT_CONTAINER: &str = "claude-code";

/// The team that a Pod names, and the agent if it names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The team.
    pub team: &'a str,
    /// The label that names it.
    pub team_key: &'a str,
    agent: Option<(&'a str, &'a str)>,
}

impl<'a> Target<'a> {
    /// Reads the Pod's labels. A Pod that names no team, opted out or is a static Pod's picture has no target.
    ///
    /// # Errors
    /// When the labels contradict each other or name an impossible team.
    pub fn of(pod: &'a Pod<'_>, keys: &'a Keys) -> Result<Option<Self>, Reason> {
        if pod.is_mirror() || pod.label(&keys.inject) == Some("false") {
            return Ok(None);
        }
        let (team_key, team) = match (pod.label(&keys.agent_team), pod.label(&keys.team)) {
            (None, None) => return Ok(None),
            (Some(agent_team), Some(team)) if agent_team != team => {
                return Err(Reason::TeamLabelsDiffer {
                    agent_team_key: keys.agent_team.clone(),
                    agent_team: agent_team.to_owned(),
                    team_key: keys.team.clone(),
                    team: team.to_owned(),
                });
            }
            (Some(team), _) => (&keys.agent_team, team),
            (None, Some(team)) => (&keys.team, team),
        };
        if !is_dns_subdomain(team) {
            return Err(Reason::InvalidTeamName {
                key: team_key.clone(),
                value: team.to_owned(),
            });
        }
        let lead_by_role =
            || (pod.label(&keys.role) == Some(LEAD)).then_some((keys.role.as_str(), LEAD));
        let agent = pod
            .label(&keys.agent)
            .map(|agent| (keys.agent.as_str(), agent))
            .or_else(lead_by_role)
            .or_else(|| {
                pod.label(COMPONENT_LABEL)
                    .map(|agent| (COMPONENT_LABEL, agent))
            });
        Ok(Some(Self {
            team,
            team_key,
            agent,
        }))
    }

    /// The agent of `team` that the Pod names.
    ///
    /// # Errors
    /// When it names none, or one that the team has not.
    pub fn agent<'t>(&self, team: &'t Team, keys: &Keys) -> Result<&'t Agent, Reason> {
        let agents = || {
            team.agents()
                .iter()
                .map(|agent| agent.name.to_string())
                .collect()
        };
        let Some((key, name)) = self.agent else {
            return Err(Reason::AgentNotNamed {
                team: team.name.to_string(),
                key: keys.agent.clone(),
                agents: agents(),
                inject: keys.inject.clone(),
            });
        };
        if let Some(agent) = team.agent(name) {
            return Ok(agent);
        }
        Err(match team.malformed().next() {
            Some(malformed) => Reason::MalformedTeam {
                team: team.name.to_string(),
                problem: malformed.to_string(),
            },
            None => Reason::AgentNotFound {
                team: team.name.to_string(),
                agent: name.to_owned(),
                key: key.to_owned(),
                agent_key: keys.agent.clone(),
                agents: agents(),
                inject: keys.inject.clone(),
            },
        })
    }

    /// The agent that the Pod names, whether the team has it or not.
    #[must_use]
    pub fn agent_name(&self) -> Option<&'a str> {
        self.agent.map(|(_, name)| name)
    }

    /// What a Pod that names a team which is not there is told.
    #[must_use]
    pub fn team_not_found(&self, namespace: &str, keys: &Keys) -> Reason {
        Reason::TeamNotFound {
            team: self.team.to_owned(),
            namespace: namespace.to_owned(),
            key: self.team_key.to_owned(),
            inject: keys.inject.clone(),
        }
    }
}

/// The index of the container that gets the skills.
///
/// # Errors
/// When there is none, or several and nothing tells them apart.
pub fn container(pod: &Pod<'_>, keys: &Keys) -> Result<usize, Reason> {
    let containers = pod.containers();
    let named = |name: &str| {
        containers
            .iter()
            .position(|container| container.name == name)
    };
    let all = || {
        containers
            .iter()
            .map(|container| container.name.to_string())
            .collect()
    };
    if containers.is_empty() {
        return Err(Reason::NoContainers);
    }
    if let Some(name) = pod.annotation(&keys.container) {
        return named(&name).ok_or_else(|| Reason::ContainerNotFound {
            key: keys.container.clone(),
            container: name.into_owned(),
            containers: all(),
        });
    }
    let by_default = || named(&pod.annotation(DEFAULT_CONTAINER_ANNOTATION)?);
    let only = || (containers.len() == 1).then_some(0);
    // A webhook that ran after us may have added a container since we chose.
    let chosen_before = || {
        let mut equipped = containers
            .iter()
            .enumerate()
            .filter(|(_, found)| has_skills(found));
        equipped
            .next()
            .filter(|_| equipped.next().is_none())
            .map(|(index, _)| index)
    };
    named(AGENT_CONTAINER)
        .or_else(by_default)
        .or_else(only)
        .or_else(chosen_before)
        .ok_or_else(|| Reason::AmbiguousContainer {
            key: keys.container.clone(),
            containers: all(),
        })
}

fn has_skills(container: &Container<'_>) -> bool {
    let is_skill = |path: &str| {
        path.strip_prefix(SKILLS_PATH)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    container
        .mounts()
        .any(|mount| is_skill(mount.mount_path) && mount.name.starts_with(VOLUME_PREFIX))
}
