//! What became of a team's skills in its Pods. Pure.
//!
//! Whether a Pod was injected is told by what it lacks, never by an annotation, which anybody can write.

mod pod;

use std::collections::BTreeMap;

use crate::condition::Condition;
use crate::inject::pullers_of;
use crate::team::Team;

pub use pod::AgentPod;

/// How many Pods a message names.
const NAMED: usize = 10;

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
    use crate::api::{Group, Keys};
    use crate::team::Identity;
    use serde_json::{Value, json};

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

    /// Errors of Go begin with what was tried, and end with what is wrong.
    #[test]
    fn a_long_error_is_told_to_its_end() {
        let words = format!(
            "Error: Get \"https://registry.example.com:5443/v2/{}/manifests/v1\": tls: failed to verify certificate: \
             x509: certificate signed by unknown authority",
            "skills/".repeat(8)
        );
        let state = json!({"state": {"terminated": {"exitCode": 1, "message": words}}});
        let condition = said(&pod("lead", &["web", "report"], &pulling(&state)), 0);
        assert!(
            condition.message.ends_with("signed by unknown authority\""),
            "{}",
            condition.message
        );
    }

    #[test]
    fn the_puller_of_all_skills_says_which_of_them_fail() {
        let words = "skill web: not found\nskill report: unauthorized\n";
        let state = json!({"state": {"terminated": {"exitCode": 1, "message": words}}});
        let mut status = pulling(&state);
        status["initContainerStatuses"][1]["name"] = json!("pull-skills");
        let condition = said(&pod("lead", &["web", "report"], &status), 0);
        assert_eq!(condition.reason, "PullsFailing");
        assert!(
            condition.message.ends_with("p: init container pull-skills: \"skill web: not found; skill report: unauthorized\""),
            "{}",
            condition.message
        );
    }

    #[test]
    fn an_image_that_cannot_be_mounted_is_told_with_what_to_do() {
        let waiting = |reason: &str, message: &str| {
            json!({"phase": "Pending", "containerStatuses": [
                {"name": "main", "state": {"waiting": {"reason": reason, "message": message}}}]})
        };
        let digest = format!("sha256:{}", "0".repeat(64));
        let image = |message: &str| {
            let images = [
                ("web", format!("ghcr.io/x/web:1@{digest}")),
                ("report", "ghcr.io/x/report:1".to_owned()),
            ];
            let mounts = images.each_ref().map(|(name, _)| json!({"name": format!("skill-{name}"), "mountPath": format!("/var/claude-skills/{name}")}));
            let volumes = images.map(|(name, reference)| json!({"name": format!("skill-{name}"), "image": {"reference": reference}}));
            let object = json!({
                "metadata": {"name": "p", "labels": {"kagents.dev/agent-team": "t", "kagents.dev/agent": "lead"}},
                "spec": {"containers": [{"name": "main", "image": "agent:1", "volumeMounts": mounts}], "volumes": volumes},
                "status": waiting("ImagePullBackOff", message),
            });
            let (_, pod) = AgentPod::read(&object, &Keys::of(&Group::default())).unwrap();
            said(&pod, 0)
        };
        let mismatch = "failed to mount image volume: ImageVolumeMountFailed: failed to unpack image volume: mismatched image rootfs and manifest layers";
        let condition = image(mismatch);
        assert_eq!(
            (condition.status, condition.reason),
            ("False", "PullsFailing")
        );
        assert_eq!(
            condition.message,
            "1 of 1 Pods cannot get their skills: p: one of the skills web and report (agentteam-webhook check says which): it was pushed with oras and cannot be mounted; use delivery oras or puller"
        );
        let missing = |name: &str| {
            format!(
                "Back-off pulling image \"{name}\": ErrImagePull: rpc error: code = NotFound desc = not found"
            )
        };
        for (name, skill) in [
            (format!("ghcr.io/x/web@{digest}"), "web"),
            ("ghcr.io/x/report:1".to_owned(), "report"),
        ] {
            let message = image(&missing(&name)).message;
            let expected = format!("p: skill {skill}: \"ImagePullBackOff: Back-off pulling image");
            assert!(message.contains(&expected), "{message}");
        }
        // The agent's own image is not a skill.
        assert_eq!(image(&missing("agent:1")).reason, "Delivered");
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
