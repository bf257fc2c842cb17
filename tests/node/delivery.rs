//! Skills arrive, from everywhere and as they were.

use serde_json::json;

use crate::node::{Node, USERS};
use crate::place::{Place, config_map, oci, pod};
use crate::skills::{Files, Skill};

#[test]
fn a_public_skill() {
    let node = Node::shared();
    let place = Place::new(&node, "public");
    let skill = Skill::new("web-research");
    node.public.push("public/web-research:v1", skill.path());
    let reference = format!("{}/public/web-research:v1", node.public.address);
    place.team("team", &[], &[("web-research", oci(&reference))]);

    place.apply(&pod("agent", "team"));

    place.ready("agent");
    assert_eq!(place.files("agent", "web-research"), skill.files);
    let read_only = place.kubectl(&[
        "exec",
        "agent",
        "--",
        "sh",
        "-c",
        "echo x > /var/claude-skills/web-research/SKILL.md",
    ]);
    assert!(read_only.stderr.contains("Read-only file system"));
}

#[test]
fn a_private_skill() {
    let node = Node::shared();
    let place = Place::new(&node, "private");
    let skill = Skill::new("report-writing");
    node.private.push("private/report-writing:v1", skill.path());
    let registry = &node.private.address;
    let (user, password) = USERS[0];
    place.secret("creds", registry, user, password);
    let reference = format!("{registry}/private/report-writing:v1");
    place.team("team", &["creds"], &[("report-writing", oci(&reference))]);

    place.apply(&pod("agent", "team"));

    place.ready("agent");
    assert_eq!(place.files("agent", "report-writing"), skill.files);
}

#[test]
fn two_registries_with_two_secrets_at_once() {
    let node = Node::shared();
    let place = Place::new(&node, "two-registries");
    let (one, other) = (Skill::new("one"), Skill::new("other"));
    node.private.push("two/one:v1", one.path());
    node.other.push("two/other:v1", other.path());
    let (first, second) = (&node.private.address, &node.other.address);
    place.secret("first", first, USERS[0].0, USERS[0].1);
    place.secret("second", second, USERS[1].0, USERS[1].1);
    let skills = [
        ("one", oci(&format!("{first}/two/one:v1"))),
        ("other", oci(&format!("{second}/two/other:v1"))),
    ];
    place.team("team", &["first", "second"], &skills);

    place.apply(&pod("agent", "team"));

    place.ready("agent");
    assert_eq!(place.files("agent", "one"), one.files);
    assert_eq!(place.files("agent", "other"), other.files);
}

#[test]
fn a_skill_of_a_config_map_beside_one_of_a_registry() {
    let node = Node::shared();
    let place = Place::new(&node, "mixed");
    let skill = Skill::new("web-research");
    node.public.push("mixed/web-research:v1", skill.path());
    place.apply(&json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "house-style"},
        "data": {"SKILL.md": "---\nname: house-style\ndescription: Short.\n---\n"},
    }));
    let reference = format!("{}/mixed/web-research:v1", node.public.address);
    let skills = [
        ("house-style", config_map("house-style")),
        ("web-research", oci(&reference)),
    ];
    place.team("team", &[], &skills);

    place.apply(&pod("agent", "team"));

    place.ready("agent");
    let text = "---\nname: house-style\ndescription: Short.\n---\n".to_owned();
    let style = Files::from([("SKILL.md".to_owned(), (text, false))]);
    assert_eq!(place.files("agent", "house-style"), style);
    assert_eq!(place.files("agent", "web-research"), skill.files);
}

/// A digest names what it named, also after the tag has moved on.
#[test]
fn a_tag_and_a_digest() {
    let node = Node::shared();
    let place = Place::new(&node, "digest");
    let (older, newer) = (Skill::new("older"), Skill::new("newer"));
    let digest = node.public.push("digest/skill:v1", older.path());
    node.public.push("digest/skill:v1", newer.path());
    let repository = format!("{}/digest/skill", node.public.address);
    let skills = [
        ("by-tag", oci(&format!("{repository}:v1"))),
        ("by-digest", oci(&format!("{repository}@{digest}"))),
        ("by-both", oci(&format!("{repository}:v1@{digest}"))),
    ];
    place.team("team", &[], &skills);

    place.apply(&pod("agent", "team"));

    place.ready("agent");
    assert_eq!(place.files("agent", "by-tag"), newer.files);
    assert_eq!(place.files("agent", "by-digest"), older.files);
    assert_eq!(place.files("agent", "by-both"), older.files);
}

