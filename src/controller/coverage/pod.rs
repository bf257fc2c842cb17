//! What is kept of a Pod that names a team, and why its skills do not arrive.

use std::collections::HashMap;

use bumpalo::Bump;
use serde_json::Value;

use crate::api::Keys;
use crate::inject::pod::{Container, Pod};
use crate::inject::{SKILLS_PATH, Target, is_skills_puller};
use crate::json::reader::Reader;
use crate::names::{Listed, Named, Said};
use crate::skill::SkillName;

/// A pull that takes longer hangs: what the original operator allowed.
const PULL_MAX_SECONDS: i64 = 120;

/// How much of last words is kept: one character more than is shown, so that it shows where some were cut.
const WORDS_MAX: usize = Said::MOST + 1;

/// What containerd says when it is to mount what `oras push` made.
const PUSHED_WITH_ORAS: &str = "mismatched image rootfs and manifest layers";

/// What containerd says before anything about an image that it has and cannot mount. It does not say which.
const NOT_MOUNTED: &str = "ImageVolumeMountFailed";

/// What is kept of a Pod that names a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPod {
    /// `metadata.uid`
    pub uid: Box<str>,
    /// The agent that its labels name.
    pub(super) agent: Option<Box<str>>,
    /// The skills that are mounted in one of its containers.
    pub(super) mounted: Vec<Box<str>>,
    /// Whether it succeeded or failed.
    pub(super) ended: bool,
    /// The init containers that did not succeed yet.
    pulls: Vec<(Box<str>, Pull)>,
    /// Why a container of it cannot be made, where that is an image volume with a skill.
    unmounted: Option<Box<str>>,
}

/// An init container that did not succeed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pull {
    Pending,
    Running { since: i64 },
    Failed { words: Box<str> },
}

impl AgentPod {
    /// Reads a Pod: the team that it names, and what is kept of it. Nothing where it names none or opted out.
    #[must_use]
    pub fn read(object: &Value, keys: &Keys) -> Option<(Box<str>, Self)> {
        let (json, arena) = (object.to_string(), Bump::new());
        let pod = Pod::read(&mut Reader::new(&json, &arena)).ok()?;
        let target = Target::of(&pod, keys).ok()??;
        let mounts = pod.containers().iter().flat_map(skill_mounts);
        let mounted = mounts.map(|(skill, _)| skill.into());
        let status = &object["status"];
        let metadata = &object["metadata"];
        let pulls = items(&status["initContainerStatuses"]).filter_map(|status| {
            let name = text(status, "name");
            Some((name.into(), Pull::read(status, name)?))
        });
        let mut containers = items(&status["containerStatuses"]);
        let kept = Self {
            uid: text(metadata, "uid").into(),
            agent: target.agent_name().map(Into::into),
            mounted: mounted.collect(),
            ended: matches!(text(status, "phase"), "Succeeded" | "Failed"),
            pulls: pulls.collect(),
            unmounted: containers
                .find_map(|status| unmounted(&pod, text(status, "name"), &stuck(status)?)),
        };
        Some((target.team.into(), kept))
    }

    /// Whether time alone may change what is to be said.
    #[must_use]
    pub fn is_pulling(&self) -> bool {
        !self.ended
            && self
                .pulls
                .iter()
                .any(|(_, pull)| matches!(pull, Pull::Running { .. }))
    }

    /// Why the Pod's skills do not arrive at `now`, in seconds since 1970. `pullers` has the skill of each init
    /// container that pulls only one.
    pub(super) fn failure(
        &self,
        now: i64,
        pullers: &HashMap<String, &SkillName>,
    ) -> Option<String> {
        let failed = self.pulls.iter().find_map(|(container, pull)| {
            let what = match pullers.get(&**container) {
                Some(skill) => format!("skill {skill}"),
                None if is_skills_puller(container) => format!("init container {container}"),
                None => return None,
            };
            match pull {
                Pull::Failed { words } => Some(format!("{what}: {}", Said(words))),
                Pull::Running { since }
                    if now.saturating_sub(*since) > PULL_MAX_SECONDS && !self.ended =>
                {
                    Some(format!(
                        "{what}: the puller has been running for more than {PULL_MAX_SECONDS} s"
                    ))
                }
                _ => None,
            }
        });
        let unmounted = || self.unmounted.as_deref().map(ToOwned::to_owned);
        failed.or_else(unmounted)
    }
}

