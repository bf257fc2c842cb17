//! Why a Pod is not given its skills.
//!
//! Each reason is one variant; its name is the word that stands in the message, the log, the metric and the report of
//! the command line, and its text is the sentence that a person reads: what is wrong, where, and what to do.

use strum::{IntoStaticStr, VariantNames};
use thiserror::Error;

use super::version::{IMAGE_VOLUMES_SINCE, ServerVersion};
use crate::names::{Listed, Named, Shown};
use crate::team::{InvalidPullSecret, NamedProblem};

/// Why a Pod is denied.
#[derive(Clone, Debug, Error, IntoStaticStr, PartialEq, VariantNames)]
pub enum Reason {
    /// The Pod is not one.
    #[error("the Pod cannot be read: {0}; correct it and create it again")]
    MalformedPod(String),

    /// The Pod's own namespace is not the request's.
    #[error(
        "the Pod says namespace {}, but it is created in {}; make the two the same",
        Shown(pod),
        Shown(request)
    )]
    NamespaceMismatch {
        /// `metadata.namespace`
        pod: String,
        /// The request's namespace.
        request: String,
    },

    /// The two team labels disagree.
    #[error(
        "the labels {agent_team_key}: {} and {team_key}: {} name different AgentTeams; keep one of them",
        Shown(agent_team),
        Shown(team)
    )]
    TeamLabelsDiffer {
        /// The first label's key.
        agent_team_key: String,
        /// The first label's value.
        agent_team: String,
        /// The second label's key.
        team_key: String,
        /// The second label's value.
        team: String,
    },

    /// The team label's value cannot be a team's name.
    #[error(
        "the label {key} says {}, which cannot be the name of an AgentTeam; give the name of one in the Pod's own namespace, without the namespace",
        Shown(value)
    )]
    InvalidTeamName {
        /// The label's key.
        key: String,
        /// The label's value.
        value: String,
    },

    /// There is no such team.
    #[error(
        "there is no AgentTeam {team} in namespace {}; create it, correct the label {key}, or opt out with the label {inject}: \"false\"",
        Named(namespace)
    )]
    TeamNotFound {
        /// The team.
        team: String,
        /// Its namespace.
        namespace: String,
        /// The label that names it.
        key: String,
        /// The opt-out label's key.
        inject: String,
    },

    /// The team is not in the cache, and the API server did not answer in time.
    #[error(
        "AgentTeam {team} in namespace {} is not known yet and could not be looked up: {problem}; try again",
        Named(namespace)
    )]
    TeamLookupFailed {
        /// The team.
        team: String,
        /// Its namespace.
        namespace: String,
        /// What went wrong.
        problem: String,
    },

    /// The team is being deleted.
    #[error(
        "AgentTeam {team} is being deleted; create it anew, or opt out with the label {inject}: \"false\""
    )]
    TeamDeleting {
        /// The team.
        team: String,
        /// The opt-out label's key.
        inject: String,
    },

    /// The Pod names a team but no agent.
    #[error("the Pod names AgentTeam {team} but none of its agents; add the label {key} with one of {}, or opt out with the label {inject}: \"false\"", Listed(agents.iter()))]
    AgentNotNamed {
        /// The team.
        team: String,
        /// The agent label's key.
        key: String,
        /// The team's agents.
        agents: Vec<String>,
        /// The opt-out label's key.
        inject: String,
    },

    /// The team has no such agent.
    #[error("AgentTeam {team} has no agent {} (from the label {key}); it has {}{}; correct the label {agent_key}, or opt out with the label {inject}: \"false\"", Shown(agent), if agents.is_empty() { "none" } else { "" }, Listed(agents.iter()))]
    AgentNotFound {
        /// The team.
        team: String,
        /// The agent.
        agent: String,
        /// The label that it was taken from.
        key: String,
        /// The agent label's key.
        agent_key: String,
        /// The team's agents.
        agents: Vec<String>,
        /// The opt-out label's key.
        inject: String,
    },

    /// The team cannot be read where the agent may be.
    #[error("AgentTeam {team} cannot be read: {problem}; mend the team")]
    MalformedTeam {
        /// The team.
        team: String,
        /// What is wrong, and where.
        problem: String,
    },

    /// A skill of the agent is invalid.
    #[error("agent {agent} of AgentTeam {team}: {problem}; mend the team")]
    InvalidSkill {
        /// The team.
        team: String,
        /// The agent.
        agent: String,
        /// Which skill, and what is wrong with it.
        problem: NamedProblem,
    },

    /// A pull secret of the team has an impossible name.
    #[error("AgentTeam {team}: {problem}; mend the team")]
    InvalidPullSecret {
        /// The team.
        team: String,
        /// What is wrong.
        problem: InvalidPullSecret,
    },

    /// The registry may not be pulled from.
    #[error("skill {skill}: {reference} is not in an allowed registry{}; the allowed ones are set by --allowed-registries", if *special { ", because its host is loopback, link-local or a metadata service" } else { "" })]
    RegistryNotAllowed {
        /// The skill.
        skill: String,
        /// Its reference.
        reference: String,
        /// Whether the host needs to be named to be allowed.
        special: bool,
    },

    /// A digest is required, and there is only a tag.
    #[error(
        "skill {skill}: {reference} names a tag, but digests are required here; append @sha256:…"
    )]
    DigestRequired {
        /// The skill.
        skill: String,
        /// Its reference.
        reference: String,
    },

    /// No delivery mode has this name.
    #[error(
        "{place} says {}, which is not a delivery mode; it must be oras, puller or image",
        Shown(value)
    )]
    UnknownDelivery {
        /// Which annotation, and on what.
        place: String,
        /// Its value.
        value: String,
    },

    /// The delivery mode cannot be used with this server's settings or on this cluster.
    #[error(transparent)]
    DeliveryUnavailable(#[from] Unavailable),

    /// The team names its key by something that is no name.
    #[error(
        "the annotation {key} of AgentTeam {team} says {}, which is not the name of a ConfigMap; name the one that has the public key as cosign.pub",
        Shown(value)
    )]
    InvalidVerifyKey {
        /// The annotation's key.
        key: String,
        /// The team.
        team: String,
        /// Its value.
        value: String,
    },

    /// Something that does not check signatures would deliver skills that must be signed.
    #[error(
        "AgentTeam {team} asks by the annotation {key} for signatures to be checked, and {problem}; {remedy}"
    )]
    SignaturesUnchecked {
        /// The team.
        team: String,
        /// The key of the annotation that asks for it.
        key: String,
        /// What does not check them.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },

    /// The Pod has no containers.
    #[error("the Pod has no containers, so none can get skills; add one to spec.containers")]
    NoContainers,

    /// The annotation names a container that is not there.
    #[error("the annotation {key} names container {}, but the Pod has {}; correct the annotation", Shown(container), Listed(containers.iter().map(|name| Named(name))))]
    ContainerNotFound {
        /// The annotation's key.
        key: String,
        /// The container it names.
        container: String,
        /// The Pod's containers.
        containers: Vec<String>,
    },

    /// Several containers could be the agent's.
    #[error("the Pod has the containers {} and it is not said which of them is the agent's; name it with the annotation {key}", Listed(containers.iter().map(|name| Named(name))))]
    AmbiguousContainer {
        /// The annotation's key.
        key: String,
        /// The Pod's containers.
        containers: Vec<String>,
    },

    /// The Pod runs on Windows.
    #[error(
        "the Pod runs on Windows, where skills cannot be delivered; opt out with the label {inject}: \"false\""
    )]
    WindowsPod {
        /// The opt-out label's key.
        inject: String,
    },

    /// A volume has our name and another kind of source.
    #[error(
        "the Pod has a volume {volume} of kind {}, where skills need one of kind {needed}; rename the Pod's volume",
        Shown(found)
    )]
    VolumeConflict {
        /// The volume's name.
        volume: String,
        /// The kind of its source.
        found: String,
        /// The kind that is needed.
        needed: &'static str,
    },

    /// Something is mounted where a skill goes.
    #[error(
        "container {} has volume {} mounted at {}, at or below {path}, where skill {skill} goes; mount it elsewhere",
        Named(container),
        Shown(volume),
        Shown(mounted)
    )]
    MountConflict {
        /// The agent's container.
        container: String,
        /// The volume in the way.
        volume: String,
        /// Where it is mounted.
        mounted: String,
        /// Where the skill goes.
        path: String,
        /// The skill.
        skill: String,
    },
}

