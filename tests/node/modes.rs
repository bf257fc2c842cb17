//! Delivery modes `puller` and `image`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::node::{Node, USERS};
use crate::place::{Place, config_map, oci, pod};
use crate::pushes::push_image;
use crate::skills::Skill;

/// A Pod of the team's researcher that asks for a mode.
fn by(mode: &str, name: &str) -> Value {
    let mut pod = pod(name, "team");
    pod["metadata"]["annotations"] = json!({"kagents.dev/skill-delivery": mode});
    pod
}

fn skills(count: usize) -> Vec<Skill> {
    (1..=count)
        .map(|number| Skill::new(&format!("skill-{number}")))
        .collect()
}

/// A team that has `references`, one a skill, in order.
#[track_caller]
pub fn team_of(place: &Place<'_>, secrets: &[&str], references: &[String]) {
    let names: Vec<_> = (1..=references.len())
        .map(|number| format!("skill-{number}"))
        .collect();
    let skills: Vec<_> = names
        .iter()
        .zip(references)
        .map(|(name, reference)| (name.as_str(), oci(reference)))
        .collect();
    place.team("team", secrets, &skills);
}

#[track_caller]
pub fn arrived(place: &Place<'_>, pod: &str, skills: &[Skill]) {
    for (index, skill) in skills.iter().enumerate() {
        let name = format!("skill-{}", index + 1);
        assert_eq!(place.files(pod, &name), skill.files, "{name}");
    }
}

/// The names of the Pod's init containers.
fn init_containers(place: &Place<'_>, pod: &str) -> String {
    place.value(&format!("pod/{pod}"), "{.spec.initContainers[*].name}")
}

/// The message of the team's condition SkillsDelivered, as soon as it is false.
#[track_caller]
pub fn told(place: &Place<'_>) -> String {
    let path = r#"{.status.conditions[?(@.type=="SkillsDelivered")]['status','message']}"#;
    let deadline = Instant::now() + Duration::from_mins(3);
    loop {
        let said = place.value("agentteams.kagents.dev/team", path);
        if let Some(message) = said.strip_prefix("False ") {
            return message.to_owned();
        }
        assert!(Instant::now() < deadline, "still not false: {said}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn sixteen_images_are_mounted_without_an_init_container() {
    let node = Node::shared();
    let place = Place::new(&node, "image");
    let skills = skills(16);
    let repository = format!("{}/image", node.public.address);
    let references: Vec<_> = skills
        .iter()
        .enumerate()
        .map(|(index, skill)| {
            let digest = push_image(&node.public, &format!("image/{index}:v1"), skill.path());
            // Half of them by digest.
            if index % 2 == 0 {
                format!("{repository}/{index}:v1")
            } else {
                format!("{repository}/{index}@{digest}")
            }
        })
        .collect();
    team_of(&place, &[], &references);

    place.apply(&by("image", "agent"));

    place.ready("agent");
    arrived(&place, "agent", &skills);
    assert_eq!(init_containers(&place, "agent"), "");
    let read_only = "echo x > /var/claude-skills/skill-1/SKILL.md";
    let written = place.kubectl(&["exec", "agent", "--", "sh", "-c", read_only]);
    assert!(written.stderr.contains("Read-only file system"));
}

/// The kubelet pulls with the Pod's own pull secrets, which the team's are added to.
#[test]
fn a_private_image_is_pulled_by_the_kubelet() {
    let node = Node::shared();
    let place = Place::new(&node, "private-image");
    let skill = Skill::new("skill-1");
    let registry = &node.private.address;
    push_image(&node.private, "private-image/skill:v1", skill.path());
    let reference = format!("{registry}/private-image/skill:v1");
    place.secret("creds", registry, USERS[0].0, USERS[0].1);
    team_of(&place, &["creds"], std::slice::from_ref(&reference));

    place.apply(&by("image", "agent"));

    place.ready("agent");
    arrived(&place, "agent", &[skill]);

    // And without them it does not.
    let other = Place::new(&node, "no-secret");
    team_of(&other, &[], std::slice::from_ref(&reference));
    other.apply(&by("image", "agent"));
    let said = told(&other);
    assert!(
        said.contains("agent: skill skill-1: ") && said.contains(&reference),
        "{said}"
    );
}

#[test]
fn an_artifact_that_is_no_image_is_told_on_the_team_with_what_to_do() {
    let node = Node::shared();
    let place = Place::new(&node, "no-image");
    let skill = Skill::new("skill-1");
    node.public.push("no-image/skill:v1", skill.path());
    team_of(
        &place,
        &[],
        &[format!("{}/no-image/skill:v1", node.public.address)],
    );

    place.apply(&by("image", "agent"));

    assert_eq!(
        told(&place),
        "1 of 1 Pods cannot get their skills: agent: skill skill-1: it was pushed with oras and cannot be mounted; use delivery oras or puller"
    );
    // Which is what helps.
    place.apply(&by("puller", "second"));
    place.ready("second");
    arrived(&place, "second", &[skill]);
}

/// Of three registries, with two Secrets, at once.
#[test]
fn sixteen_skills_are_pulled_by_one_init_container() {
    let node = Node::shared();
    let place = Place::new(&node, "puller");
    let skills = skills(16);
    let registries = [&node.public, &node.private, &node.other];
    let references: Vec<_> = skills
        .iter()
        .enumerate()
        .map(|(index, skill)| {
            let registry = registries[index % registries.len()];
            registry.push(&format!("puller/{index}:v1"), skill.path());
            format!("{}/puller/{index}:v1", registry.address)
        })
        .collect();
    let (private, other) = (&node.private.address, &node.other.address);
    place.secret("first", private, USERS[0].0, USERS[0].1);
    place.secret("second", other, USERS[1].0, USERS[1].1);
    team_of(&place, &["first", "second"], &references);
    // A Job's Pod, of another user than the puller is by default.
    let mut agent = by("puller", "agent");
    agent["spec"]["restartPolicy"] = json!("Never");
    agent["spec"]["containers"][0]["securityContext"] = json!({"runAsUser": 1000});

    place.apply(&agent);

    place.ready("agent");
    arrived(&place, "agent", &skills);
    assert_eq!(init_containers(&place, "agent"), "pull-skills");
    let mounts = "{.spec.initContainers[0].volumeMounts[*].mountPath}";
    let mounts = place.value("pod/agent", mounts);
    let token = "/var/run/secrets/kubernetes.io/serviceaccount";
    assert_eq!(mounts.matches(token).count(), 1, "{mounts}");
    let message = place.value(
        "agentteams.kagents.dev/team",
        r#"{.status.conditions[?(@.type=="SkillsDelivered")].message}"#,
    );
    assert!(!message.contains("cannot"), "{message}");
}

#[test]
fn a_puller_that_fails_tells_why_and_which_skill() {
    let node = Node::shared();
    let registry = &node.private.address;
    let skill = Skill::new("skill-2");
    node.private.push("fails/skill:v1", skill.path());
    node.public
        .push("fails/skill:v1", Skill::new("skill-1").path());
    let fine = format!("{}/fails/skill:v1", node.public.address);
    let case = |name: &str, prepare: &dyn Fn(&Place<'_>), reference: &str, expected: &[&str]| {
        let place = Place::new(&node, name);
        prepare(&place);
        team_of(&place, &["creds"], &[fine.clone(), reference.to_owned()]);
        place.apply(&by("puller", "agent"));
        let said = told(&place);
        let words = "{.status.initContainerStatuses[0]..terminated.message}";
        let words = place.value("pod/agent", words);
        for expected in [&["skill-2"], expected].concat() {
            assert!(said.contains(expected), "{name}: {said}");
            assert!(words.contains(expected), "{name}: {words}");
        }
        assert!(!said.contains("skill-1"), "the other is fine: {said}");
    };
    let secret = |password: &'static str| {
        move |place: &Place<'_>| place.secret("creds", registry, USERS[0].0, password)
    };
    let right = secret(USERS[0].1);
    let private = format!("{registry}/fails/skill:v1");
    let missing = format!("{registry}/fails/nothing:v1");
    case("wrong-password", &secret("guess"), &private, &["401"]);
    case("missing", &right, &missing, &["404", "fails/nothing"]);
    let wrong_authority = |place: &Place<'_>| {
        right(place);
        let stranger = crate::identity::Identity::make(&["stranger"]).unwrap();
        place.authority(&stranger.ca);
    };
    case("wrong-ca", &wrong_authority, &private, &["certificate"]);
}

