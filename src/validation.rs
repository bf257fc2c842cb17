//! Whether a team is valid, and what is unwise in it: one judgement for the door, the controller and the command line.
//!
//! A [problem](Judgement::problems) lies in the team itself: no server would give its Pods all of their skills. What
//! depends on an administrator's settings, or is only unwise, is a [warning](Judgement::warnings): the team is valid
//! all the same.

mod warnings;

use std::fmt::{self, Display, Formatter, Write};

use strum::{IntoStaticStr, VariantNames};
use thiserror::Error;

use crate::inject::delivery::Delivery;
use crate::inject::verify_key::VerifyKey;
use crate::inject::{ServerVersion, Settings};
use crate::names::Shown;
use crate::team::Team;

/// The longest list of problems in bytes: it fits into the message of a condition, which may have 32 KiB.
const LIST_MAX: usize = 24 << 10;

/// What is to be said of a team.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Everything that is wrong with it, one sentence each.
    pub problems: Vec<String>,
    /// What is legal but unwise, or will keep its Pods out; a line each, few and short enough for an API server to
    /// hand on.
    pub warnings: Vec<String>,
}

impl Judgement {
    /// Judges `team` where `settings` hold, on an API server of version `server` where that is known.
    #[must_use]
    pub fn of(team: &Team, settings: &Settings, server: Option<ServerVersion>) -> Self {
        Self {
            problems: problems(team, settings),
            warnings: warnings::warnings(team, settings, server),
        }
    }
}

/// Everything that is wrong with `team`: its annotations, then its spec.
#[must_use]
pub fn problems(team: &Team, settings: &Settings) -> Vec<String> {
    let annotations = [
        Delivery::of_team(team, &settings.keys).err(),
        VerifyKey::of_team(team, &settings.keys).err(),
    ];
    let mut problems: Vec<_> = annotations
        .into_iter()
        .flatten()
        .map(|reason| reason.to_string())
        .collect();
    problems.extend(team.problems());
    problems
}

/// Why a team is refused.
#[derive(Clone, Debug, Error, IntoStaticStr, PartialEq, Eq, VariantNames)]
pub enum Refusal {
    /// The team is invalid.
    #[error("{}", List(.0))]
    InvalidTeam(Vec<String>),

    /// There is no team in the request, or not one that can be read.
    #[error("the AgentTeam cannot be read: {0}")]
    UnreadableTeam(String),

    /// The team's own namespace is not the request's.
    #[error(
        "the AgentTeam says namespace {}, but it is written to {}; make the two the same",
        Shown(team),
        Shown(request)
    )]
    NamespaceMismatch {
        /// `metadata.namespace`
        team: String,
        /// The request's namespace.
        request: String,
    },
}

impl Refusal {
    /// The word for this refusal.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.into()
    }

    /// The HTTP status code that the API server gives its client.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::InvalidTeam(_) => 422,
            Self::UnreadableTeam(_) | Self::NamespaceMismatch { .. } => 400,
        }
    }
}

/// Shows problems on one line: one as it is, several counted and numbered. What is too long for a message is counted.
pub struct List<'a>(pub &'a [String]);

impl Display for List<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let problems = match self.0 {
            [problem] => return formatter.write_str(problem),
            problems => problems,
        };
        let mut text = format!("{} problems: ", problems.len());
        for (index, problem) in problems.iter().enumerate() {
            if text.len() + problem.len() > LIST_MAX {
                write!(text, "; and {} more", problems.len() - index)?;
                break;
            }
            let separator = if index == 0 { "" } else { "; " };
            write!(text, "{separator}({}) {problem}", index + 1)?;
        }
        formatter.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Group;
    use crate::team::Identity;
    use serde_json::json;

    #[test]
    fn problems_are_numbered_and_bounded() {
        let list = |problems: &[&str]| {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            List(&problems).to_string()
        };
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b"]), "2 problems: (1) a; (2) b");
        let many = vec!["x".repeat(200); 8000];
        let text = List(&many).to_string();
        assert!(text.starts_with("8000 problems: (1) x"));
        assert!(
            text.ends_with("; and 7882 more"),
            "{}",
            &text[text.len() - 20..]
        );
        assert!(text.len() < LIST_MAX + 50, "{}", text.len());
    }

    #[test]
    fn an_annotation_that_no_pod_could_follow_is_a_problem() {
        let judge = |delivery: &str| {
            let identity = Identity {
                name: "t".into(),
                delivery: Some(delivery.into()),
                ..Identity::default()
            };
            let team = Team::read(identity, &json!({"lead": 7}));
            problems(&team, &Settings::new(&Group::default()))
        };
        assert_eq!(
            judge("pigeon"),
            [
                "the annotation kagents.dev/skill-delivery of AgentTeam t says \"pigeon\", which is not a delivery mode; it must be oras, puller or image",
                "spec.lead is not an object"
            ]
        );
        assert_eq!(judge("oras"), ["spec.lead is not an object"]);
    }

    #[test]
    fn an_annotation_that_names_no_config_map_is_a_problem() {
        let judge = |verify_key: &str| {
            let identity = Identity {
                name: "t".into(),
                verify_key: Some(verify_key.into()),
                ..Identity::default()
            };
            let team = Team::read(identity, &json!({"lead": {}}));
            problems(&team, &Settings::new(&Group::default()))
        };
        for bad in ["", "Signers", "a/b", "a b", "-"] {
            assert_eq!(
                judge(bad),
                [format!(
                    "the annotation kagents.dev/skill-verify-key of AgentTeam t says {bad:?}, which is not the name of a ConfigMap; name the one that has the public key as cosign.pub"
                )]
            );
        }
        assert!(judge("skill-signers").is_empty());
    }
}
