//! What of an agent's skills a Pod has already, and what is missing.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::Injected;
use super::delivery::Delivery;
use super::naming::{Names, is_skills_puller};
use super::pod::{Container, Pod};
use super::reason::Reason;
use super::settings::{ImageName, Settings};
use super::verify_key::VerifyKey;
use crate::skill::{ObjectName, Reference, Skill, SkillName, Source};

/// Where the skills of an agent are mounted.
pub const SKILLS_PATH: &str = "/var/claude-skills";

/// A skill, and the parts of it that the Pod lacks.
pub(super) struct Planned<'a> {
    pub(super) skill: &'a Skill,
    pub(super) volume: Option<Value>,
    pub(super) mount: Option<Value>,
    /// How an OCI skill comes into its volume.
    pub(super) delivery: Option<Delivery>,
    /// What is to be pulled, where the Pod has nothing that does.
    pub(super) pull: Option<Pull<'a>>,
    /// Whether the Pod has parts of its own under our names that are not what we would have added.
    pub(super) kept: Option<Kept>,
}

/// An OCI skill that is to be pulled.
pub(super) struct Pull<'a> {
    pub(super) skill: &'a SkillName,
    pub(super) reference: &'a Reference,
    pub(super) volume: String,
    /// The name of an init container for this skill alone.
    pub(super) container: String,
}

/// A part that is in the Pod under our name, and stays as it is.
pub(super) enum Kept {
    Puller(String),
    ConfigMap(String),
    Image(String),
}

/// What the skills of one Pod are planned with.
pub(super) struct Planner<'p, 'a> {
    pub(super) pod: &'p Pod<'a>,
    /// The agent's container.
    pub(super) agent: &'p Container<'a>,
    pub(super) settings: &'p Settings,
    /// How those OCI skills are delivered that the Pod lacks.
    pub(super) delivery: Delivery,
    /// Where OCI skills must be signed.
    pub(super) verify_key: Option<&'p VerifyKey<'p>>,
}

/// An init container of the Pod that pulls a skill already.
struct InPlace<'p, 'a> {
    container: &'p Container<'a>,
    delivery: Delivery,
    /// Where it is not what we would have added.
    kept: Option<Kept>,
}

impl Planned<'_> {
    /// Whether there is nothing to add.
    pub(super) fn is_complete(&self) -> bool {
        self.volume.is_none() && self.mount.is_none() && self.pull.is_none()
    }

    /// What the record in the Pod's annotation says of the skill, in a Pod whose skills are delivered by `usual`.
    pub(super) fn record(&self, usual: Delivery) -> Injected<'_> {
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
            delivery: self.delivery.filter(|&delivery| delivery != usual),
            kept: self.kept.is_some(),
        }
    }
}

