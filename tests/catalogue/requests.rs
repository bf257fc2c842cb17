//! Rows 13–20 and 36: which requests are about a Pod that is ours.

use serde_json::{Value, json};

use super::review::{Session, pod, review};
use super::teams::{GOOD, NAMESPACE};

fn with(key: &str, value: Value) -> Value {
    let mut review = review(&pod(GOOD, "lead"));
    review["request"][key] = value;
    review
}

#[test]
fn row_13_operations() {
    let mut session = Session::open();
    for operation in ["UPDATE", "DELETE", "CONNECT"] {
        let mut review = with("operation", json!(operation));
        session.allowed(&review);
        review["request"]["object"] = json!(null);
        review["request"]["oldObject"] = pod(GOOD, "lead");
        session.allowed(&review);
    }
    for unknown in [
        json!("PATCH"),
        json!("create"),
        json!("*"),
        json!(""),
        json!(null),
        json!({"CREATE": 1}),
    ] {
        session.malformed(&serde_json::to_vec(&with("operation", unknown)).unwrap());
    }
}

#[test]
fn row_14_no_object() {
    let mut session = Session::open();
    let mut absent = with("object", json!(null));
    session.denied(&absent, 400);
    absent["request"].as_object_mut().unwrap().remove("object");
    session.denied(&absent, 400);
    for object in [json!(7), json!("Pod"), json!(true), json!([]), json!([{}])] {
        session.denied(&with("object", object), 400);
    }
    // A list in the order of the fields is no Pod either, nor are its parts.
    let good = pod(GOOD, "lead");
    session.denied(
        &with("object", json!(["Pod", good["metadata"], good["spec"]])),
        400,
    );
    let mut listed = good.clone();
    listed["metadata"] = json!(["agent-0", null, null, good["metadata"]["labels"], null]);
    session.denied(&review(&listed), 400);
}

#[test]
fn row_14_a_pod_of_another_shape() {
    let mut session = Session::open();
    for (pointer, value) in [
        ("/metadata/labels", json!([])),
        ("/metadata/labels", json!({"kagents.dev/agent-team": 7})),
        ("/metadata/annotations", json!("x")),
        ("/spec/containers", json!({})),
        ("/spec/containers/0", json!("claude-code")),
        ("/spec/containers/0/name", json!({})),
        ("/spec/containers/0/args", json!("--token=hunter2")),
        ("/spec/containers/0/command", json!("run --token hunter2")),
        ("/spec/containers/0/volumeMounts", json!([7])),
        ("/spec/volumes", json!("hunter2")),
        ("/spec/initContainers", json!(true)),
        ("/spec/hostNetwork", json!("hunter2")),
        ("/spec/securityContext", json!({"runAsUser": "hunter2"})),
        ("/kind", json!("ReplicaSet")),
    ] {
        let mut pod = pod(GOOD, "lead");
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = pod.pointer_mut(parent).unwrap();
        match parent {
            Value::Array(items) => items[0] = value,
            parent => parent[key] = value,
        }
        let denial = session.denied(&review(&pod), 400);
        assert_eq!(denial.word, "MalformedPod", "{pointer}");
    }
}

#[test]
fn row_15_other_resources() {
    let mut session = Session::open();
    for (group, kind, resource) in [
        ("apps", "Deployment", "deployments"),
        ("", "ConfigMap", "configmaps"),
        ("kagents.dev", "AgentTeam", "agentteams"),
        ("metrics.k8s.io", "PodMetrics", "pods"),
    ] {
        let mut review = with(
            "kind",
            json!({"group": group, "version": "v1", "kind": kind}),
        );
        review["request"]["resource"] =
            json!({"group": group, "version": "v1", "resource": resource});
        session.allowed(&review);
        review["request"]["object"] = json!({"kind": kind, "data": {"a": [7]}});
        session.allowed(&review);
    }
}

#[test]
fn row_16_subresources() {
    let mut session = Session::open();
    for (name, kind) in [
        ("ephemeralcontainers", "Pod"),
        ("resize", "Pod"),
        ("status", "Pod"),
        ("binding", "Binding"),
        ("eviction", "Eviction"),
        ("exec", "PodExecOptions"),
    ] {
        for operation in ["CREATE", "UPDATE"] {
            let mut review = with("subResource", json!(name));
            review["request"]["operation"] = json!(operation);
            review["request"]["kind"]["kind"] = json!(kind);
            session.allowed(&review);
        }
    }
    for none in [json!(""), json!(null)] {
        session.patched(&with("subResource", none));
    }
}

#[test]
fn row_17_another_kind_as_a_pod() {
    let mut session = Session::open();
    for kind in ["ConfigMap", "pod", "Pods", ""] {
        session.denied(
            &with("kind", json!({"group": "", "version": "v1", "kind": kind})),
            400,
        );
    }
    let mut config_map = pod(GOOD, "lead");
    config_map["kind"] = json!("ConfigMap");
    session.denied(&review(&config_map), 400);
}

#[test]
fn row_18_dry_run() {
    let mut session = Session::open();
    let wet = session.patched(&with("dryRun", json!(false)));
    let dry = session.patched(&with("dryRun", json!(true)));
    assert_eq!(dry.operations, wet.operations);
}

#[test]
fn row_19_generate_name() {
    let mut pod = pod(GOOD, "lead");
    pod["metadata"].as_object_mut().unwrap().remove("name");
    pod["metadata"]["generateName"] = json!("agent-");
    Session::open().patched(&review(&pod));
}

#[test]
fn row_20_namespace() {
    let mut session = Session::open();
    for namespace in [json!(""), json!(null), json!(NAMESPACE)] {
        let mut pod = pod(GOOD, "lead");
        pod["metadata"]["namespace"] = namespace;
        session.patched(&review(&pod));
    }
    for namespace in ["other", "agents ", "AGENTS", "agents\n"] {
        let mut pod = pod(GOOD, "lead");
        pod["metadata"]["namespace"] = json!(namespace);
        let denial = session.denied(&review(&pod), 400);
        assert_eq!(denial.word, "NamespaceMismatch");
    }
}

#[test]
fn row_36_mirror_pod() {
    let mut mirror = pod("nobody", "lead");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "0123456789abcdef"});
    Session::open().allowed(&review(&mirror));
}

#[test]
fn a_pod_without_a_team_or_opted_out_is_allowed() {
    let mut session = Session::open();
    let mut opted_out = pod("nobody", "lead");
    opted_out["metadata"]["labels"]["kagents.dev/inject"] = json!("false");
    session.allowed(&review(&opted_out));
    for labels in [
        json!(null),
        json!({}),
        json!({"app": "x", "kagents.dev/agent": "lead"}),
    ] {
        let mut pod = pod(GOOD, "lead");
        pod["metadata"]["labels"] = labels;
        session.allowed(&review(&pod));
    }
    session.allowed(&review(&pod(GOOD, "idle")));
}
