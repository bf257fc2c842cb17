//! A Pod and its team in, a JSON patch or a [`Reason`] out.
//!
//! This is the product's heart, and pure: no I/O, no clock, no client, no async. The webhook and the command line call
//! the same two functions:
//!
//! 1. [`Target::of`] reads from the Pod's labels which team it names, so that the caller can look the team up;
//! 2. [`inject`] makes the patch.
//!
//! The Pod is only ever read, through the borrowed view in [`pod`]; the patch is made for the JSON that came. Every
//! operation adds, so fields that this crate does not know survive, and a Pod that has its skills gets an empty patch.

pub mod delivery;
mod fresh;
mod naming;
pub mod patch;
mod plan;
pub mod pod;
mod puller;
pub mod reason;
pub mod registry;
pub mod settings;
pub mod target;
pub mod verify_key;
pub mod version;

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::api::Keys;
use crate::names::Listed;
use crate::skill::{ObjectName, SkillName, Source};
use crate::team::{Agent, Team};
use delivery::Delivery;
use naming::Names;
use patch::Patch;
use plan::{Kept, Planned, Planner, existing_volume};
use pod::Pod;
use puller::Pullers;
use settings::Means;
use verify_key::VerifyKey;

pub use fresh::Fresh;
pub use naming::is_skills_puller;
pub use plan::SKILLS_PATH;
pub use reason::Reason;
pub use settings::Settings;
pub use target::Target;
pub use version::ServerVersion;

/// What a Pod gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Injection {
    /// The patch; empty where the Pod has all its skills, or its agent has none.
    pub patch: Patch,
    /// The agent.
    pub agent: String,
    /// The container that gets the skills.
    pub container: String,
    /// The skills that something was added for.
    pub skills: Vec<String>,
    /// What the person who made the Pod should know.
    pub warnings: Vec<String>,
}

/// The value of the annotation that tells people what was injected.
#[derive(Debug, Serialize)]
struct Record<'a> {
    team: &'a str,
    agent: &'a str,
    generation: i64,
    delivery: Delivery,
    skills: Vec<Injected<'a>>,
}

/// A skill in a [`Record`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Injected<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_map: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oci: Option<&'a str>,
    /// How this OCI skill is delivered, where that is not how the Pod's others are.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<Delivery>,
    /// The Pod's own parts under this skill's names were left as they are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    kept: bool,
}

/// Makes the patch that gives `pod` the skills of the agent that `target` names in `team`.
///
/// `server` is the version of the API server, where it is known; what depends on it is left out otherwise.
///
/// # Errors
/// A [`Reason`] when the Pod cannot be given all of its skills. Nothing is ever half done.
pub fn inject(
    pod: &Pod<'_>,
    target: &Target<'_>,
    team: &Team,
    settings: &Settings,
    server: Option<ServerVersion>,
) -> Result<Injection, Reason> {
    let keys = &settings.keys;
    if pod.is_windows() {
        return Err(Reason::WindowsPod {
            inject: keys.inject.clone(),
        });
    }
    if team.deleting {
        return Err(Reason::TeamDeleting {
            team: team.name.to_string(),
            inject: keys.inject.clone(),
        });
    }
    let agent = target.agent(team, keys)?;
    let delivery = Delivery::choose(pod, team, keys, settings.delivery)?;
    let verify_key = VerifyKey::of_team(team, keys)?;
    let verify_key = verify_key.as_ref();
    let index = target::container(pod, keys)?;
    let Some(container) = pod.containers().get(index) else {
        return Err(Reason::NoContainers);
    };

    let planner = Planner {
        pod,
        agent: container,
        settings,
        delivery,
        verify_key,
    };
    let skills = plan_all(&planner, team, agent)?;
    let pulls: Vec<_> = skills
        .iter()
        .filter_map(|skill| skill.pull.as_ref())
        .collect();
    let mut volumes: Vec<_> = skills
        .iter()
        .filter_map(|skill| skill.volume.clone())
        .collect();
    let (mut pull_secrets, mut init_containers) = (Vec::new(), Vec::new());
    if !pulls.is_empty() {
        let means = settings.means(delivery, server)?;
        pull_secrets = pull_secrets_of(team)?;
        let pullers = Pullers::new(
            pod,
            container,
            &settings.puller,
            &pull_secrets,
            verify_key,
            server,
        );
        let shared;
        (init_containers, shared) = match means {
            Means::Oras => {
                let containers = pulls.iter().map(|pull| pullers.oras(pull));
                (containers.collect(), pullers.volumes(1))
            }
            Means::Puller(image) => {
                let container = pullers.own(pod, image, &pulls);
                (vec![container], pullers.volumes(pulls.len()))
            }
            Means::Image => (Vec::new(), Vec::new()),
        };
        for volume in shared {
            if existing_volume(pod, volume.name, volume.kind)?.is_none() {
                volumes.push(json!({"name": volume.name, (volume.kind): volume.source}));
            }
        }
    }

    let mut patch = Patch::default();
    patch.append(&["spec", "volumes"], pod.spec.volumes.is_some(), volumes);
    let mounts = skills
        .iter()
        .filter_map(|skill| skill.mount.clone())
        .collect();
    let mounts_path = ["spec", "containers", &index.to_string(), "volumeMounts"];
    patch.append(&mounts_path, container.volume_mounts.is_some(), mounts);
    let has_init_containers = pod.spec.init_containers.is_some();
    patch.insert(
        &["spec", "initContainers"],
        has_init_containers,
        first_puller_index(pod),
        init_containers,
    );
    append_pull_secrets(&mut patch, pod, &pull_secrets);
    record(&mut patch, pod, team, agent, delivery, &skills, keys);

    Ok(Injection {
        patch,
        agent: agent.name.to_string(),
        container: container.name.to_string(),
        skills: skills
            .iter()
            .filter(|skill| !skill.is_complete())
            .map(|skill| skill.skill.name.to_string())
            .collect(),
        warnings: warnings(pod, team, delivery, &skills, keys),
    })
}

