//! Another webhook before ours and another after it, which makes the API server ask ours again.

use std::sync::Arc;

use agentteam_webhook::certs::{Served, memory::Memory};
use agentteam_webhook::server::listen::{Server, tls};
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::scene::{Scene, find, pod};

/// A webhook that adds `operations` to every Pod that lacks a volume `marker`, registered under `name` for the scene.
fn neighbour(scene: &Scene, name: &str, marker: &'static str, operations: Value) {
    let authority = Memory::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = Arc::new(Served::new(authority.issue().unwrap()));
    let answer = move |body: Bytes| async move {
        let review: Value = serde_json::from_slice(&body).unwrap();
        let volumes = &review["request"]["object"]["spec"]["volumes"];
        let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
        if find(volumes, marker).is_null() {
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(STANDARD.encode(operations.to_string()));
        }
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
            .to_string()
    };
    let routes = Router::new().route("/", post(answer));
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Server::bind(
        address,
        Some(tls(certificate).unwrap()),
        routes,
        16,
        <_>::default(),
    )
    .unwrap();
    let address = server.address().unwrap();
    tokio::spawn(server.serve(std::future::pending()));
    scene.apply(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": format!("{name}-{}", scene.namespace)},
        "webhooks": [{
            "name": format!("{marker}.neighbour.example"),
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "reinvocationPolicy": "IfNeeded",
            "clientConfig": {"url": format!("https://{address}/"), "caBundle": STANDARD.encode(authority.certificate())},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}},
        }],
    }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_before_and_after_ours_get_along_with_it() {
    let scene = Scene::new("reinvocation", &[]).await;
    scene
        .team(
            "t",
            "kagents.dev",
            json!({"lead": {"skills": [{"name": "s", "source": {"oci": "ghcr.io/x/s:1"}}]}}),
        )
        .await;
    // Configurations are called in the order of their names, and ours begins with "agentteam".
    neighbour(
        &scene,
        "aaa",
        "before",
        json!([
            {"op": "add", "path": "/spec/volumes/-", "value": {"name": "before", "emptyDir": {}}},
            {"op": "add", "path": "/spec/initContainers", "value": [
                {"name": "mesh", "image": "mesh:1", "restartPolicy": "Always"}, {"name": "setup", "image": "setup:1"}]},
        ]),
    );
    // It adds a container, so that on being asked again ours finds two.
    neighbour(
        &scene,
        "zzz",
        "after",
        json!([
            {"op": "add", "path": "/spec/volumes/-", "value": {"name": "after", "emptyDir": {}}},
            {"op": "add", "path": "/spec/containers/-", "value": {"name": "late", "image": "late:1"}},
            {"op": "add", "path": "/spec/initContainers/0", "value": {"name": "very-first", "image": "first:1"}},
        ]),
    );
    // The API server takes a moment to know a new configuration.
    let made = scene
        .create_when(&pod("t", "lead"), |made| {
            ["before", "after"]
                .iter()
                .all(|name| !find(&made["spec"]["volumes"], name).is_null())
        })
        .await;

    let names = |list: &Value| -> Vec<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names(&made["spec"]["initContainers"]),
        ["very-first", "mesh", "pull-skill-s", "setup"]
    );
    assert_eq!(names(&made["spec"]["containers"]), ["agent", "late"]);
    let agent_mounts = names(&made["spec"]["containers"][0]["volumeMounts"]);
    assert_eq!(
        agent_mounts
            .iter()
            .filter(|name| *name == "skill-s")
            .count(),
        1
    );
    assert!(!names(&made["spec"]["containers"][1]["volumeMounts"]).contains(&"skill-s".to_owned()));
    let metrics = scene.metrics();
    assert!(
        metrics.contains(r#"decision="unchanged",reason=""}"#),
        "ours was asked again: {metrics}"
    );
}