/// An image that was there before, a ConfigMap, and the rest by the team's mode.
#[test]
fn a_pod_may_mix() {
    let node = Node::shared();
    let place = Place::new(&node, "mix");
    let (one, two) = (Skill::new("skill-1"), Skill::new("skill-2"));
    push_image(&node.public, "mix/one:v1", one.path());
    node.public.push("mix/two:v1", two.path());
    let at = |name: &str| format!("{}/mix/{name}:v1", node.public.address);
    let style = "---\nname: house-style\ndescription: Short.\n---\n";
    place.apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "style"}, "data": {"SKILL.md": style}}));
    let skills = [
        ("house-style", config_map("style")),
        ("skill-1", oci(&at("one"))),
        ("skill-2", oci(&at("two"))),
    ];
    place.team("team", &[], &skills);
    let annotation = "kagents.dev/skill-delivery=puller";
    place
        .kubectl(&["annotate", "agentteams.kagents.dev", "team", annotation])
        .success();
    let mut agent = pod("agent", "team");
    agent["spec"]["volumes"] =
        json!([{"name": "skill-skill-1", "image": {"reference": at("one")}}]);

    place.apply(&agent);

    place.ready("agent");
    assert_eq!(init_containers(&place, "agent"), "pull-skills");
    arrived(&place, "agent", &[one, two]);
    assert_eq!(place.files("agent", "house-style")["SKILL.md"].0, style);
    let record = place.value("pod/agent", r"{.metadata.annotations.kagents\.dev/skills}");
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["delivery"], "puller");
    assert_eq!(record["skills"][1]["delivery"], "image");
    assert_eq!(record["skills"][2]["delivery"], Value::Null);
}
