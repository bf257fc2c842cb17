//! What several test targets need: the webhook in this process, without its socket.

#![allow(
    dead_code,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "each target uses a part of it, and a test says what it expects by failing"
)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use agentteam_webhook::api::Group;
use agentteam_webhook::certs::{Served, memory::Memory};
use agentteam_webhook::cli::settings::SettingsArgs;
use agentteam_webhook::server::{App, routes};
use agentteam_webhook::teams::{Index, Teams, directory};
use axum::body::{Body, to_bytes};
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Parser;
use serde_json::{Value, json};
use tower::ServiceExt;

/// The flags of a server that concern injection.
#[derive(Parser)]
pub struct Flags {
    #[command(flatten)]
    pub settings: SettingsArgs,
}

impl Flags {
    pub fn parse_words(words: &[String]) -> Self {
        Self::parse_from([&["test".to_owned()], words].concat())
    }
}

/// Runs the program with `input` on its stdin: stdout, stderr and exit code.
pub fn run(command: &mut Command, input: &str) -> (String, String, i32) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let done = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = done.status.code().unwrap();
    (text(done.stdout), text(done.stderr), code)
}

/// Teams from files, as the server knows them.
pub fn teams(path: &Path) -> Index {
    let loaded = directory::load(path, &Group::default()).unwrap();
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let index = Index::default();
    index.replace(loaded.teams);
    index
}

/// The webhook with these teams and flags.
pub fn webhook(index: Index, flags: &Flags) -> Arc<App> {
    let certificate = Memory::new(vec!["localhost".to_owned()])
        .unwrap()
        .issue()
        .unwrap();
    let teams = Teams {
        index: Arc::new(index),
        sync: Arc::default(),
        live: None,
    };
    teams.sync.done();
    let app = App::new(
        flags.settings.settings().unwrap(),
        teams,
        Arc::new(Served::new(certificate)),
    );
    app.server_version
        .store(flags.settings.server_version.map(Arc::new));
    Arc::new(app)
}

/// A review as an API server sends it for the creation of `pod`.
pub fn review(pod: &Value, namespace: &str) -> Value {
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": ["system:authenticated"]},
            "object": pod,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}
        }
    })
}

/// Sends a review through the webhook's routes and gives its response.
pub async fn answer(app: &Arc<App>, review: &Value) -> Value {
    answer_at("/mutate?timeout=5s", app, review).await
}

/// The same for one of the webhook's paths.
pub async fn answer_at(path: &str, app: &Arc<App>, review: &Value) -> Value {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(Body::from(review.to_string()))
        .unwrap();
    let response = routes(Arc::clone(app)).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
    answer["response"].clone()
}

/// The patch of a response.
pub fn patch(response: &Value) -> json_patch::Patch {
    let Some(patch) = response["patch"].as_str() else {
        return json_patch::Patch::default();
    };
    assert_eq!(response["patchType"], "JSONPatch");
    serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap()
}
