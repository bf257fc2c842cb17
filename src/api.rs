//! The Kubernetes API that this crate reads: the `AgentTeam` resource and the keys that Pods carry.
//!
//! [`AgentTeamSpec`] is the source of the `CustomResourceDefinition` in `manifests/`. It names only the fields that this
//! crate reads: everything else that an operator keeps in an `AgentTeam` is neither required nor dropped. What is in a
//! cluster is read by [`Team`](crate::team::Team), for the definition there may be another.

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    CustomResource, CustomResourceExt, KubeSchema,
    core::{ApiResource, GroupVersionKind},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The API group that `AgentTeam` lives in unless `--api-group` names another.
pub const DEFAULT_GROUP: &str = "kagents.dev";

/// The only version of the API.
pub const VERSION: &str = "v1alpha1";

/// The kind of a team.
pub const KIND: &str = "AgentTeam";

/// The resource that teams are.
pub const PLURAL: &str = "agentteams";

/// The agent that `spec.lead` describes.
pub const LEAD: &str = "lead";

/// Said of a skill with no source or with two, by the CRD, the webhook and the controller alike.
pub const EXACTLY_ONE_SOURCE: &str = "skill source must set exactly one of configMap or oci";

/// A team of agents, as far as skills are concerned.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, Deserialize, Serialize)]
#[kube(
    group = "kagents.dev",
    version = "v1alpha1",
    kind = "AgentTeam",
    plural = "agentteams",
    namespaced,
    status = "AgentTeamStatus",
    doc = "A team of agents, and which skills each of them has.",
    printcolumn = r#"{"name":"Skills Valid","type":"string","jsonPath":".status.conditions[?(@.type==\"SkillsValid\")].status"}"#,
    printcolumn = r#"{"name":"Skills Delivered","type":"string","jsonPath":".status.conditions[?(@.type==\"SkillsDelivered\")].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
// Both bind the shared names to a variable, for the API server bounds what a rule may cost.
#[x_kube(validation = Rule::new(
    "!has(self.skills) || !has(self.lead) || !has(self.lead.skills) || \
     [self.skills.map(shared, shared.name)].all(names, self.lead.skills.all(own, !(own.name in names)))"
).message("a skill of spec.lead must not have the name of a skill of spec.skills"))]
#[x_kube(validation = Rule::new(
    "!has(self.skills) || !has(self.teammates) || [self.skills.map(shared, shared.name)].all(names, \
     self.teammates.all(agent, !has(agent.skills) || agent.skills.all(own, !(own.name in names))))"
).message("a skill of a teammate must not have the name of a skill of spec.skills"))]
pub struct AgentTeamSpec {
    /// Secrets of type `kubernetes.io/dockerconfigjson` in the team's namespace. They are added to the Pod's own
    /// `imagePullSecrets`, and every one of them is offered to the registries that skills are pulled from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<SecretReference>,

    /// Skills that every agent of the team has, in addition to its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub skills: Vec<SkillSpec>,

    /// The agent named `lead`.
    pub lead: Option<LeadSpec>,

    /// The other agents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub teammates: Vec<TeammateSpec>,
}

/// The agent named `lead`.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct LeadSpec {
    /// The skills that only this agent has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub skills: Vec<SkillSpec>,
}

/// An agent other than the lead.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[x_kube(validation = Rule::new("self.name != 'lead'").message("a teammate must not be named lead: that is the agent of spec.lead"))]
pub struct TeammateSpec {
    /// What a Pod's agent label names: a-z, 0-9 and `-`, unique in the team, not `lead`.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    )]
    pub name: String,

    /// The skills that only this agent has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub skills: Vec<SkillSpec>,
}

/// A skill: a directory with a `SKILL.md`, mounted at `/var/claude-skills/{name}`.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct SkillSpec {
    /// The name of the skill's directory: 1 to 64 of a-z, 0-9 and `-`, unique among the agent's skills.
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    )]
    pub name: String,

    /// Where the skill comes from.
    pub source: SkillSource,
}

/// Where a skill comes from: exactly one of the two. An empty string counts as not set.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[x_kube(validation = Rule::new(
    "(has(self.configMap) && self.configMap != '') != (has(self.oci) && self.oci != '')"
).message("skill source must set exactly one of configMap or oci"))]
pub struct SkillSource {
    /// A `ConfigMap` in the team's namespace; each of its keys becomes a file.
    #[schemars(length(max = 253))]
    pub config_map: Option<String>,

