//! What is legal but unwise.

use std::collections::HashSet;

use crate::inject::delivery::Delivery;
use crate::inject::settings::Means;
use crate::inject::{ServerVersion, Settings};
use crate::skill::{Reference, Skill, Source};
use crate::team::{ReadSkill, Team};

/// The longest warning in characters: an API server shortens longer ones when there are many.
pub(super) const LINE_MAX: usize = 256;

/// The longest name within a warning, so that one always fits.
const NAME_MAX: usize = 128;

/// A skill, and whose it is.
struct Owned<'a> {
    agent: Option<&'a str>,
    skill: &'a Skill,
}

/// What somebody who writes this team should know, a line each.
pub(super) fn warnings(
    team: &Team,
    settings: &Settings,
    server: Option<ServerVersion>,
) -> Vec<String> {
    let policy = &settings.registries;
    let skills: Vec<_> = skills(team).collect();
    let pulled = || {
        skills
            .iter()
            .filter_map(|owned| Some((owned, owned.reference()?)))
    };
    let where_reference = |is: &dyn Fn(&Reference) -> bool| -> Vec<String> {
        let found = pulled().filter(|(_, reference)| is(reference));
        found.map(|(owned, _)| owned.to_string()).collect()
    };
    let is_latest = |reference: &Reference| reference.tag() == Some("latest");
    let by_tag = |reference: &Reference| reference.digest().is_none() && !policy.require_digest;

    let mut lines = vec![
        line(
            "Pods will be denied, because --allowed-registries does not allow the registries of ",
            &where_reference(&|reference| !policy.allows(reference)),
            "",
        ),
        line(
            "Pods will be denied, because --require-digest is set and these name a tag: ",
            &where_reference(&|reference| policy.lacks_digest(reference)),
            "; append @sha256:…",
        ),
        line(
            "pulled as :latest, which every release changes: ",
            &where_reference(&|reference| by_tag(reference) && is_latest(reference)),
            "; name a release and append @sha256:… to pin",
        ),
        line(
            "pulled by tag, which may name something else tomorrow: ",
            &where_reference(&|reference| by_tag(reference) && !is_latest(reference)),
            "; append @sha256:… to pin",
        ),
        line(
            "delivered twice, because the agent has the same source under another name: ",
            &repeated(team),
            "",
        ),
        line(
            "spec.imagePullSecrets names more than once: ",
            &team
                .repeated_secrets
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            "",
        ),
    ];
    if pulled().next().is_some() {
        lines.push(about_delivery(team, settings, server));
    }
    lines.into_iter().flatten().collect()
}

/// What is to be said of how OCI skills are pulled.
fn about_delivery(
    team: &Team,
    settings: &Settings,
    server: Option<ServerVersion>,
) -> Option<String> {
    let delivery = Delivery::of_team(team, &settings.keys).ok()?;
    let delivery = delivery.unwrap_or(settings.delivery);
    if team.verify_key.is_some() && delivery != Delivery::Puller {
        return Some(format!(
            "Pods with OCI skills will be denied, because the team asks for signatures to be checked, which delivery \
             {delivery} does not do; use delivery puller"
        ));
    }
    let means = settings.means(delivery, server);
    let is_oras = match means {
        Ok(means) => means == Means::Oras,
        Err(problem) => {
            return Some(format!(
                "Pods with OCI skills will be denied, because {problem}"
            ));
        }
    };
    let image = &settings.puller.image;
    (is_oras && image.is_unsafe_oras()).then(|| {
        format!(
            "OCI skills are pulled with {}, an ORAS with known security holes; have --skill-puller-image set to \
             v1.3.3 or newer",
            short(image.as_str())
        )
    })
}

/// Every valid skill: the team's once, then each agent's own.
fn skills(team: &Team) -> impl Iterator<Item = Owned<'_>> {
    let agents = team.agents().iter();
    let own = agents.flat_map(|agent| owned(Some(&agent.name), agent.own_skills()));
    owned(None, team.shared_skills()).chain(own)
}

fn owned<'a>(agent: Option<&'a str>, skills: &'a [ReadSkill]) -> impl Iterator<Item = Owned<'a>> {
    let valid = skills.iter().filter_map(|skill| skill.as_ref().ok());
    valid.map(move |skill| Owned { agent, skill })
}

/// The skills whose agent has the same source under another name before.
fn repeated(team: &Team) -> Vec<String> {
    let mut known = HashSet::new();
    let mut repeated = Vec::new();
    for owned in skills(team) {
        let source = match &owned.skill.source {
            Source::ConfigMap(name) => ("configMap", name.as_str()),
            Source::Oci(reference) => ("oci", reference.as_str()),
        };
        if known.contains(&(None, source)) || !known.insert((owned.agent, source)) {
            repeated.push(owned.to_string());
        }
    }
    repeated
}

