//! What became of a team's skills in its Pods. Pure.
//!
//! Whether a Pod was injected is told by what it lacks, never by an annotation, which anybody can write.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use crate::api::Keys;
use crate::condition::Condition;
use crate::inject::pod::{Container, Pod};
use crate::inject::{SKILLS_PATH, Target, pullers_of};
use crate::names::Shown;
use crate::skill::SkillName;
use crate::team::Team;

/// A pull that takes longer hangs: what the original operator allowed.
const PULL_MAX_SECONDS: i64 = 120;

/// How many Pods a message names.
const NAMED: usize = 10;

/// How much of a puller's last words a message has.
const WORDS_MAX: usize = 300;

/// What is kept of a Pod that names a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPod {
    /// `metadata.uid`
    pub uid: Box<str>,
    /// The agent that its labels name.
    agent: Option<Box<str>>,
    /// The skills that are mounted in one of its containers.
    mounted: Vec<Box<str>>,
    /// The init containers that did not succeed yet.
    pulls: Vec<(Box<str>, Pull)>,
    /// Whether it succeeded or failed.
    ended: bool,
}

/// An init container that did not succeed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pull {
    Pending,
    Running { since: i64 },
    Failed { words: Box<str> },
}

/// A Pod whose skills did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The Pod's name.
    pub pod: String,
    /// The Pod's uid.
    pub uid: String,
    /// What is wrong, as a sentence about the Pod.
    pub what: String,
}

/// What became of the skills of one team.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Pods that have their skills, or are pulling them.
    pub covered: usize,
    /// Pods that were never injected.
    pub uninjected: Vec<Trouble>,
    /// Pods that lack skills that the team gained after they were made.
    pub behind: usize,
    /// Pods with a puller that fails or hangs.
    pub failing: Vec<Trouble>,
}

