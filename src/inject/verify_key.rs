//! Teams whose OCI skills must be signed: nothing but a puller that checks it delivers them.
//!
//! Only the team says so. A Pod can choose how its skills are delivered, and be denied for it, but not that nobody checks
//! them: parts that are in it already count only where they are what we would have added.

use super::delivery::Delivery;
use super::naming::KEY_VOLUME;
use super::plan::{is_at_or_below, normalized};
use super::pod::{Container, Pod};
use super::reason::Reason;
use crate::api::Keys;
use crate::skill::ObjectName;
use crate::team::Team;

/// The flag of the puller that asks for a signature.
pub(super) const FLAG: &str = "--verify-key";

/// Where the `ConfigMap` is mounted in the puller, below a directory of its own name: a message with the path names it.
const DIRECTORY: &str = "/etc/agentteam-webhook/verify-key";

/// The key in the `ConfigMap` that has the public keys.
const FILE: &str = "cosign.pub";

/// What a team asks for: that its OCI skills are signed by a key in a `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyKey<'a> {
    /// The `ConfigMap`, in the Pod's namespace.
    pub config_map: ObjectName,
    team: &'a str,
    annotation: &'a str,
}

impl<'a> VerifyKey<'a> {
    /// What the team's annotation asks for, if it has one.
    ///
    /// # Errors
    /// When it names nothing that could be a `ConfigMap`.
    pub fn of_team(team: &'a Team, keys: &'a Keys) -> Result<Option<Self>, Reason> {
        let Some(value) = team.verify_key.as_deref() else {
            return Ok(None);
        };
        match ObjectName::parse(value) {
            Some(config_map) => Ok(Some(Self {
                config_map,
                team: &team.name,
                annotation: &keys.verify_key,
            })),
            None => Err(Reason::InvalidVerifyKey {
                key: keys.verify_key.clone(),
                team: team.name.to_string(),
                value: value.to_owned(),
            }),
        }
    }

    /// The directory with the keys in the puller.
    pub(super) fn directory(&self) -> String {
        format!("{DIRECTORY}/{}", self.config_map)
    }

    /// The file with the keys in the puller.
    pub(super) fn file(&self) -> String {
        format!("{}/{FILE}", self.directory())
    }

    /// Whether skills that are delivered so are checked.
    pub(super) fn check_delivery(&self, delivery: Delivery) -> Result<(), Reason> {
        if delivery == Delivery::Puller {
            return Ok(());
        }
        let problem = format!("delivery {delivery} does not check them");
        Err(self.unchecked(problem, "use delivery puller"))
    }

    /// Whether a volume for the keys that the Pod has already is of this `ConfigMap`, as it is.
    pub(super) fn check_volume(&self, pod: &Pod<'_>) -> Result<(), Reason> {
        let is_ours = pod.volume(KEY_VOLUME).is_none_or(|found| {
            found.config_map == Some(self.config_map.as_str()) && !found.has_items
        });
        if is_ours {
            return Ok(());
        }
        let problem = format!("volume {KEY_VOLUME}, which is in the Pod already, has other keys");
        Err(self.unchecked(problem, "remove it from the Pod"))
    }

    /// Whether a puller that the Pod has already checks signatures by this key and no other.
    pub(super) fn check_puller(&self, container: &Container<'_>) -> Result<(), Reason> {
        let (directory, file) = (self.directory(), self.file());
        let mut words = container.words().skip_while(|word| !word.starts_with(FLAG));
        let is_asked = words.next() == Some(FLAG)
            && words.next() == Some(&*file)
            && !words.any(|word| word.starts_with(FLAG));
        let mut mounts = container.mounts().filter_map(|mount| {
            let path = normalized(mount.mount_path);
            is_at_or_below(&path, &directory).then_some((path, mount.name))
        });
        let is_mounted = mounts
            .next()
            .is_some_and(|(path, name)| path == directory && name == KEY_VOLUME)
            && mounts.next().is_none();
        if is_asked && is_mounted {
            return Ok(());
        }
        Err(self.not_by(&format!("init container {}", container.name)))
    }

    /// What is said of a part that delivers a skill, is in the Pod already, and does not check signatures by this key alone.
    pub(super) fn not_by(&self, part: &str) -> Reason {
        let problem = format!("{part}, which is in the Pod already, does not check them so");
        self.unchecked(problem, "remove it from the Pod, and use delivery puller")
    }

    fn unchecked(&self, problem: String, remedy: &'static str) -> Reason {
        Reason::SignaturesUnchecked {
            team: self.team.to_owned(),
            key: self.annotation.to_owned(),
            problem,
            remedy,
        }
    }
}
