//! What is kept of a Pod that names a team, and why its skills do not arrive.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::api::Keys;
use crate::inject::pod::{Container, Pod};
use crate::inject::{SKILLS_PATH, Target, is_skills_puller};
use crate::names::{Named, Shown};
use crate::skill::SkillName;

/// A pull that takes longer hangs: what the original operator allowed.
const PULL_MAX_SECONDS: i64 = 120;

/// How much of last words a message has.
const WORDS_MAX: usize = 300;

/// What containerd says when it is to mount an artifact that is no image, as ORAS pushes them.
const NO_IMAGE: &str = "mismatched image rootfs and manifest layers";

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
    /// The first skill whose image volume keeps a container from being made, and why it does.
    unmounted: Option<(Box<str>, Box<str>)>,
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
        let pod = Pod::deserialize(object).ok()?;
        let target = Target::of(&pod, keys).ok()??;
        let mounted = skill_mounts(&pod).map(|(skill, _)| skill.into());
        let status = &object["status"];
        let metadata = &object["metadata"];
        let pulls = items(&status["initContainerStatuses"]).filter_map(|status| {
            let name = text(status, "name");
            Some((name.into(), Pull::read(status, name)?))
        });
        let mut waiting = items(&status["containerStatuses"]).filter_map(stuck);
        let kept = Self {
            uid: text(metadata, "uid").into(),
            agent: target.agent_name().map(Into::into),
            mounted: mounted.collect(),
            ended: matches!(text(status, "phase"), "Succeeded" | "Failed"),
            pulls: pulls.collect(),
            unmounted: waiting.find_map(|words| unmounted(&pod, &words)),
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
                Pull::Failed { words } => Some(format!("{what}: {}", Shown(words))),
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
        let unmounted = || {
            let (skill, why) = self.unmounted.as_ref()?;
            Some(format!("skill {}: {why}", Named(skill)))
        };
        failed.or_else(unmounted)
    }
}

/// The skills that are mounted in the Pod's containers, each with the name of its volume.
fn skill_mounts<'p>(pod: &'p Pod<'_>) -> impl Iterator<Item = (&'p str, &'p str)> {
    let mounts = pod.containers().iter().flat_map(Container::mounts);
    mounts.filter_map(|mount| {
        let skill = mount
            .mount_path
            .strip_prefix(SKILLS_PATH)?
            .strip_prefix('/')?;
        Some((skill, &*mount.name))
    })
}

/// The skill whose image volume the kubelet's `words` name, and what they mean for it. The kubelet writes the reference
/// in quotation marks, without a tag where there is a digest too.
fn unmounted(pod: &Pod<'_>, words: &str) -> Option<(Box<str>, Box<str>)> {
    let (skill, reference) = skill_mounts(pod).find_map(|(skill, volume)| {
        let reference = pod.volume(volume)?.image.as_deref()?;
        let named = |name: &str| words.contains(&format!("\"{name}\""));
        (named(reference) || named(&without_tag(reference)?)).then_some((skill, reference))
    })?;
    let why = if words.contains(NO_IMAGE) {
        let reference = Shown(reference);
        format!(
            "{reference} was pushed with oras and cannot be mounted; use delivery oras or puller"
        )
    } else {
        Shown(&shortened(words)).to_string()
    };
    Some((skill.into(), why.into()))
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
