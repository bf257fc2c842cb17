//! What becomes of the Pod.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, KeyToPath,
    LocalObjectReference, Pod, ResourceRequirements, SeccompProfile, SecretVolumeSource,
    SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::{Deserialize, Serialize};

const GROUP: &str = "kagents.dev";

#[derive(Deserialize)]
pub struct Team {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    image_pull_secrets: Vec<LocalObjectReference>,
    #[serde(default)]
    skills: Vec<Skill>,
    #[serde(default)]
    teammates: Vec<Agent>,
}

#[derive(Deserialize)]
struct Agent {
    name: String,
    #[serde(default)]
    skills: Vec<Skill>,
}

#[derive(Deserialize)]
struct Skill {
    name: String,
    source: Source,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    config_map: Option<String>,
    oci: Option<String>,
}

#[derive(Serialize)]
struct Record<'a> {
    team: &'a str,
    agent: &'a str,
    generation: i64,
    delivery: &'static str,
    skills: Vec<Injected<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Injected<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    config_map: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oci: Option<&'a str>,
}

impl Team {
    pub fn key(&self) -> (String, String) {
        (self.metadata.namespace.clone(), self.metadata.name.clone())
    }
}

pub fn inject(
    pod: &mut Pod,
    teams: &HashMap<(String, String), Team>,
    namespace: &str,
) -> Result<(), &'static str> {
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    let label = |name: &str| {
        labels
            .get(&format!("{GROUP}/{name}"))
            .cloned()
            .unwrap_or_default()
    };
    let (team, agent) = (label("agent-team"), label("agent"));
    let team = teams
        .get(&(namespace.to_owned(), team))
        .ok_or("there is no such team")?;
    let own = team
        .spec
        .teammates
        .iter()
        .find(|mate| mate.name == agent)
        .ok_or("there is no such agent")?;
    let skills: Vec<&Skill> = team.spec.skills.iter().chain(&own.skills).collect();

    let spec = pod.spec.as_mut().ok_or("the Pod has no spec")?;
    let container = spec
        .containers
        .iter_mut()
        .find(|found| found.name == "claude-code")
        .ok_or("there is no container claude-code")?;
    let users = [
        container
            .security_context
            .as_ref()
            .and_then(|context| context.run_as_user),
        spec.security_context
            .as_ref()
            .and_then(|context| context.run_as_user),
    ];
    let user = users
        .into_iter()
        .flatten()
        .next()
        .filter(|&user| user > 0)
        .unwrap_or(65532);
    let volumes = spec.volumes.get_or_insert_default();
    let mounts = container.volume_mounts.get_or_insert_default();
    let mut pullers = Vec::new();
    for skill in &skills {
        let volume = format!("skill-{}", skill.name);
        mounts.push(mount(
            &volume,
            &format!("/var/claude-skills/{}", skill.name),
            true,
        ));
        if let Some(name) = &skill.source.config_map {
            let source = ConfigMapVolumeSource {
                name: name.clone(),
                ..Default::default()
            };
            volumes.push(Volume {
                name: volume,
                config_map: Some(source),
                ..Default::default()
            });
        } else if let Some(reference) = &skill.source.oci {
            volumes.push(empty_dir(&volume, "64Mi"));
            pullers.push(puller(
                &volume,
                reference,
                user,
                !team.spec.image_pull_secrets.is_empty(),
            ));
        }
    }
    if !pullers.is_empty() {
        volumes.push(empty_dir("pull-skills-tmp", "64Mi"));
        volumes.push(empty_dir("pull-skills-no-token", "1Mi"));
        for secret in &team.spec.image_pull_secrets {
            let items = vec![KeyToPath {
                key: ".dockerconfigjson".into(),
                path: "config.json".into(),
                ..Default::default()
            }];
            let source = SecretVolumeSource {
                secret_name: Some(secret.name.clone()),
                items: Some(items),
                ..Default::default()
            };
            volumes.push(Volume {
                name: "skill-auth".into(),
                secret: Some(source),
                ..Default::default()
            });
        }
        spec.image_pull_secrets
            .get_or_insert_default()
            .extend(team.spec.image_pull_secrets.iter().cloned());
        spec.init_containers
            .get_or_insert_default()
            .splice(0..0, pullers);
    }
    let record = Record {
        team: &team.metadata.name,
        agent: &agent,
        generation: 0,
        delivery: "oras",
        skills: skills
            .iter()
            .map(|skill| Injected {
                name: &skill.name,
                config_map: skill.source.config_map.as_deref(),
                oci: skill.source.oci.as_deref(),
            })
            .collect(),
    };
    let text = serde_json::to_string(&record).map_err(|_| "the record cannot be written")?;
    pod.metadata
        .annotations
        .get_or_insert_default()
        .insert(format!("{GROUP}/skills"), text);
    Ok(())
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..Default::default()
    }
}

fn empty_dir(name: &str, limit: &str) -> Volume {
    let source = EmptyDirVolumeSource {
        size_limit: Some(Quantity(limit.into())),
        ..Default::default()
    };
    Volume {
        name: name.into(),
        empty_dir: Some(source),
        ..Default::default()
    }
}

fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: Some(value.into()),
        value_from: None,
    }
}

fn puller(volume: &str, reference: &str, user: i64, with_credentials: bool) -> Container {
    let quantities = |cpu: &str, memory: &str| {
        let pairs = [("cpu", cpu), ("memory", memory)];
        Some(
            pairs
                .map(|(name, amount)| (name.to_owned(), Quantity(amount.into())))
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
        )
    };
    let mut variables = vec![variable("TMPDIR", "/tmp")];
    let mut mounts = vec![
        mount(volume, "/skill-out", false),
        mount("pull-skills-tmp", "/tmp", false),
        mount(
            "pull-skills-no-token",
            "/var/run/secrets/kubernetes.io/serviceaccount",
            true,
        ),
    ];
    if with_credentials {
        variables.push(variable("DOCKER_CONFIG", "/auth/.docker"));
        mounts.push(mount("skill-auth", "/auth/.docker", true));
    }
    Container {
        name: format!("pull-{volume}"),
        image: Some("ghcr.io/oras-project/oras:v1.2.0".into()),
        command: Some(
            [
                "oras",
                "pull",
                "--no-tty",
                "--output",
                "/skill-out",
                reference,
            ]
            .map(Into::into)
            .into(),
        ),
        env: Some(variables),
        resources: Some(ResourceRequirements {
            requests: quantities("10m", "32Mi"),
            limits: quantities("1", "256Mi"),
            ..Default::default()
        }),
        security_context: Some(SecurityContext {
            run_as_user: Some(user),
            run_as_non_root: Some(true),
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                add: None,
                drop: Some(vec!["ALL".into()]),
            }),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                localhost_profile: None,
            }),
            ..Default::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some(mounts),
        ..Default::default()
    }
}