/// Plans every skill of an agent.
fn plan_all<'t>(
    planner: &Planner<'_, '_>,
    team: &Team,
    agent: &'t Agent,
) -> Result<Vec<Planned<'t>>, Reason> {
    let mut names = Names::default();
    let plans = agent.skills().map(|skill| {
        let skill = skill.as_ref().map_err(|problem| Reason::InvalidSkill {
            team: team.name.to_string(),
            agent: agent.name.to_string(),
            problem: problem.clone(),
        })?;
        planner.plan(skill, &mut names)
    });
    plans.collect()
}

/// The skill that each init container of ours pulls, by the container's name.
#[must_use]
pub fn pullers_of(agent: &Agent) -> HashMap<String, &SkillName> {
    let mut names = Names::default();
    let mut pullers = HashMap::new();
    for skill in agent.skills().flatten() {
        names.volume(skill.name.as_str());
        if matches!(skill.source, Source::Oci(_)) {
            pullers.insert(names.puller(skill.name.as_str()), &skill.name);
        }
    }
    pullers
}

fn pull_secrets_of(team: &Team) -> Result<Vec<&ObjectName>, Reason> {
    let valid = team.pull_secrets.iter().map(Result::as_ref);
    valid
        .collect::<Result<_, _>>()
        .map_err(|problem| Reason::InvalidPullSecret {
            team: team.name.to_string(),
            problem: problem.clone(),
        })
}

/// Pullers come after the last native sidecar, which may be the Pod's way to the network, and before everything else.
fn first_puller_index(pod: &Pod<'_>) -> usize {
    pod.init_containers()
        .iter()
        .rposition(pod::Container::is_sidecar)
        .map_or(0, |last| last + 1)
}

fn append_pull_secrets(patch: &mut Patch, pod: &Pod<'_>, pull_secrets: &[&ObjectName]) {
    let present = pod.spec.image_pull_secrets.as_deref();
    let is_present = |name: &str| {
        present
            .unwrap_or_default()
            .iter()
            .any(|secret| secret.name == Some(name))
    };
    let missing = pull_secrets
        .iter()
        .map(|secret| secret.as_str())
        .filter(|name| !is_present(name));
    patch.append(
        &["spec", "imagePullSecrets"],
        present.is_some(),
        missing.map(|name| json!({"name": name})).collect(),
    );
}

/// Writes down what the Pod has, where something was added or where an annotation says otherwise.
fn record(
    patch: &mut Patch,
    pod: &Pod<'_>,
    team: &Team,
    agent: &Agent,
    delivery: Delivery,
    skills: &[Planned<'_>],
    keys: &Keys,
) {
    let found = pod.annotation(&keys.skills);
    if patch.is_empty() && found.is_none() {
        return;
    }
    let record = Record {
        team: &team.name,
        agent: &agent.name,
        generation: team.generation,
        delivery,
        skills: skills.iter().map(|skill| skill.record(delivery)).collect(),
    };
    // Serializing strings, a number and a list into memory has no way to fail.
    let text = serde_json::to_string(&record).unwrap_or_default();
    if found.as_deref() == Some(text.as_str()) {
        return;
    }
    if pod.metadata.annotations.is_some() {
        patch.set(
            &["metadata", "annotations", &keys.skills],
            Value::String(text),
        );
    } else {
        patch.set(&["metadata", "annotations"], json!({(&keys.skills): text}));
    }
}

fn warnings(
    pod: &Pod<'_>,
    team: &Team,
    delivery: Delivery,
    skills: &[Planned<'_>],
    keys: &Keys,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for skill in skills {
        let name = &skill.skill.name;
        match &skill.kept {
            Some(Kept::Puller(puller)) => warnings.push(format!(
                "skill {name}: init container {puller} is in the Pod already and is kept, with another image or \
                 reference than AgentTeam {} asks for",
                team.name
            )),
            Some(Kept::ConfigMap(volume)) => warnings.push(format!(
                "skill {name}: volume {volume} is in the Pod already and is kept, with another ConfigMap than \
                 AgentTeam {} asks for",
                team.name
            )),
            Some(Kept::Image(volume)) => warnings.push(format!(
                "skill {name}: volume {volume} is in the Pod already and is kept, with another image than AgentTeam {} \
                 asks for",
                team.name
            )),
            None => {}
        }
    }
    let pulled = || skills.iter().filter_map(|skill| skill.pull.as_ref());
    let unpinned = pulled().filter(|pull| pull.reference.digest().is_none());
    let unpinned: Vec<_> = unpinned.map(|pull| pull.skill).collect();
    if !unpinned.is_empty() {
        warnings.push(format!(
            "pulled by tag, which may name something else tomorrow: {}; append @sha256:… to pin",
            Listed(unpinned.iter())
        ));
    }
    let pulls_itself = delivery != Delivery::Image && pulled().next().is_some();
    if pod.annotation(&keys.verify_key).is_some() {
        let key = &keys.verify_key;
        warnings.push(format!(
            "the annotation {key} of the Pod is not read: it counts on an AgentTeam"
        ));
    }
    if pod.spec.host_network == Some(true) && pulls_itself {
        warnings.push(
            "hostNetwork: the skill pullers reach what the node reaches, its metadata service too"
                .to_owned(),
        );
    }
    warnings
}
