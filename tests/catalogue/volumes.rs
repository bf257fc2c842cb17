//! Rows 27 and 29: volumes and mounts in the way.

use serde_json::{Value, json};

use super::review::{Session, pod, review};
use super::teams::GOOD;

fn with_volume(agent: &str, volume: &Value) -> Value {
    let mut pod = pod(GOOD, agent);
    pod["spec"]["volumes"] = json!([volume]);
    review(&pod)
}

#[test]
fn row_27_our_volume_of_another_kind() {
    let mut session = Session::open();
    for (agent, volume) in [
        (
            "lead",
            json!({"name": "skill-plan", "configMap": {"name": "x"}}),
        ),
        (
            "lead",
            json!({"name": "skill-plan", "hostPath": {"path": "/"}}),
        ),
        ("lead", json!({"name": "skill-plan", "futureKind": {}})),
        ("lead", json!({"name": "skill-plan"})),
        ("files", json!({"name": "skill-style", "emptyDir": {}})),
        (
            "files",
            json!({"name": "skill-style", "secret": {"secretName": "x"}}),
        ),
        ("lead", json!({"name": "skill-auth", "emptyDir": {}})),
        (
            "lead",
            json!({"name": "pull-skills-tmp", "hostPath": {"path": "/tmp"}}),
        ),
        (
            "lead",
            json!({"name": "pull-skills-no-token", "projected": {"sources": []}}),
        ),
    ] {
        let denial = session.denied(&with_volume(agent, &volume), 409);
        assert_eq!(denial.word, "VolumeConflict", "{volume}");
        assert!(
            denial.message.contains(volume["name"].as_str().unwrap()),
            "{}",
            denial.message
        );
    }
    session.patched(&with_volume(
        "lead",
        &json!({"name": "skill-plan", "emptyDir": {"medium": "Memory"}}),
    ));
    session.patched(&with_volume(
        "files",
        &json!({"name": "skill-style", "configMap": {"name": "house-style"}}),
    ));
    session.patched(&with_volume(
        "lead",
        &json!({"name": "skill-other", "hostPath": {"path": "/"}}),
    ));
}

fn with_mount(path: &str) -> Value {
    let mut pod = pod(GOOD, "lead");
    pod["spec"]["volumes"] = json!([{"name": "mine", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "mine", "mountPath": path}]);
    review(&pod)
}

#[test]
fn row_29_something_mounted_where_a_skill_goes() {
    let mut session = Session::open();
    for path in [
        "/var/claude-skills/plan",
        "/var/claude-skills/plan/",
        "/var//claude-skills///plan",
        "/var/claude-skills/plan/scripts",
        "/var/claude-skills/./plan",
        "/var/claude-skills/other/../plan/x",
        "var/claude-skills/plan",
    ] {
        let denial = session.denied(&with_mount(path), 422);
        assert_eq!(denial.word, "MountConflict", "{path}");
        assert!(denial.message.contains("\"mine\""), "{}", denial.message);
    }
    for path in [
        "/",
        "/var",
        "/var/claude-skills",
        "/var/claude-skills/",
        "/var/claude-skills/plan-b",
        "/var/claude-skills/other",
        "/var/claude-skills/plan/../other",
    ] {
        session.patched(&with_mount(path));
    }
    // In another container it is in nobody's way.
    let mut beside = with_mount("/work");
    beside["request"]["object"]["spec"]["containers"].as_array_mut().unwrap().push(json!({
        "name": "sidecar", "image": "x", "volumeMounts": [{"name": "mine", "mountPath": "/var/claude-skills/plan"}],
    }));
    session.patched(&beside);
}