    /// An OCI artifact with its registry host, `ghcr.io/org/skills/web-research:v1` or `…@sha256:…`.
    #[schemars(length(max = 512))]
    pub oci: Option<String>,
}

/// A Secret in the team's namespace.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct SecretReference {
    /// The name of the Secret.
    #[schemars(length(max = 253))]
    pub name: String,
}

/// What became of the team's skills.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
pub struct AgentTeamStatus {
    /// `SkillsValid` and `SkillsDelivered`, beside the conditions of other controllers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// An API group: where `AgentTeam` lives, and the prefix of every label and annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group(String);

/// Why a text is not an API group.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not an API group: give a DNS name such as {DEFAULT_GROUP}")]
pub struct InvalidGroup(String);

impl std::str::FromStr for Group {
    type Err = InvalidGroup;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('.') && crate::names::is_dns_subdomain(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidGroup(text.to_owned()))
        }
    }
}

impl std::fmt::Display for Group {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Default for Group {
    fn default() -> Self {
        Self(DEFAULT_GROUP.to_owned())
    }
}

impl Group {
    /// What a client needs to know to read the teams of this group.
    #[must_use]
    pub fn resource(&self) -> ApiResource {
        let kind = GroupVersionKind::gvk(&self.0, VERSION, KIND);
        ApiResource::from_gvk_with_plural(&kind, PLURAL)
    }

    /// The definition of `AgentTeam` in this group.
    #[must_use]
    pub fn definition(&self) -> CustomResourceDefinition {
        let mut definition = AgentTeam::crd();
        definition.metadata.name = Some(format!("{PLURAL}.{}", self.0));
        definition.spec.group.clone_from(&self.0);
        definition
    }
}

/// Every label and annotation that has a meaning, for one [`Group`].
#[derive(Clone, Debug)]
pub struct Keys {
    /// Label: the team, on workloads that people write.
    pub agent_team: String,
    /// Label: the team, on Pods that the original operator makes.
    pub team: String,
    /// Label: the agent.
    pub agent: String,
    /// Label: `lead` says which agent it is, any other value says nothing.
    pub role: String,
    /// Label: `false` opts a Pod out.
    pub inject: String,
    /// Annotation on a Pod or a team: the delivery mode.
    pub delivery: String,
    /// Annotation on a team: the `ConfigMap` with the public keys of which one must have signed its OCI skills.
    pub verify_key: String,
    /// Annotation: the container that gets the skills.
    pub container: String,
    /// Annotation: what was injected, written by us and never read for a decision.
    pub skills: String,
}

/// Label: what the original operator calls the agent.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";

/// Annotation: the container that `kubectl logs` and `kubectl exec` choose.
pub const DEFAULT_CONTAINER_ANNOTATION: &str = "kubectl.kubernetes.io/default-container";

/// Annotation: on the API server's picture of a static Pod.
pub const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

impl Keys {
    /// The keys of `group`.
    #[must_use]
    pub fn of(group: &Group) -> Self {
        let key = |name: &str| format!("{group}/{name}");
        Self {
            agent_team: key("agent-team"),
            team: key("team"),
            agent: key("agent"),
            role: key("role"),
            inject: key("inject"),
            delivery: key("skill-delivery"),
            verify_key: key("skill-verify-key"),
            container: key("skill-container"),
            skills: key("skills"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_a_dns_name() {
        assert!("kagents.dev".parse::<Group>().is_ok());
        for bad in [
            "",
            "kagents",
            "Kagents.dev",
            "kagents.dev/",
            "kagents..dev",
            "-a.b",
        ] {
            assert!(bad.parse::<Group>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_definition_follows_the_group() {
        let group: Group = "claude.amcheste.io".parse().unwrap();
        let definition = group.definition();
        assert_eq!(
            definition.metadata.name.as_deref(),
            Some("agentteams.claude.amcheste.io")
        );
        assert_eq!(definition.spec.group, "claude.amcheste.io");
        assert_eq!(group.resource().api_version, "claude.amcheste.io/v1alpha1");
    }
}
