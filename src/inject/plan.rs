//! What of an agent's skills a Pod has already, and what is missing.

use serde_json::{Value, json};

use super::Injected;
use super::naming::Names;
use super::pod::{Container, Pod};
use super::reason::Reason;
use super::settings::Settings;
use crate::skill::{Reference, Skill, Source};

/// Where the skills of an agent are mounted.
pub const SKILLS_PATH: &str = "/var/claude-skills";

/// A skill, and the parts of it that the Pod lacks.
pub(super) struct Planned<'a> {
    pub(super) skill: &'a Skill,
    pub(super) volume: Option<Value>,
    pub(super) mount: Option<Value>,
    pub(super) puller: Option<PlannedPuller<'a>>,
    /// Whether the Pod has parts of its own under our names that are not what we would have added.
    pub(super) kept: Option<Kept>,
}

/// A puller that the Pod lacks.
pub(super) struct PlannedPuller<'a> {
    pub(super) name: String,
    pub(super) volume: String,
    pub(super) reference: &'a Reference,
}

/// A part that is in the Pod under our name, and stays as it is.
pub(super) enum Kept {
    Puller(String),
    ConfigMap(String),
}

impl Planned<'_> {
    /// Whether there is nothing to add.
    pub(super) fn is_complete(&self) -> bool {
        self.volume.is_none() && self.mount.is_none() && self.puller.is_none()
    }

    /// What the record in the Pod's annotation says of the skill.
    pub(super) fn record(&self) -> Injected<'_> {
        let name = self.skill.name.as_str();
        let (config_map, oci) = match &self.skill.source {
            _ if self.kept.is_some() => (None, None),
            Source::ConfigMap(name) => (Some(name.as_str()), None),
            Source::Oci(reference) => (None, Some(reference.as_str())),
        };
        Injected {
            name,
            config_map,
            oci,
            kept: self.kept.is_some(),
        }
    }
}

/// Plans one skill.
pub(super) fn plan<'a>(
    pod: &Pod<'_>,
    agent: &Container<'_>,
    skill: &'a Skill,
    names: &mut Names,
    settings: &Settings,
) -> Result<Planned<'a>, Reason> {
    let volume_name = names.volume(skill.name.as_str());
    let mount = mount(agent, skill, &volume_name)?;
    let mut planned = Planned {
        skill,
        volume: None,
        mount,
        puller: None,
        kept: None,
    };
    match &skill.source {
        Source::ConfigMap(config_map) => {
            if let Some(found) = existing_volume(pod, &volume_name, "configMap")? {
                if found.config_map.as_deref() != Some(config_map.as_str()) {
                    planned.kept = Some(Kept::ConfigMap(volume_name));
                }
            } else {
                planned.volume =
                    Some(json!({"name": volume_name, "configMap": {"name": config_map.as_str()}}));
            }
        }
        Source::Oci(reference) => {
            let puller_name = names.puller(skill.name.as_str());
            if existing_volume(pod, &volume_name, "emptyDir")?.is_none() {
                let source = json!({"sizeLimit": settings.puller.size_limit.as_str()});
                planned.volume = Some(json!({"name": volume_name, "emptyDir": source}));
            }
            if let Some(found) = pod
                .init_containers()
                .iter()
                .find(|found| *found.name == puller_name)
            {
                let ours = found.image.as_deref() == Some(settings.puller.image.as_str())
                    && found.runs_with(reference.as_str());
                planned.kept = (!ours).then_some(Kept::Puller(puller_name));
            } else {
                settings.registries.check(&skill.name, reference)?;
                planned.puller = Some(PlannedPuller {
                    name: puller_name,
                    volume: volume_name,
                    reference,
                });
            }
        }
    }
    Ok(planned)
}

/// The volume `name` of the Pod, which must be of kind `needed` where there is one.
pub(super) fn existing_volume<'p, 'a>(
    pod: &'p Pod<'a>,
    name: &str,
    needed: &'static str,
) -> Result<Option<&'p super::pod::Volume<'a>>, Reason> {
    match pod.volume(name) {
        Some(found) if *found.kind != *needed => Err(Reason::VolumeConflict {
            volume: name.to_owned(),
            found: found.kind.to_string(),
            needed,
        }),
        found => Ok(found),
    }
}

/// The skill's mount, if the agent's container lacks it.
fn mount(agent: &Container<'_>, skill: &Skill, volume: &str) -> Result<Option<Value>, Reason> {
    let path = format!("{SKILLS_PATH}/{}", skill.name);
    let mut in_the_way = None;
    for mount in agent.mounts() {
        let mounted = normalized(&mount.mount_path);
        if mounted == path && &*mount.name == volume {
            return Ok(None);
        }
        if is_at_or_below(&mounted, &path) {
            in_the_way.get_or_insert(mount);
        }
    }
    match in_the_way {
        Some(mount) => Err(Reason::MountConflict {
            container: agent.name.to_string(),
            volume: mount.name.to_string(),
            mounted: mount.mount_path.to_string(),
            path,
            skill: skill.name.to_string(),
        }),
        None => Ok(Some(
            json!({"name": volume, "mountPath": path, "readOnly": true}),
        )),
    }
}

/// The path that a container sees: without `//`, `.`, `..` and a slash at the end.
fn normalized(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn is_at_or_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_compared_as_a_container_sees_them() {
        for path in ["/a/b", "/a/b/", "/a//b", "//a/./b", "/a/c/../b", "a/b"] {
            assert_eq!(normalized(path), "/a/b", "{path}");
        }
        assert_eq!(normalized("/"), "/");
        assert!(is_at_or_below("/a/b", "/a/b"));
        assert!(is_at_or_below("/a/b/c", "/a/b"));
        assert!(!is_at_or_below("/a/bc", "/a/b"));
        assert!(!is_at_or_below("/a", "/a/b"));
    }
}
