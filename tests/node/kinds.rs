//! Pods that somebody else makes: a Deployment, a Job, a CronJob; and a Pod that runs once.

use std::time::Duration;

use serde_json::{Value, json};

use crate::install::SOMETIMES;
use crate::node::Node;
use crate::place::{Place, labels, oci, pod};
use crate::skills::{PRINT, Skill, read};
use crate::tools::Registry;

/// A Pod's template with the agent's labels, whose container prints the skill `web-research` and ends, or waits.
fn template(restart: &str, waits: bool) -> Value {
    let mut template =
        json!({"metadata": {"labels": labels("team")}, "spec": pod("", "team")["spec"]});
    template["spec"]["restartPolicy"] = json!(restart);
    if !waits {
        template["spec"]["containers"][0]["command"] =
            json!(["sh", "-ec", PRINT, "sh", "/var/claude-skills/web-research"]);
    }
    template
}

/// The one Pod of a place, once there is one.
fn only_pod(place: &Place) -> String {
    let label = "kagents.dev/agent-team=team";
    let found = place.kubectl(&["wait", "--for=create", "pod", "-l", label, "--timeout=120s"]);
    found.success();
    place.value("pod", "{.items[0].metadata.name}")
}

#[test]
fn a_deployment() {
    let node = Node::shared();
    let (place, skill) = Place::with_public_skill(&node, "deployment");
    place.apply(&json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "researcher"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels("team")},
            "template": template("Always", true),
        },
    }));

    let rolled_out = [
        "rollout",
        "status",
        "deployment/researcher",
        "--timeout=180s",
    ];
    place.kubectl(&rolled_out).success();

    let pods = place.value("pod", "{.items[*].metadata.name}");
    let pods: Vec<_> = pods.split(' ').collect();
    assert_eq!(pods.len(), 2);
    for pod in pods {
        assert_eq!(place.files(pod, "web-research"), skill.files);
    }
    // What the controller that owns the Pods keeps is as it was written.
    let kept = place.value("deployment/researcher", "{.spec.template.spec}");
    assert!(!kept.contains("pull-skill"), "{kept}");
}

#[test]
fn a_job() {
    let node = Node::shared();
    let (place, skill) = Place::with_public_skill(&node, "job");
    place.apply(&json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "researcher"},
        "spec": {"backoffLimit": 0, "template": template("Never", false)},
    }));

    let done = [
        "wait",
        "--for=condition=Complete",
        "job/researcher",
        "--timeout=180s",
    ];
    place.kubectl(&done).success();

    let printed = place.kubectl(&["logs", "job/researcher", "-c", "claude-code"]);
    assert_eq!(read(&printed.success()), skill.files);
}

/// It starts by the clock, at the next full minute.
#[test]
fn a_cron_job() {
    let node = Node::shared();
    let (place, skill) = Place::with_public_skill(&node, "cron-job");
    let job = json!({"spec": {"backoffLimit": 0, "template": template("Never", false)}});
    place.apply(&json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "researcher"},
        "spec": {"schedule": "* * * * *", "concurrencyPolicy": "Forbid", "jobTemplate": job},
    }));

    let pod = only_pod(&place);
    place.wait(&pod, "jsonpath={.status.phase}=Succeeded");

    let printed = place.kubectl(&["logs", &pod, "-c", "claude-code"]);
    assert_eq!(read(&printed.success()), skill.files);
}

/// A Pod that is never started again bears a registry that comes late: its pullers are.
#[test]
fn a_pod_that_runs_once_bears_a_registry_that_is_down_for_20_seconds() {
    let node = Node::shared();
    let place = Place::new(&node, "late-registry");
    let skill = Skill::new("web-research");
    let mut registry = Registry::start_at(SOMETIMES, None, None);
    registry.push("late/web-research:v1", skill.path());
    registry.stop();
    let reference = format!("{SOMETIMES}/late/web-research:v1");
    place.team("team", &[], &[("web-research", oci(&reference))]);
    let mut once = pod("once", "team");
    once["spec"] = template("Never", false)["spec"].clone();

    place.apply(&once);
    let failed = "jsonpath={.status.initContainerStatuses[0].restartCount}=1";
    place.wait("once", failed);
    // The time that it is down is what is tested.
    std::thread::sleep(Duration::from_secs(20));
    registry.resume();

    place.wait("once", "jsonpath={.status.phase}=Succeeded");
    let printed = place.kubectl(&["logs", "once", "-c", "claude-code"]);
    assert_eq!(read(&printed.success()), skill.files);
}