/// Why a mode cannot deliver here.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unavailable {
    /// Nobody said which image the puller is in.
    #[error(
        "delivery puller needs the image of agentteam-webhook itself, which this server was not told; set --webhook-image, or use oras"
    )]
    NoWebhookImage,
    /// The cluster cannot mount images.
    #[error(
        "delivery image needs Kubernetes {IMAGE_VOLUMES_SINCE} or newer, and this cluster has {0}; use puller or oras"
    )]
    OldServer(ServerVersion),
    /// The cluster may not be able to mount images.
    #[error(
        "delivery image needs Kubernetes {IMAGE_VOLUMES_SINCE} or newer, and the version of the API server is not known; set --server-version, or use puller or oras"
    )]
    UnknownServer,
}

impl Reason {
    /// The word for this reason.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.into()
    }

    /// The HTTP status code that the API server gives its client.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::MalformedPod(_) | Self::NamespaceMismatch { .. } => 400,
            Self::RegistryNotAllowed { .. } => 403,
            Self::VolumeConflict { .. } => 409,
            Self::TeamLookupFailed { .. } => 503,
            _ => 422,
        }
    }

    /// Whether a newer picture of the team could change the answer.
    #[must_use]
    pub fn depends_on_team(&self) -> bool {
        matches!(
            self,
            Self::TeamNotFound { .. }
                | Self::TeamDeleting { .. }
                | Self::AgentNotNamed { .. }
                | Self::AgentNotFound { .. }
                | Self::MalformedTeam { .. }
                | Self::InvalidSkill { .. }
                | Self::InvalidPullSecret { .. }
                | Self::RegistryNotAllowed { .. }
                | Self::DigestRequired { .. }
                | Self::UnknownDelivery { .. }
                | Self::DeliveryUnavailable(_)
                | Self::InvalidVerifyKey { .. }
                | Self::SignaturesUnchecked { .. }
                | Self::VolumeConflict { .. }
                | Self::MountConflict { .. }
        )
    }
}
