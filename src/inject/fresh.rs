//! Pods that have nothing of ours yet, as nearly all have.
//!
//! Little of such a Pod decides what it gets, and Pods of one workload agree in it: what was made for one of them is right
//! for the others, and need not be made anew.

use super::delivery::Delivery;
use super::first_puller_index;
use super::naming::is_of_ours;
use super::plan::{SKILLS_PATH, is_at_or_below, normalized};
use super::pod::Pod;
use super::puller::user;
use super::settings::Settings;
use super::target::{self, Target};
use super::version::ServerVersion;
use crate::skill::ObjectName;
use crate::team::Team;

/// All of a Pod without anything of ours, and of the cluster, that [`super::inject`] depends on, besides the team and the
/// settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is there or not, whatever the others are"
)]
pub struct Fresh {
    agent: usize,
    container: usize,
    delivery: Delivery,
    user: i64,
    first_puller: usize,
    is_never_restarted: bool,
    is_on_host_network: bool,
    has_annotations: bool,
    has_volumes: bool,
    has_mounts: bool,
    has_init_containers: bool,
    has_pull_secrets: bool,
    server: Option<ServerVersion>,
}

impl Fresh {
    /// What decides about `pod`. None where it has anything under our names, or where it is certain to be denied.
    #[must_use]
    pub fn of(
        pod: &Pod<'_>,
        target: &Target<'_>,
        team: &Team,
        settings: &Settings,
        server: Option<ServerVersion>,
    ) -> Option<Self> {
        let keys = &settings.keys;
        let agent = target.agent_name()?;
        let agents = team.agents();
        let agent = agents.iter().position(|found| &*found.name == agent)?;
        let index = target::container(pod, keys).ok()?;
        let container = pod.containers().get(index)?;
        let mut names = pod.spec.volumes.iter().flatten().map(|volume| volume.name);
        let mut containers = pod.containers().iter().chain(pod.init_containers());
        let mut mounts = container.mounts().map(|mount| normalized(mount.mount_path));
        let has_ours = pod.is_windows()
            || pod.annotation(&keys.skills).is_some()
            || pod.annotation(&keys.verify_key).is_some()
            || names.any(is_of_ours)
            || containers.any(|container| is_of_ours(container.name))
            || mounts.any(|path| is_at_or_below(&path, SKILLS_PATH))
            || has_pull_secret_of(pod, team);
        if has_ours {
            return None;
        }
        let spec = &pod.spec;
        Some(Self {
            agent,
            container: index,
            delivery: Delivery::choose(pod, team, keys, settings.delivery).ok()?,
            user: user(pod, container),
            first_puller: first_puller_index(pod),
            is_never_restarted: spec.restart_policy == Some("Never"),
            is_on_host_network: spec.host_network == Some(true),
            has_annotations: pod.metadata.annotations.is_some(),
            has_volumes: spec.volumes.is_some(),
            has_mounts: container.volume_mounts.is_some(),
            has_init_containers: spec.init_containers.is_some(),
            has_pull_secrets: spec.image_pull_secrets.is_some(),
            server,
        })
    }
}

fn has_pull_secret_of(pod: &Pod<'_>, team: &Team) -> bool {
    let mut listed = pod.spec.image_pull_secrets.iter().flatten();
    listed.any(|secret| {
        let mut ours = team.pull_secrets.iter().flatten().map(ObjectName::as_str);
        ours.any(|name| secret.name == Some(name))
    })
}