/// The namespace holds every container to Pod Security `restricted`, the pullers among them.
#[test]
fn a_restricted_namespace() {
    let node = Node::shared();
    let place = Place::new(&node, "restricted");
    let label = "pod-security.kubernetes.io/enforce=restricted";
    node.kubectl(&["label", "namespace", &place.namespace, label])
        .success();
    let skill = Skill::new("web-research");
    node.private
        .push("restricted/web-research:v1", skill.path());
    let registry = &node.private.address;
    place.secret("creds", registry, USERS[0].0, USERS[0].1);
    let reference = format!("{registry}/restricted/web-research:v1");
    place.team("team", &["creds"], &[("web-research", oci(&reference))]);
    // Without what `restricted` asks for, the agent's own container is refused: the policy is in force.
    let refused = place.try_apply(&pod("agent", "team"));
    assert!(
        refused.stderr.contains("violates PodSecurity"),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("pull-skill"), "{}", refused.stderr);

    let mut agent = pod("agent", "team");
    agent["spec"]["containers"][0]["securityContext"] = json!({
        "runAsUser": 1000,
        "runAsNonRoot": true,
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    place.apply(&agent);

    place.ready("agent");
    assert_eq!(place.files("agent", "web-research"), skill.files);
}

/// Pullers run as nobody in particular where the Pod says nothing, and agents as whom they like.
#[test]
fn an_agent_of_another_user_reads_every_file() {
    let node = Node::shared();
    let place = Place::new(&node, "other-user");
    let skill = Skill::new("web-research");
    node.public.push("users/web-research:v1", skill.path());
    let reference = format!("{}/users/web-research:v1", node.public.address);
    place.team("team", &[], &[("web-research", oci(&reference))]);

    // The image decides: root. The pod decides: 1000. The container decides: 2000, in no group of the others.
    let mut by_pod = pod("by-pod", "team");
    by_pod["spec"]["securityContext"] = json!({"runAsUser": 1000, "runAsGroup": 1000});
    let mut by_container = pod("by-container", "team");
    by_container["spec"]["containers"][0]["securityContext"] =
        json!({"runAsUser": 2000, "runAsGroup": 3000});
    for agent in [pod("by-image", "team"), by_pod, by_container] {
        place.apply(&agent);
    }

    for (name, user) in [
        ("by-image", "0"),
        ("by-pod", "1000"),
        ("by-container", "2000"),
    ] {
        place.ready(name);
        assert_eq!(place.shell(name, "id -u", "").trim(), user);
        assert_eq!(place.files(name, "web-research"), skill.files);
    }
}

/// What an agent's image does first: a copy of every skill into its home, where the first file that it may not read ends
/// it.
#[test]
fn an_entrypoint_that_copies_the_skills_into_its_home() {
    let node = Node::shared();
    let place = Place::new(&node, "entrypoint");
    let (one, other) = (Skill::new("one"), Skill::new("other"));
    node.public.push("entrypoint/one:v1", one.path());
    node.public.push("entrypoint/other:v1", other.path());
    place.apply(&json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "house-style"},
        "data": {"SKILL.md": "---\nname: house-style\n---\n"},
    }));
    let at = |name: &str| oci(&format!("{}/entrypoint/{name}:v1", node.public.address));
    let skills = [
        ("one", at("one")),
        ("other", at("other")),
        ("house-style", config_map("house-style")),
    ];
    place.team("team", &[], &skills);
    let mut agent = pod("agent", "team");
    agent["spec"]["securityContext"] = json!({"runAsUser": 1000, "runAsNonRoot": true});
    agent["spec"]["volumes"] = json!([{"name": "home", "emptyDir": {}}]);
    let container = &mut agent["spec"]["containers"][0];
    container["env"] = json!([{"name": "HOME", "value": "/home/agent"}]);
    container["volumeMounts"] = json!([{"name": "home", "mountPath": "/home/agent"}]);
    container["command"] = json!([
        "sh",
        "-c",
        r#"
        set -e
        for skill in /var/claude-skills/*/; do
            name=$(basename "$skill")
            mkdir -p ~/.claude/skills/"$name"
            cp -r /var/claude-skills/"$name"/. ~/.claude/skills/"$name"/
        done
        echo copied
        touch ~/copied
        exec sleep infinity"#
    ]);
    // A container that runs has not copied yet.
    container["readinessProbe"] = json!({
        "exec": {"command": ["test", "-e", "/home/agent/copied"]},
        "periodSeconds": 1,
    });

    place.apply(&agent);

    place.ready("agent");
    assert_eq!(place.kubectl(&["logs", "agent"]).success(), "copied\n");
    let home = |skill: &str| {
        let path = format!("/home/agent/.claude/skills/{skill}");
        crate::skills::read(&place.shell("agent", crate::skills::PRINT, &path))
    };
    assert_eq!(home("one"), one.files);
    assert_eq!(home("other"), other.files);
    assert_eq!(
        home("house-style")["SKILL.md"].0,
        "---\nname: house-style\n---\n"
    );
    let ran = place.shell("agent", "~/.claude/skills/one/scripts/run.sh", "");
    assert_eq!(ran, "one runs\n");
}
