//! Rows 41–52: teams, agents and skills that are not as they must be.

use agentteam_webhook::api::{EXACTLY_ONE_SOURCE, Group};
use serde_json::json;

use super::review::{Denial, Session, pod, review};
use super::server::strict;
use super::teams::{
    BAD, ELSEWHERE, GOOD, SPECIAL, SPECIAL_HOSTS, bad_object_names, bad_skills,
    team_with_bad_secret,
};

/// Every bad skill of a row is denied with 422, and the message tells the agent and the team.
fn row(number: u8) -> Vec<Denial> {
    let mut session = Session::open();
    let rows = bad_skills().into_iter().filter(|bad| bad.row == number);
    let denials: Vec<Denial> = rows
        .map(|bad| {
            let denial = session.denied(&review(&pod(BAD, &bad.agent)), 422);
            assert_eq!(denial.word, "InvalidSkill", "{}", bad.skill);
            assert!(
                denial.message.contains(&bad.agent) && denial.message.contains(BAD),
                "{}",
                denial.message
            );
            denial
        })
        .collect();
    assert!(denials.len() > 4);
    denials
}

/// That the API server is asked is seen in `tests/cluster`.
#[test]
fn row_41_no_such_team() {
    let mut session = Session::open();
    for team in ["nobody", ELSEWHERE, "good.", "a.b.c"] {
        let denial = session.denied(&review(&pod(team, "lead")), 422);
        let word = if team.ends_with('.') {
            "InvalidTeamName"
        } else {
            "TeamNotFound"
        };
        assert_eq!(denial.word, word, "{}", denial.message);
    }
}

#[test]
fn row_42_team_in_another_namespace() {
    let mut session = Session::open();
    let elsewhere = format!("other/{ELSEWHERE}");
    for team in [
        &elsewhere,
        "agents/good",
        "../good",
        "",
        "GOOD",
        "good\n",
        "good\0",
    ] {
        let denial = session.denied(&review(&pod(team, "lead")), 422);
        assert_eq!(denial.word, "InvalidTeamName", "{}", denial.message);
    }
}

/// A team that is being deleted is seen in `tests/cluster`: a file is there, or it is not.
#[test]
fn row_43_agents() {
    let mut session = Session::open();
    for agent in ["nobody", "", "LEAD", "lead ", "lead\0", "*"] {
        let denial = session.denied(&review(&pod(GOOD, agent)), 422);
        assert_eq!(denial.word, "AgentNotFound", "{}", denial.message);
    }
    let mut unnamed = pod(GOOD, "lead");
    unnamed["metadata"]["labels"] = json!({"kagents.dev/team": GOOD});
    assert_eq!(session.denied(&review(&unnamed), 422).word, "AgentNotNamed");
    let mut both = pod(GOOD, "lead");
    both["metadata"]["labels"]["kagents.dev/team"] = json!(BAD);
    assert_eq!(session.denied(&review(&both), 422).word, "TeamLabelsDiffer");
    // The others of its team have every bad skill there is.
    session.patched(&review(&pod(BAD, "fine")));
}

#[test]
fn row_44_number_of_sources() {
    for denial in row(44) {
        assert!(
            denial.message.contains(EXACTLY_ONE_SOURCE),
            "{}",
            denial.message
        );
    }
    // The definition says it, and the status says what the webhook says: the team's problems are the same sentences.
    let definition = serde_json::to_string(&Group::default().definition()).unwrap();
    assert!(definition.contains(EXACTLY_ONE_SOURCE));
}

#[test]
fn row_45_skill_names() {
    row(45);
}

#[test]
fn row_46_references_like_flags() {
    row(46);
}

#[test]
fn row_47_references_like_shell() {
    row(47);
}

#[test]
fn row_48_references_like_variables() {
    row(48);
}

#[test]
fn row_49_special_hosts() {
    let (mut open, mut listed) = (Session::open(), Session::with(strict()));
    for (index, host) in SPECIAL_HOSTS.iter().enumerate() {
        let review = review(&pod(SPECIAL, &format!("host-{index}")));
        let denial = open.denied(&review, 403);
        assert_eq!(denial.word, "RegistryNotAllowed", "{host}");
        assert!(denial.message.contains(host), "{}", denial.message);
        listed.patched(&review);
    }
}

#[test]
fn row_50_references() {
    row(50);
}

#[test]
fn row_51_digests() {
    let by_tag = review(&pod(GOOD, "lead"));
    let denial = Session::with(strict()).denied(&by_tag, 422);
    assert_eq!(denial.word, "DigestRequired");
    let tag_warnings = |agent| {
        let warnings = Session::open().patched(&review(&pod(GOOD, agent))).warnings;
        warnings
            .iter()
            .filter(|warning| warning.contains("tag"))
            .count()
    };
    assert_eq!(tag_warnings("lead"), 1);
    assert_eq!(tag_warnings("pinned"), 0);
    Session::with(strict()).patched(&review(&pod(GOOD, "pinned")));
}

#[test]
fn row_52_object_names() {
    row(52);
    let mut session = Session::open();
    for index in 0..bad_object_names().len() {
        let team = team_with_bad_secret(index);
        let denial = session.denied(&review(&pod(&team, "lead")), 422);
        assert_eq!(denial.word, "InvalidPullSecret");
        assert!(denial.message.contains(&team), "{}", denial.message);
    }
}
