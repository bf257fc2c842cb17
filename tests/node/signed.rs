//! Teams that ask for their skills to be signed.

use serde_json::json;

use crate::modes::{arrived, team_of, told};
use crate::node::{Node, USERS};
use crate::place::{Place, pod};
use crate::pushes::sign;
use crate::signer::Signer;
use crate::skills::Skill;

/// A place with a team whose one skill is `reference`, signed by a key in the ConfigMap `signers`.
#[track_caller]
fn asking<'n>(node: &'n Node, name: &str, reference: &str) -> Place<'n> {
    let place = Place::new(node, name);
    place.secret("creds", &node.private.address, USERS[0].0, USERS[0].1);
    team_of(&place, &["creds"], &[reference.to_owned()]);
    let annotations = [
        "annotate",
        "agentteams.kagents.dev",
        "team",
        "kagents.dev/skill-delivery=puller",
        "kagents.dev/skill-verify-key=signers",
    ];
    place.kubectl(&annotations).success();
    place
}

#[track_caller]
fn put_keys(place: &Place<'_>, keys: &str) {
    place.apply(&json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "signers"},
        "data": {"cosign.pub": keys},
    }));
}

/// The skill's signature is fetched from its registry, with TLS and a password, as the skill is.
#[test]
fn a_signed_skill_arrives_and_no_other_does() {
    let node = Node::shared();
    let (author, other) = (Signer::new(), Signer::new());
    let skill = Skill::new("skill-1");
    let pushed = |repository: &str| node.private.push(&format!("{repository}:v1"), skill.path());
    let at = |repository: &str| format!("{}/{repository}:v1", node.private.address);
    let digest = pushed("signed/skill");
    sign(&node.private, "signed/skill", &digest, &author);
    let digest = pushed("signed/by-another");
    sign(&node.private, "signed/by-another", &digest, &other);
    let unsigned = pushed("signed/not");
    let keys = Signer::new().public_key() + &author.public_key();

    let signed = asking(&node, "signed", &at("signed/skill"));
    put_keys(&signed, &keys);
    signed.apply(&pod("agent", "team"));

    for (name, said) in [
        (
            "not",
            format!("{unsigned} is refused: it has no signature; sign it with cosign sign --key"),
        ),
        (
            "by-another",
            "is refused: it has a signature, but not by a key of --verify-key".to_owned(),
        ),
    ] {
        let place = asking(&node, name, &at(&format!("signed/{name}")));
        put_keys(&place, &keys);
        place.apply(&pod("agent", "team"));
        let message = told(&place);
        assert!(
            message.contains("skill skill-1: ") && message.contains(&said),
            "{message}"
        );
        let phase = place.value("pod/agent", "{.status.phase}");
        assert_eq!(phase, "Pending", "its agent does not start");
    }
    signed.ready("agent");
    arrived(&signed, "agent", &[skill]);

    // No Pod can ask for less.
    let mut careless = pod("careless", "team");
    careless["metadata"]["annotations"] =
        json!({"kagents.dev/skill-delivery": "oras", "kagents.dev/skill-verify-key": ""});
    let denied = signed.try_apply(&careless).stderr;
    assert!(denied.contains("SignaturesUnchecked: "), "{denied}");
}

#[test]
fn keys_that_are_missing_are_told_on_the_team_and_found_when_they_come() {
    let node = Node::shared();
    let author = Signer::new();
    let skill = Skill::new("skill-1");
    let digest = node.private.push("late-key/skill:v1", skill.path());
    sign(&node.private, "late-key/skill", &digest, &author);
    let reference = format!("{}/late-key/skill:v1", node.private.address);
    let place = asking(&node, "late-key", &reference);

    place.apply(&pod("agent", "team"));

    let message = told(&place);
    let expected = "--verify-key /etc/agentteam-webhook/verify-key/signers/cosign.pub cannot be used: No such file";
    assert!(message.contains(expected), "{message}");
    put_keys(&place, &author.public_key());
    place.ready("agent");
    arrived(&place, "agent", &[skill]);
}