impl AgentPod {
    /// Reads a Pod: the team that it names, and what is kept of it. Nothing where it names none or opted out.
    #[must_use]
    pub fn read(object: &Value, keys: &Keys) -> Option<(Box<str>, Self)> {
        let pod = Pod::deserialize(object).ok()?;
        let target = Target::of(&pod, keys).ok()??;
        let mounts = pod.containers().iter().flat_map(Container::mounts);
        let mounted = mounts.filter_map(|mount| {
            mount
                .mount_path
                .strip_prefix(SKILLS_PATH)?
                .strip_prefix('/')
                .map(Into::into)
        });
        let status = &object["status"];
        let text = |value: &Value| -> Box<str> { value.as_str().unwrap_or_default().into() };
        let phase = text(&status["phase"]);
        let statuses = status["initContainerStatuses"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let pulls = statuses
            .iter()
            .filter_map(|status| Some((text(&status["name"]), Pull::read(status)?)))
            .collect();
        let metadata = &object["metadata"];
        let kept = Self {
            uid: text(&metadata["uid"]),
            agent: target.agent_name().map(Into::into),
            mounted: mounted.collect(),
            pulls,
            ended: matches!(&*phase, "Succeeded" | "Failed"),
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
}

impl Pull {
    /// Reads the status of an init container; nothing where it succeeded.
    fn read(status: &Value) -> Option<Self> {
        let at = |pointer: &str| status.pointer(pointer).unwrap_or(&Value::Null);
        let (ended, last) = (at("/state/terminated"), at("/lastState/terminated"));
        if ended.is_object() {
            return (ended["exitCode"] != 0).then(|| Self::Failed {
                words: last_words(ended),
            });
        }
        if let Some(why) = at("/state/waiting/reason").as_str() {
            if last.is_object() {
                return Some(Self::Failed {
                    words: last_words(last),
                });
            }
            // The kubelet's own words: the image, a Secret or a ConfigMap is missing.
            let stuck = why.starts_with("Err")
                || why.ends_with("BackOff")
                || why.ends_with("Error")
                || why == "InvalidImageName";
            let message = at("/state/waiting/message").as_str().unwrap_or_default();
            return Some(if stuck {
                Self::Failed {
                    words: shortened(&format!("{why}: {message}")),
                }
            } else {
                Self::Pending
            });
        }
        let Some(started) = at("/state/running/startedAt").as_str() else {
            return Some(Self::Pending);
        };
        if last.is_object() {
            return Some(Self::Failed {
                words: last_words(last),
            });
        }
        let since = started
            .parse::<k8s_openapi::jiff::Timestamp>()
            .map_or(i64::MAX, k8s_openapi::jiff::Timestamp::as_second);
        Some(Self::Running { since })
    }
}

/// What a container said last, or how it ended.
fn last_words(terminated: &Value) -> Box<str> {
    let message = terminated["message"].as_str().unwrap_or_default().trim();
    if message.is_empty() {
        let reason = terminated["reason"].as_str().unwrap_or("Error");
        return format!("{reason}, exit code {}", terminated["exitCode"]).into();
    }
    shortened(message.lines().last().unwrap_or_default())
}

fn shortened(words: &str) -> Box<str> {
    words.trim().chars().take(WORDS_MAX).collect()
}

impl Coverage {
    /// What is to be said of `pods`, each with its name, at `now` in seconds since 1970.
    #[must_use]
    pub fn of<'a>(
        team: &Team,
        pods: impl Iterator<Item = (&'a str, &'a AgentPod)>,
        now: i64,
    ) -> Self {
        let mut coverage = Self::default();
        let pods: BTreeMap<_, _> = pods.collect();
        for (name, pod) in pods {
            let Some(agent) = pod.agent.as_deref().and_then(|agent| team.agent(agent)) else {
                continue;
            };
            let skills: Vec<_> = agent
                .skills()
                .flatten()
                .map(|skill| skill.name.as_str())
                .collect();
            let lacks = skills
                .iter()
                .filter(|skill| !pod.mounted.iter().any(|mounted| **mounted == ***skill))
                .count();
            let trouble = |what: String| Trouble {
                pod: name.to_owned(),
                uid: pod.uid.to_string(),
                what,
            };
            if let Some(what) = pod.failure(now, &pullers_of(agent)) {
                coverage.failing.push(trouble(what));
            } else if pod.ended || skills.is_empty() {
            } else if lacks == skills.len() {
                let what = "has none of its skills: it was made before the webhook was installed, or while it was away; recreate it";
                coverage.uninjected.push(trouble(what.to_owned()));
            } else if lacks > 0 {
                coverage.behind += 1;
            } else {
                coverage.covered += 1;
            }
        }
        coverage
    }

    /// `SkillsDelivered`.
    #[must_use]
    pub fn skills_delivered(&self) -> Condition {
        let all = self.covered + self.behind + self.uninjected.len() + self.failing.len();
        let mut parts = Vec::new();
        if !self.failing.is_empty() {
            parts.push(format!(
                "{} of {all} Pods cannot get their skills: {}",
                self.failing.len(),
                named(&self.failing, true)
            ));
        }
        if !self.uninjected.is_empty() {
            parts.push(format!(
                "{} of {all} Pods have none of their skills, made before the webhook was installed or while it was away; recreate them: {}",
                self.uninjected.len(),
                named(&self.uninjected, false)
            ));
        }
        if self.behind > 0 {
            parts.push(format!(
                "{} of {all} Pods were made before the team gained a skill, and have the others",
                self.behind
            ));
        }
        let reason = match (self.failing.is_empty(), self.uninjected.is_empty(), all) {
            (false, _, _) => "PullsFailing",
            (true, false, _) => "PodsNotInjected",
            (true, true, 0) => "NoPods",
            (true, true, _) => "Delivered",
        };
        if parts.is_empty() {
            parts.push(if all == 0 {
                "no running Pod needs skills".to_owned()
            } else {
                format!("{all} Pods have their skills")
            });
        }
        let delivered = self.failing.is_empty() && self.uninjected.is_empty();
        Condition::new("SkillsDelivered", delivered, reason, parts.join(". "))
    }
}

impl AgentPod {
    /// Why the Pod's skills do not arrive. `pullers` has the skill of each puller.
    fn failure(&self, now: i64, pullers: &HashMap<String, &SkillName>) -> Option<String> {
        self.pulls.iter().find_map(|(container, pull)| {
            let skill = pullers.get(&**container)?;
            match pull {
                Pull::Failed { words } => Some(format!("skill {skill}: {}", Shown(words))),
                Pull::Running { since } if now.saturating_sub(*since) > PULL_MAX_SECONDS && !self.ended => {
                    Some(format!("skill {skill}: its puller has been running for more than {PULL_MAX_SECONDS} s"))
                }
                _ => None,
            }
        })
    }
}

fn named(troubles: &[Trouble], with_reasons: bool) -> String {
    let name = |trouble: &Trouble| {
        if with_reasons {
            format!("{}: {}", trouble.pod, trouble.what)
        } else {
            trouble.pod.clone()
        }
    };
    let mut names: Vec<_> = troubles.iter().take(NAMED).map(name).collect();
    if troubles.len() > NAMED {
        names.push(format!("and {} more", troubles.len() - NAMED));
    }
    names.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Group;
    use crate::team::Identity;
    use serde_json::json;

    fn team() -> Team {
        let oci =
            |name: &str| json!({"name": name, "source": {"oci": format!("ghcr.io/x/{name}:1")}});
        let spec = json!({"lead": {"skills": [oci("web"), oci("report")]}, "teammates": [{"name": "idle"}]});
        Team::read(
            Identity {
                name: "t".into(),
                namespace: "ns".into(),
                ..Identity::default()
            },
            &spec,
        )
    }

    fn pod(agent: &str, mounted: &[&str], status: &Value) -> AgentPod {
        let mounts: Vec<_> = mounted.iter().map(|name| json!({"name": format!("skill-{name}"), "mountPath": format!("/var/claude-skills/{name}")})).collect();
        let object = json!({
            "metadata": {"name": "p", "uid": "u", "labels": {"kagents.dev/agent-team": "t", "kagents.dev/agent": agent}, "annotations": {"kagents.dev/skills": "forged"}},
            "spec": {"containers": [{"name": "main", "volumeMounts": mounts}]},
            "status": status,
        });
        let (team, pod) = AgentPod::read(&object, &Keys::of(&Group::default())).unwrap();
        assert_eq!(&*team, "t");
        pod
    }

    fn said(pod: &AgentPod, now: i64) -> Condition {
        Coverage::of(&team(), [("p", pod)].into_iter(), now).skills_delivered()
    }

    fn pulling(state: &Value) -> Value {
        json!({"phase": "Pending", "initContainerStatuses": [
            {"name": "mesh", "state": {"terminated": {"exitCode": 3}}}, {"name": "pull-skill-web", "state": state["state"], "lastState": state["lastState"]}]})
    }

    #[test]
    fn a_pod_without_its_skills_was_never_injected_whatever_its_annotation_says() {
        let condition = said(&pod("lead", &[], &json!({"phase": "Running"})), 0);
        assert_eq!(
            (condition.status, condition.reason),
            ("False", "PodsNotInjected")
        );
        assert!(
            condition.message.ends_with("recreate them: p"),
            "{}",
            condition.message
        );
        for fine in [
            pod("lead", &[], &json!({"phase": "Succeeded"})),
            pod("idle", &[], &json!({})),
            pod("nobody", &[], &json!({})),
        ] {
            assert_eq!(said(&fine, 0).reason, "NoPods");
        }
        assert_eq!(
            said(&pod("lead", &["web", "report"], &json!({})), 0).message,
            "1 Pods have their skills"
        );
        assert!(
            said(&pod("lead", &["web"], &json!({})), 0)
                .message
                .contains("gained a skill")
        );
    }

    #[test]
    fn a_failing_pull_is_told_in_the_puller_s_own_words() {
        let words = "Error: pulling\nError response from registry: unauthorized\n";
        let terminated = json!({"exitCode": 1, "reason": "Error", "message": words});
        for state in [
            json!({"state": {"terminated": terminated}}),
            json!({"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}, "lastState": {"terminated": terminated}}),
            json!({"state": {"running": {"startedAt": "1970-01-01T00:00:00Z"}}, "lastState": {"terminated": terminated}}),
        ] {
            let condition = said(&pod("lead", &["web", "report"], &pulling(&state)), 1);
            assert_eq!(
                (condition.status, condition.reason),
                ("False", "PullsFailing"),
                "{state}"
            );
            assert!(
                condition
                    .message
                    .ends_with("p: skill web: \"Error response from registry: unauthorized\""),
                "{}",
                condition.message
            );
        }
        let image = json!({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}});
        assert!(
            said(&pod("lead", &["web", "report"], &pulling(&image)), 0)
                .message
                .contains("ImagePullBackOff: no such image")
        );
    }

    #[test]
    fn a_pull_may_take_its_time_but_not_for_ever() {
        let state = json!({"state": {"running": {"startedAt": "1970-01-01T00:00:00Z"}}});
        let pod = pod("lead", &["web", "report"], &pulling(&state));
        assert!(pod.is_pulling());
        assert_eq!(said(&pod, 100).reason, "Delivered");
        assert!(said(&pod, 121).message.contains("more than 120 s"));
        let pending = json!({"state": {"waiting": {"reason": "PodInitializing"}}});
        assert_eq!(
            said(
                &self::pod("lead", &["web", "report"], &pulling(&pending)),
                999
            )
            .reason,
            "Delivered"
        );
    }
}