impl Owned<'_> {
    fn reference(&self) -> Option<&Reference> {
        match &self.skill.source {
            Source::Oci(reference) => Some(reference),
            Source::ConfigMap(_) => None,
        }
    }
}

impl std::fmt::Display for Owned<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let agent = self.agent.unwrap_or("every agent");
        write!(formatter, "{} ({agent})", self.skill.name)
    }
}

/// One line about `names`, as many as fit; none where there are no names.
fn line(before: &str, names: &[String], after: &str) -> Option<String> {
    let (first, others) = names.split_first()?;
    let mut text = format!("{before}{}", short(first));
    let mut rest = others.len();
    for name in others {
        let name = short(name);
        let end = if rest > 1 { ", and 99999 more" } else { "" };
        let parts = [&text, ", ", &name, end, after];
        let length: usize = parts.iter().map(|part| part.chars().count()).sum();
        if length > LINE_MAX {
            break;
        }
        text = format!("{text}, {name}");
        rest -= 1;
    }
    if rest > 0 {
        text = format!("{text}, and {rest} more");
    }
    Some(text + after)
}

fn short(name: &str) -> String {
    match name.char_indices().nth(NAME_MAX) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Group;
    use crate::team::Identity;
    use serde_json::{Value, json};

    const PINNED: &str =
        "ghcr.io/x/y@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const OLD_ORAS: &str = "OCI skills are pulled with ghcr.io/oras-project/oras:v1.2.0, an ORAS with known security holes; have --skill-puller-image set to v1.3.3 or newer";

    fn warnings(team: &Team, settings: &Settings) -> Vec<String> {
        super::warnings(team, settings, None)
    }

    fn settings() -> Settings {
        Settings::new(&Group::default())
    }

    fn team(spec: &Value) -> Team {
        Team::read(Identity::default(), spec)
    }

    fn lead(skills: &[(&str, &str)]) -> Team {
        let skills = skills
            .iter()
            .map(|(name, oci)| json!({"name": name, "source": {"oci": oci}}));
        team(&json!({"lead": {"skills": skills.collect::<Vec<_>>()}}))
    }

    #[test]
    fn what_is_pinned_and_pulled_safely_is_wise() {
        let mut settings = settings();
        settings.puller.image = "ghcr.io/oras-project/oras:v1.3.3".parse().unwrap();
        assert!(warnings(&lead(&[("a", PINNED)]), &settings).is_empty());
        assert!(warnings(&team(&json!({})), &settings).is_empty());
    }

    #[test]
    fn an_old_oras_concerns_only_teams_that_need_it() {
        assert_eq!(warnings(&lead(&[("a", PINNED)]), &settings()), [OLD_ORAS]);
        let config_map = json!({"lead": {"skills": [{"name": "a", "source": {"configMap": "c"}}]}});
        assert!(warnings(&team(&config_map), &settings()).is_empty());
    }

    #[test]
    fn tags_are_named_once_and_latest_by_itself() {
        let team = team(&json!({
            "skills": [{"name": "style", "source": {"oci": "ghcr.io/x/style:v1"}}],
            "lead": {"skills": [{"name": "plan", "source": {"oci": "ghcr.io/x/plan:latest"}}]},
            "teammates": [{"name": "a", "skills": [{"name": "web", "source": {"oci": "ghcr.io/x/web:v2"}}]}, {"name": "b"}],
        }));
        assert_eq!(
            warnings(&team, &settings()),
            [
                "pulled as :latest, which every release changes: plan (lead); name a release and append @sha256:… to pin",
                "pulled by tag, which may name something else tomorrow: style (every agent), web (a); append @sha256:… to pin",
                OLD_ORAS,
            ]
        );
    }

    #[test]
    fn what_will_keep_pods_out_is_said() {
        let mut settings = settings();
        settings.registries.allowed = vec!["ghcr.io/acme/*".parse().unwrap()];
        settings.registries.require_digest = true;
        let team = lead(&[
            ("a", "docker.io/x/a:latest"),
            ("b", PINNED),
            ("c", "ghcr.io/acme/c:1"),
        ]);
        assert_eq!(
            warnings(&team, &settings),
            [
                "Pods will be denied, because --allowed-registries does not allow the registries of a (lead), b (lead)",
                "Pods will be denied, because --require-digest is set and these name a tag: a (lead), c (lead); append @sha256:…",
                OLD_ORAS,
            ]
        );
    }

    #[test]
    fn a_mode_that_cannot_deliver_here_is_said_and_an_old_oras_matters_to_oras_alone() {
        let said = |delivery: &str, settings: &Settings, server: Option<&str>| {
            let identity = Identity {
                delivery: Some(delivery.into()),
                ..Identity::default()
            };
            let spec = json!({"lead": {"skills": [{"name": "b", "source": {"oci": PINNED}}]}});
            let server = server.map(|version| version.parse().unwrap());
            let said = super::warnings(&Team::read(identity, &spec), settings, server);
            assert!(said.iter().all(|line| line.chars().count() <= LINE_MAX));
            said.join("\n")
        };
        let mut settings = settings();
        assert_eq!(
            said("puller", &settings, None),
            "Pods with OCI skills will be denied, because delivery puller needs the image of agentteam-webhook itself, which this server was not told; set --webhook-image, or use oras"
        );
        assert_eq!(
            said("image", &settings, None),
            "Pods with OCI skills will be denied, because delivery image needs Kubernetes 1.35 or newer, and the version of the API server is not known; set --server-version, or use puller or oras"
        );
        assert_eq!(
            said("image", &settings, Some("1.34")),
            "Pods with OCI skills will be denied, because delivery image needs Kubernetes 1.35 or newer, and this cluster has 1.34; use puller or oras"
        );
        settings.puller.webhook_image = Some("ghcr.io/x/webhook:1".parse().unwrap());
        assert_eq!(said("puller", &settings, None), "");
        assert_eq!(said("image", &settings, Some("1.35")), "");
        assert_eq!(said("oras", &settings, None), OLD_ORAS);
    }

    #[test]
    fn a_mode_that_does_not_check_signatures_is_said_where_they_are_asked_for() {
        let said = |delivery: Option<&str>, source: &Value, settings: &Settings| {
            let identity = Identity {
                delivery: delivery.map(Into::into),
                verify_key: Some("skill-signers".into()),
                ..Identity::default()
            };
            let spec = json!({"lead": {"skills": [{"name": "b", "source": source}]}});
            warnings(&Team::read(identity, &spec), settings)
        };
        let denied = |delivery: &str| {
            [format!(
                "Pods with OCI skills will be denied, because the team asks for signatures to be checked, which delivery {delivery} does not do; use delivery puller"
            )]
        };
        let mut settings = settings();
        settings.puller.webhook_image = Some("ghcr.io/x/webhook:1".parse().unwrap());
        let oci = json!({"oci": PINNED});
        assert_eq!(said(None, &oci, &settings), denied("oras"));
        assert_eq!(said(Some("image"), &oci, &settings), denied("image"));
        assert!(said(Some("puller"), &oci, &settings).is_empty());
        assert!(said(None, &json!({"configMap": "c"}), &settings).is_empty());
        settings.delivery = Delivery::Puller;
        assert!(said(None, &oci, &settings).is_empty());
    }

    #[test]
    fn what_comes_twice_is_said() {
        let cm = |name: &str| json!({"name": name, "source": {"configMap": "c"}});
        let team = team(&json!({
            "imagePullSecrets": [{"name": "x"}, {"name": "y"}, {"name": "x"}, {"name": "x"}],
            "lead": {"skills": [cm("a"), cm("b"), {"name": "o", "source": {"configMap": "other"}}]},
            "teammates": [{"name": "m", "skills": [cm("a")]}],
        }));
        assert_eq!(
            warnings(&team, &settings()),
            [
                "delivered twice, because the agent has the same source under another name: b (lead)",
                "spec.imagePullSecrets names more than once: x",
            ]
        );
        let shared = json!({"skills": [cm("a")], "lead": {"skills": [cm("b")]}, "teammates": [{"name": "m", "skills": [cm("c")]}]});
        assert_eq!(
            warnings(&super::tests::team(&shared), &settings()),
            [
                "delivered twice, because the agent has the same source under another name: b (lead), c (m)"
            ]
        );
    }

    #[test]
    fn lines_are_few_and_short_whatever_the_team() {
        let mut settings = settings();
        settings.puller.image = format!("{}/oras:v1.0.0", "x".repeat(600)).parse().unwrap();
        let skills = |of: &str| -> Vec<_> {
            (0..500)
                .map(|n| json!({"name": format!("{of}{n:0>63}"), "source": {"oci": format!("127.0.0.1/x:{}", ["1", "latest"][n % 2])}}))
                .collect()
        };
        let agent = "a".repeat(63);
        let secrets: Vec<_> = (0..500)
            .map(|n| json!({"name": format!("{}{n}", "s".repeat(240))}))
            .collect();
        let secrets = [secrets.clone(), secrets].concat();
        let team = team(&json!({
            "skills": skills("s"), "lead": {"skills": skills("l")}, "teammates": [{"name": agent, "skills": skills("t")}],
            "imagePullSecrets": secrets,
        }));
        assert!(team.problems().is_empty(), "{:?}", team.problems());
        for require_digest in [false, true] {
            settings.registries.require_digest = require_digest;
            let lines = warnings(&team, &settings);
            assert!((5..=7).contains(&lines.len()), "{lines:#?}");
            for line in lines {
                let length = line.chars().count();
                assert!((150..=LINE_MAX).contains(&length), "{length} {line}");
            }
        }
    }
}