impl Planner<'_, '_> {
    /// Plans one skill.
    pub(super) fn plan<'s>(
        &self,
        skill: &'s Skill,
        names: &mut Names,
    ) -> Result<Planned<'s>, Reason> {
        let volume = names.volume(skill.name.as_str());
        let planned = Planned {
            skill,
            volume: None,
            mount: mount(self.agent, skill, &volume)?,
            delivery: None,
            pull: None,
            kept: None,
        };
        match &skill.source {
            Source::ConfigMap(config_map) => self.config_map(planned, volume, config_map),
            Source::Oci(reference) => {
                let container = names.puller(skill.name.as_str());
                let pull = Pull {
                    skill: &skill.name,
                    reference,
                    volume,
                    container,
                };
                self.oci(planned, pull)
            }
        }
    }

    fn config_map<'s>(
        &self,
        mut planned: Planned<'s>,
        volume: String,
        name: &ObjectName,
    ) -> Result<Planned<'s>, Reason> {
        match existing_volume(self.pod, &volume, "configMap")? {
            Some(found) if found.config_map == Some(name.as_str()) => {}
            Some(_) => planned.kept = Some(Kept::ConfigMap(volume)),
            None => {
                planned.volume =
                    Some(json!({"name": volume, "configMap": {"name": name.as_str()}}));
            }
        }
        Ok(planned)
    }

    /// What is in place is kept, whichever mode it is of; what is missing is added by the mode of the Pod.
    fn oci<'s>(&self, mut planned: Planned<'s>, pull: Pull<'s>) -> Result<Planned<'s>, Reason> {
        let found = self.pod.volume(&pull.volume);
        if let Some(found) = found.filter(|found| found.kind == "image") {
            if let Some(key) = self.verify_key {
                return Err(key.not_by(&format!("volume {}", pull.volume)));
            }
            planned.delivery = Some(Delivery::Image);
            if found.image != Some(pull.reference.as_str()) {
                planned.kept = Some(Kept::Image(pull.volume));
            }
            return Ok(planned);
        }
        if let Some(key) = self.verify_key {
            self.check_pullers(key, &pull)?;
        }
        let in_place = self.pullers_in_place(&pull).next();
        let in_place_by = in_place.as_ref().map(|found| found.delivery);
        let delivery = in_place_by.unwrap_or(self.delivery);
        planned.delivery = Some(delivery);
        let (kind, source) = match delivery {
            Delivery::Image => ("image", image(pull.reference)),
            Delivery::Oras | Delivery::Puller => {
                let limit = self.settings.puller.size_limit.as_str();
                ("emptyDir", json!({"sizeLimit": limit}))
            }
        };
        if existing_volume(self.pod, &pull.volume, kind)?.is_none() {
            planned.volume = Some(json!({"name": pull.volume, (kind): source}));
        }
        if let Some(found) = in_place {
            planned.kept = found.kept;
        } else {
            let registries = &self.settings.registries;
            registries.check(pull.skill, pull.reference)?;
            planned.pull = Some(pull);
        }
        Ok(planned)
    }

    /// Checks that whatever pulls the skill asks for a signature.
    fn check_pullers(&self, key: &VerifyKey<'_>, pull: &Pull<'_>) -> Result<(), Reason> {
        key.check_volume(self.pod)?;
        let mut in_place = self.pullers_in_place(pull).peekable();
        if in_place.peek().is_none() {
            return key.check_delivery(self.delivery);
        }
        in_place.try_for_each(|found| match found {
            InPlace {
                container,
                delivery: Delivery::Puller,
                kept: None,
            } => key.check_puller(container),
            other => Err(key.not_by(&format!("init container {}", other.container.name))),
        })
    }

    /// The init containers of the Pod that pull the skill.
    fn pullers_in_place<'s>(&'s self, pull: &Pull<'_>) -> impl Iterator<Item = InPlace<'s, 's>> {
        let settings = &self.settings.puller;
        let found = |container, delivery, is_ours: bool| InPlace {
            container,
            delivery,
            kept: (!is_ours).then(|| Kept::Puller(container.name.to_string())),
        };
        let wanted = pull.reference.as_str();
        self.pod
            .init_containers()
            .iter()
            .filter_map(move |container| {
                let image = container.image;
                if container.name == pull.container {
                    let is_ours = image == Some(settings.image.as_str())
                        && container.words().any(|word| word == wanted);
                    return Some(found(container, Delivery::Oras, is_ours));
                }
                if !is_skills_puller(container.name) {
                    return None;
                }
                let pulled = container
                    .words()
                    .find_map(|word| word.strip_prefix(pull.skill.as_str())?.strip_prefix('='))?;
                let ours = settings.webhook_image.as_ref().map(ImageName::as_str);
                let is_ours = image == ours && pulled == wanted;
                Some(found(container, Delivery::Puller, is_ours))
            })
    }
}

/// The source of an image volume. What a digest names never changes; what a tag names may.
fn image(reference: &Reference) -> Value {
    let policy = match reference.digest() {
        Some(_) => "IfNotPresent",
        None => "Always",
    };
    json!({"reference": reference.as_str(), "pullPolicy": policy})
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
        let mounted = normalized(mount.mount_path);
        if mounted == path && mount.name == volume {
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
pub(super) fn normalized(path: &str) -> Cow<'_, str> {
    let is_name = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
    let is_normal = |rest: &str| rest.as_bytes().split(|&byte| byte == b'/').all(is_name);
    if path.strip_prefix('/').is_some_and(is_normal) {
        return Cow::Borrowed(path);
    }
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
    Cow::Owned(format!("/{}", parts.join("/")))
}

pub(super) fn is_at_or_below(path: &str, root: &str) -> bool {
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