/// The skills that are mounted in a container, each with the name of its volume.
fn skill_mounts<'c>(container: &'c Container<'_>) -> impl Iterator<Item = (&'c str, &'c str)> {
    container.mounts().filter_map(|mount| {
        let skill = mount
            .mount_path
            .strip_prefix(SKILLS_PATH)?
            .strip_prefix('/')?;
        Some((skill, mount.name))
    })
}

/// What the kubelet's `words` about a container that it cannot make mean for the skills that are images in it; nothing
/// where they are about something else.
///
/// Of an image that cannot be pulled the reference stands in them, in quotation marks. Of one that cannot be mounted
/// they do not say which it is.
fn unmounted(pod: &Pod<'_>, container: &str, words: &str) -> Option<Box<str>> {
    let found = pod.containers().iter();
    let images = found
        .filter(|found| found.name == container)
        .flat_map(skill_mounts)
        .filter_map(|(skill, volume)| Some((skill, pod.volume(volume)?.image?)));
    let images: Vec<_> = images.collect();
    let is_named = |name: &str| words.contains(&format!("\"{name}\""));
    let named = images.iter().find(|(_, reference)| {
        is_named(reference) || without_tag(reference).is_some_and(|name| is_named(&name))
    });
    let what = match (named, &*images) {
        (None, []) => return None,
        (None, _) if !words.contains(NOT_MOUNTED) => return None,
        (Some((skill, _)), _) | (None, [(skill, _)]) => format!("skill {}", Named(skill)),
        (None, images) => {
            let skills = images.iter().map(|(skill, _)| Named(skill));
            format!(
                "one of the skills {} (agentteam-webhook check says which)",
                Listed(skills)
            )
        }
    };
    let why = if words.contains(PUSHED_WITH_ORAS) {
        "it was pushed with oras and cannot be mounted; use delivery oras or puller".to_owned()
    } else {
        Said(&shortened(words)).to_string()
    };
    Some(format!("{what}: {why}").into())
}

/// `host/repository@digest` of `host/repository:tag@digest`.
fn without_tag(reference: &str) -> Option<String> {
    let (named, digest) = reference.split_once('@')?;
    let (name, _) = named.rsplit_once(':')?;
    Some(format!("{name}@{digest}"))
}

impl Pull {
    /// Reads the status of the init container `name`; nothing where it succeeded.
    fn read(status: &Value, name: &str) -> Option<Self> {
        let at = |pointer: &str| status.pointer(pointer).unwrap_or(&Value::Null);
        let failed = |terminated: &Value| Self::Failed {
            words: last_words(terminated, is_skills_puller(name)),
        };
        let (ended, last) = (at("/state/terminated"), at("/lastState/terminated"));
        if ended.is_object() {
            return (ended["exitCode"] != 0).then(|| failed(ended));
        }
        if last.is_object() && last["exitCode"] != 0 {
            return Some(failed(last));
        }
        if let Some(words) = stuck(status) {
            return Some(Self::Failed {
                words: shortened(&words),
            });
        }
        let Some(started) = at("/state/running/startedAt").as_str() else {
            return Some(Self::Pending);
        };
        let since = started
            .parse::<k8s_openapi::jiff::Timestamp>()
            .map_or(i64::MAX, k8s_openapi::jiff::Timestamp::as_second);
        Some(Self::Running { since })
    }
}

/// The kubelet's own words about a container that it cannot start: an image, a Secret or a `ConfigMap` is missing.
fn stuck(status: &Value) -> Option<String> {
    let waiting = status.pointer("/state/waiting")?;
    let why = waiting["reason"].as_str()?;
    let is_stuck = why.starts_with("Err")
        || why.ends_with("BackOff")
        || why.ends_with("Error")
        || why == "InvalidImageName";
    is_stuck.then(|| format!("{why}: {}", text(waiting, "message")))
}

/// What a container said last, or how it ended. Of `all` that it said where each line is about another skill.
fn last_words(terminated: &Value, all: bool) -> Box<str> {
    let message = text(terminated, "message").trim();
    if message.is_empty() {
        let reason = terminated["reason"].as_str().unwrap_or("Error");
        return format!("{reason}, exit code {}", terminated["exitCode"]).into();
    }
    if all {
        return shortened(&message.lines().collect::<Vec<_>>().join("; "));
    }
    shortened(message.lines().last().unwrap_or_default())
}

fn shortened(words: &str) -> Box<str> {
    words.trim().chars().take(WORDS_MAX).collect()
}

fn text<'v>(object: &'v Value, key: &str) -> &'v str {
    object[key].as_str().unwrap_or_default()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
